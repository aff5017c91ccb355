"""Specs of the blocks that mix positions, one file each; the file's name is the `type`."""
