"""From the user's files to token streams: corpus, tokenizer, batches, and the scoring protocol."""
