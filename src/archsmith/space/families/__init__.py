"""Carrier families, one file each: dimensions to architecture and back."""
