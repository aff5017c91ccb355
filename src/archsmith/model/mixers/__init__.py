"""Modules of the blocks that mix positions; the file is named as its spec."""
