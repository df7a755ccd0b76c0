"""The recipes that come with unreel, as TOML; `unreel train` takes them by name."""
