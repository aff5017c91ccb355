"""Metrics computed without running the model, one file per metric; the file's name is its name."""
