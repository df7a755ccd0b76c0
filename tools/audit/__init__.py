"""`unreel audit`: probes that see nothing but an artefact, with the guard against it on and off."""
