"""How the next architecture is chosen, one file per strategy; the file's name is the `type`."""
