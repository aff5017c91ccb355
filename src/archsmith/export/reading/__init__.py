"""From a transformers folder to an architecture and its canonical weights; imports no torch."""
