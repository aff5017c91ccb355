"""The tree as torch modules, one file per block, named as its spec."""
