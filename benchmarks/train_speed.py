"""Training speed beside Hugging Face's Trainer and a loop written by hand, in one run.

    python benchmarks/train_speed.py [--rounds 3] [--json]

Same network, data and order; one thread, CPU clock (the neighbours of a shared machine move the
wall clock by twice), engines alternated in each round, each library in a process of its own.
Printed: median tokens per CPU second with the range over rounds, ratios, and the share of the
ceiling: model FLOPs per second over the fastest matrix products of either format, which take their
turns in the same rounds. The Trainer runs LlamaForCausalLM as it comes (float32) and with
bf16=True, the plain loop (`plain_loop.py`) in float32 and under autocast; ours runs the same AdamW,
and Muon for comparison.
"""

import argparse
import contextlib
import functools
import io
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from plain_loop import plain_engine

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.device.environment import environment
from archsmith.device.probe import probe
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype, dtype_name
from archsmith.train.recipe import Recipe

CONTEXT_TOKENS = 256
BATCH_SIZE = 4  # 1024 tokens per update, the default recipe's
OURS, OURS_MUON = "archsmith", "archsmith muon"
HF, HF_BF16 = "Trainer", "Trainer bf16"
PLAIN, PLAIN_AUTOCAST = "plain loop", "plain loop bf16"
# matrix products of an update: [rows, inner] x [inner, columns]
PRODUCT_SIZES = ((1024, 128, 512), (1024, 256, 1024), (1024, 512, 2048))


def make_architecture(hidden_size: int, vocab_size: int) -> Architecture:
    """Four layers of width `hidden_size`, heads of 64, an FFN of 2.75 times the width."""
    heads = hidden_size // 64
    layer = Layer(
        mixer=Attention(num_attention_heads=heads, num_key_value_heads=heads, head_dim=64),
        feed_forward=GatedMlp(intermediate_size=hidden_size * 11 // 4),
    )
    return Architecture(
        hidden_size=hidden_size,
        vocab_size=vocab_size,
        max_position_embeddings=CONTEXT_TOKENS,
        layers=(layer,) * 4,
    )


def make_batches(vocab_size: int, steps: int) -> np.ndarray:
    """int64 [steps, BATCH_SIZE, CONTEXT_TOKENS + 1], the same for every engine."""
    rng = np.random.default_rng(0)
    return rng.integers(vocab_size, size=(steps, BATCH_SIZE, CONTEXT_TOKENS + 1))


def our_engine(architecture: Architecture, *, optimizer: str) -> Callable[[np.ndarray], float]:
    """Train on batches and return CPU seconds, with the product's own learner."""
    recipe = Recipe.model_validate({"optimizer": optimizer})
    dtype = choose_dtype("auto", torch.device("cpu"))
    learner = Learner(architecture, recipe=recipe, seed=0, device=torch.device("cpu"), dtype=dtype)

    def train(batches: np.ndarray) -> float:
        started = time.process_time()
        for number, batch in enumerate(batches):
            learner.update(batch, number=number, factor=1.0)
        return time.process_time() - started

    return train


def llama(architecture: Architecture) -> torch.nn.Module:
    """transformers' LlamaForCausalLM of an architecture, with its own initial weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    attention = architecture.layers[0].mixer
    config = LlamaConfig(
        hidden_size=architecture.hidden_size,
        vocab_size=architecture.vocab_size,
        num_hidden_layers=architecture.num_hidden_layers,
        num_attention_heads=attention.num_attention_heads,
        num_key_value_heads=attention.num_key_value_heads,
        intermediate_size=architecture.layers[0].feed_forward.intermediate_size,
        max_position_embeddings=architecture.max_position_embeddings,
        rms_norm_eps=architecture.final_norm.eps,
        tie_word_embeddings=True,
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    assert sum(p.numel() for p in model.parameters()) == architecture.num_params
    return model


def trainer_engine(architecture: Architecture, *, bf16: bool) -> Callable[[np.ndarray], float]:
    """Train on batches and return CPU seconds, with transformers' Trainer and stock Llama."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Clock(TrainerCallback):
        """CPU seconds of the loop, without the Trainer's preparations."""

        def on_train_begin(self, *args: object, **settings: object) -> None:
            self.started = time.process_time()

        def on_train_end(self, *args: object, **settings: object) -> None:
            self.seconds = time.process_time() - self.started

    model = llama(architecture)
    folder = tempfile.mkdtemp(prefix="train-speed-")

    def train(batches: np.ndarray) -> float:
        # transformers shifts labels itself, so a window of 256 tokens has 255 targets
        rows = [{"input_ids": row[:-1], "labels": row[:-1]} for batch in batches for row in batch]
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH_SIZE,
            max_steps=len(batches),
            learning_rate=1e-3,
            bf16=bf16,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_num_workers=0,
            train_sampling_strategy="sequential",
        )
        clock = Clock()
        Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[clock]).train()
        return clock.seconds

    return train


