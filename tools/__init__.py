"""Tools: the program `unreel`, one file a command. It imports the other three parts; none of them imports it."""
