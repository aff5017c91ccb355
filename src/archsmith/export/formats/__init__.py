"""Formats a model can be written in, one file each; the file is named as the format."""
