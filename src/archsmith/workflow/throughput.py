"""How fast this machine trains an architecture: a few real updates on random tokens, timed."""

import time
from collections.abc import Callable

from archsmith.architecture.tree import Architecture
from archsmith.train.recipe import Recipe


def training_tokens_per_second(
    architecture: Architecture,
    *,
    recipe: Recipe,
    num_threads: int = 1,
    seconds: float = 1.0,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Tokens per second of training in this process, measured for about `seconds`.

    The first update is left out: it warms up kernels and the allocator. Wall time where
    `clock` is not given, because the user's budget is wall time; a machine busy with other work
    gives a lower figure.
    """
    import numpy as np
    import torch

    from archsmith.train.learner import Learner
    from archsmith.train.precision import choose_device, choose_dtype

    torch.set_num_threads(num_threads)
    device = choose_device("auto")
    learner = Learner(
        architecture,
        recipe=recipe,
        seed=0,
        device=device,
        dtype=choose_dtype(recipe.dtype, device),
    )
    context = architecture.max_position_embeddings
    batch = np.random.default_rng(0).integers(
        0, architecture.vocab_size, (recipe.batch_size(context), context + 1)
    )
    learner.update(batch, number=0, factor=0.0)
    started, updates = clock(), 0
    while updates < 2 or clock() - started < seconds:
        updates += 1
        learner.update(batch, number=updates, factor=0.0)
    elapsed = clock() - started
    return updates * batch.shape[0] * context / elapsed
