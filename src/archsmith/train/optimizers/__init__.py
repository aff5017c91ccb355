"""Optimizers over float32 masters. Written here: torch.optim's first step imports its compiler."""
