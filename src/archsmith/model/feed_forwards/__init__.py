"""Modules of the feed-forward blocks; the file is named as its spec."""