def serve(connection: Connection, architecture: Architecture, names: tuple[str, ...]) -> None:
    """A process of its own per library, so that neither profits from what the other sets."""
    torch.set_num_threads(1)
    engines = {name: ENGINES[name](architecture) for name in names}
    while (order := connection.recv()) is not None:
        name, steps = order
        batches = make_batches(architecture.vocab_size, steps)
        with quiet():
            seconds = engines[name](batches)
        connection.send(seconds)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what libraries print: the Trainer tells a summary of each run."""
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def describe() -> dict[str, Any]:
    """Versions, machine and what our engine computes in, for a report."""
    here = environment()
    return {
        "date": date.today().isoformat(),
        "processor": here.processor,
        "num_cores": here.num_cores,
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "dtype": dtype_name(choose_dtype("auto", torch.device("cpu"))),
        "num_threads": torch.get_num_threads(),
    }


def measure(
    architecture: Architecture, *, rounds: int, seconds: float
) -> tuple[dict[str, list[float]], list[float]]:
    """Tokens per CPU second of every engine, and FLOPs per CPU second of the fastest products.

    One number per round each, engines alternated.
    """
    context = multiprocessing.get_context("spawn")
    connections, processes = {}, []
    for names in ((HF, HF_BF16), (PLAIN, PLAIN_AUTOCAST), (OURS, OURS_MUON)):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, architecture, names)))
        processes[-1].start()
        connections.update(dict.fromkeys(names, ours))

    def run(name: str, steps: int) -> float:
        connections[name].send((name, steps))
        return connections[name].recv()

    steps = {}
    for name in ENGINES:
        run(name, 2)  # imports, allocator, caches
        steps[name] = max(8, round(seconds * 4 / run(name, 4)))
    found: dict[str, list[float]] = {name: [] for name in ENGINES}
    ceilings = []
    for _ in range(rounds):
        profile = probe(torch.device("cpu"), repeats=5, sizes=PRODUCT_SIZES, threads=(1,))
        ceilings.append(profile.ceiling(1) or 0.0)
        for name in ENGINES:
            tokens = steps[name] * BATCH_SIZE * CONTEXT_TOKENS
            found[name].append(tokens / run(name, steps[name]))
    for connection in set(connections.values()):
        connection.send(None)
    for process in processes:
        process.join()
    return found, ceilings


ENGINES: dict[str, Callable[[Architecture], Callable[[np.ndarray], float]]] = {
    HF: functools.partial(trainer_engine, bf16=False),
    HF_BF16: functools.partial(trainer_engine, bf16=True),
    PLAIN: functools.partial(plain_engine, autocast=False),
    PLAIN_AUTOCAST: functools.partial(plain_engine, autocast=True),
    OURS: functools.partial(our_engine, optimizer="adamw"),
    OURS_MUON: functools.partial(our_engine, optimizer="muon"),
}


def main() -> None:
    """Measure two networks and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="repeats of each engine (3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU seconds a repeat (5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for hidden_size, vocab_size in ((128, 256), (256, 4096)):
        architecture = make_architecture(hidden_size, vocab_size)
        speeds, ceilings = measure(architecture, rounds=options.rounds, seconds=options.seconds)
        results.append(
            {
                "architecture": architecture.summary(),
                "train_flops_per_token": 3 * architecture.flops_per_token(),
                "ceiling_flops_per_second": ceilings,
                "tokens_per_second": speeds,
            }
        )
    report = describe() | {"results": results}
    if options.json:
        print(json.dumps(report, indent=1))
        return
    print(f"torch {report['torch']}, one thread, CPU clock, archsmith in {report['dtype']}")
    for result in results:
        ceiling = statistics.median(result["ceiling_flops_per_second"])
        print(
            f"\n{result['architecture']}, {BATCH_SIZE} windows of {CONTEXT_TOKENS} tokens, "
            f"ceiling {ceiling / 1e9:.0f} GFLOP/s"
        )
        speeds = result["tokens_per_second"]
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        for name, values in speeds.items():
            share = medians[name] * result["train_flops_per_token"] / ceiling
            print(
                f"  {name:16} {medians[name]:8.0f} tokens/s  ({min(values):.0f} to "
                f"{max(values):.0f})  {medians[name] / medians[HF]:.2f}x {HF}, "
                f"{medians[name] / medians[HF_BF16]:.2f}x {HF_BF16}, "
                f"{medians[name] / medians[PLAIN]:.2f}x {PLAIN}, {share:.0%} of the ceiling"
            )


if __name__ == "__main__":
    main()
