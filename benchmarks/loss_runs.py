"""Trainings of `time_to_loss.py`: one engine at one rate, with its held-out level on the way.

Every engine sees the same windows in the same order, warms up over the same updates and then stays
at its rate. The clock is the processor's and stops while held-out text is scored. Scoring is the
same for all: the engine's weights in our model, float32.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from engines import HF, HF_BF16, OURS, OURS_MUON, PLAIN, Network, llama, trainer_arguments
from plain_loop import Llama
from torch import Tensor, nn
from training_text import Text, batch, bits_per_byte

from archsmith.model.transformer import build
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype
from archsmith.train.recipe import DEFAULTS, Recipe
from archsmith.train.schedule import warmup_factor

WARMUP_UPDATES = 40
# A rate that is behind the best so far after this share of a run, and warmed up, is given up.
JUDGED_FROM = 1 / 3


class Point(NamedTuple):
    """The held-out level after so many updates and CPU seconds."""

    update: int
    cpu_seconds: float
    bits_per_byte: float


class Goal(NamedTuple):
    """When a run ends: at its last update, below the target, or behind an earlier run."""

    updates: int
    every: int  # updates between two looks at held-out text
    target: float | None
    rival: Mapping[int, float]  # update -> bits per byte to stay below, once it is judged


# (update from 1, CPU seconds so far, weights by canonical name) -> whether to stop
Look = Callable[[int, float, Callable[[], Mapping[str, Tensor]]], bool]


def run(
    engine: str, network: Network, text: Text, *, rate: float, seed: int, goal: Goal
) -> list[Point]:
    """The points of one training; the first is before any update."""
    scored = build(network.architecture(), seed=0)
    points: list[Point] = []

    def look(update: int, cpu_seconds: float, weights: Callable[[], Mapping[str, Tensor]]) -> bool:
        if update % goal.every and update != goal.updates:
            return False
        given = weights()
        with torch.no_grad():
            for name, parameter in scored.named_parameters():
                parameter.copy_(given[name])
        level = bits_per_byte(scored, text)
        points.append(Point(update, cpu_seconds, level))
        if goal.target is not None and level <= goal.target:
            return True
        judged = update >= max(WARMUP_UPDATES, JUDGED_FROM * goal.updates)
        return judged and level > goal.rival.get(update, float("inf"))

    TRAININGS[engine](network, text, rate, seed, goal.updates, look)
    return points


def _train_ours(
    optimizer: str,
    network: Network,
    text: Text,
    rate: float,
    seed: int,
    updates: int,
    look: Look,
) -> None:
    # the recipe's two rates keep their proportion
    share = rate / DEFAULTS[optimizer]["learning_rate"]
    embedding_rate = share * Recipe().embedding_learning_rate
    recipe = Recipe.model_validate(
        {
            "optimizer": optimizer,
            "learning_rate": rate,
            "embedding_learning_rate": embedding_rate,
            "warmup_steps": WARMUP_UPDATES,
        }
    )
    cpu = torch.device("cpu")
    dtype = choose_dtype("auto", cpu)
    learner = Learner(network.architecture(), recipe=recipe, seed=seed, device=cpu, dtype=dtype)

    def update(number: int) -> None:
        factor = warmup_factor(number, warmup_steps=recipe.warmup_steps)
        learner.update(batch(text, number, network.batch_size), number=number, factor=factor)

    _train_timed(updates, update, lambda number, spent: look(number, spent, learner.masters))


def _train_plain(
    network: Network, text: Text, rate: float, seed: int, updates: int, look: Look
) -> None:
    torch.manual_seed(seed)
    model = Llama(network.architecture())
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )

    def update(number: int) -> None:
        optimizer.param_groups[0]["lr"] = rate * warmup_factor(number, warmup_steps=WARMUP_UPDATES)
        tokens = torch.from_numpy(batch(text, number, network.batch_size))
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    weights = partial(canonical, model)
    _train_timed(updates, update, lambda number, spent: look(number, spent, weights))


def _train_timed(
    updates: int, update: Callable[[int], None], look: Callable[[int, float], bool]
) -> None:
    """Update by update until `look` stops it; the clock runs in updates alone."""
    spent, stop, number = 0.0, False, 0
    while not stop and number < updates:
        started = time.process_time()
        update(number)
        spent += time.process_time() - started
        number += 1
        stop = look(number, spent)


def canonical(model: Llama) -> dict[str, Tensor]:
    """The plain loop's weights under Hugging Face's names."""
    named = {
        "model.embed_tokens.weight": model.table.weight,
        "model.norm.weight": model.norm.weight,
    }
    for index, block in enumerate(model.blocks):
        stem = f"model.layers.{index}"
        q, k, v = block.qkv.weight.chunk(3)
        gate, up = block.gate_up.weight.chunk(2)
        named |= {
            f"{stem}.input_layernorm.weight": block.attention_norm.weight,
            f"{stem}.self_attn.q_proj.weight": q,
            f"{stem}.self_attn.k_proj.weight": k,
            f"{stem}.self_attn.v_proj.weight": v,
            f"{stem}.self_attn.o_proj.weight": block.out.weight,
            f"{stem}.post_attention_layernorm.weight": block.feed_forward_norm.weight,
            f"{stem}.mlp.gate_proj.weight": gate,
            f"{stem}.mlp.up_proj.weight": up,
            f"{stem}.mlp.down_proj.weight": block.down.weight,
        }
    return named


def _train_with_trainer(
    precision: str,
    network: Network,
    text: Text,
    rate: float,
    seed: int,
    updates: int,
    look: Look,
) -> None:
    from transformers import Trainer, TrainerCallback

    torch.manual_seed(seed)
    model = llama(network.architecture())
    rows = [
        {"input_ids": row, "labels": row}
        for number in range(updates)
        for row in np.ascontiguousarray(batch(text, number, network.batch_size)[:, :-1])
    ]

    class Clock(TrainerCallback):
        """CPU seconds of the loop, without the Trainer's preparations and without our looks."""

        spent = 0.0

        def on_train_begin(self, *args: object, **settings: object) -> None:
            self.started = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **settings: object) -> Any:
            self.spent += time.process_time() - self.started
            if look(state.global_step, self.spent, lambda: dict(model.named_parameters())):
                control.should_training_stop = True
            self.started = time.process_time()
            return control

    with tempfile.TemporaryDirectory(prefix="time-to-loss-") as folder:
        arguments = trainer_arguments(
            folder,
            network,
            updates=updates,
            learning_rate=rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=WARMUP_UPDATES,
            bf16=precision == "bf16",
            use_cpu=True,
            seed=seed,
        )
        Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[Clock()]).train()


TRAININGS: dict[str, Callable[..., None]] = {
    HF: partial(_train_with_trainer, "float32"),
    HF_BF16: partial(_train_with_trainer, "bf16"),
    PLAIN: _train_plain,
    OURS: partial(_train_ours, "adamw"),
    OURS_MUON: partial(_train_ours, "muon"),
}
