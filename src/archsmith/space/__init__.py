"""Sets of architectures: sample, mutate, cross, enumerate neighbours, encode."""
