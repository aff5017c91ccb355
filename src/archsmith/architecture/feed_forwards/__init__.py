"""Specs of the blocks that act on one position, one file each; the file's name is the `type`."""
