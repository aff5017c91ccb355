"""Texts, splits, tokenizers, token files, batches and the scoring protocol."""
