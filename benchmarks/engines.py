"""The trainers of `train_speed.py`, each as a function from batches to seconds.

On a processor the seconds are its own (the neighbours of a shared machine move the wall clock by
twice), on a GPU those of the wall, with all queued work done before either reading.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from litgpt_loop import litgpt_engine, why_not
from plain_loop import plain_engine

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.tree import Architecture, Layer
from archsmith.device.training_choice import KernelChoice
from archsmith.train.learner import Learner
from archsmith.train.precision import choose_dtype
from archsmith.train.recipe import Recipe

if TYPE_CHECKING:
    from transformers import TrainingArguments

OURS, OURS_MUON, OURS_COMPILED = "archsmith", "archsmith muon", "archsmith compiled"
HF, HF_BF16 = "Trainer", "Trainer bf16"
PLAIN, PLAIN_AUTOCAST, PLAIN_COMPILED = "plain loop", "plain loop bf16", "plain loop compiled"
LITGPT = "LitGPT"

# batches int64 [steps, windows, tokens + 1] -> seconds
Train = Callable[[np.ndarray], float]


class Network(NamedTuple):
    """What is trained, and with how many windows of how many tokens an update."""

    hidden_size: int
    num_hidden_layers: int
    vocab_size: int
    context_tokens: int
    batch_size: int

    @property
    def tokens_per_update(self) -> int:
        """Of all windows."""
        return self.context_tokens * self.batch_size

    def architecture(self) -> Architecture:
        """Equal layers, heads of 64, an FFN of 2.75 times the width, a tied table."""
        heads = self.hidden_size // 64
        layer = Layer(
            mixer=Attention(num_attention_heads=heads, num_key_value_heads=heads, head_dim=64),
            feed_forward=GatedMlp(intermediate_size=self.hidden_size * 11 // 4),
        )
        return Architecture(
            hidden_size=self.hidden_size,
            vocab_size=self.vocab_size,
            max_position_embeddings=self.context_tokens,
            layers=(layer,) * self.num_hidden_layers,
        )

    def batches(self, steps: int) -> np.ndarray:
        """int64 [steps, windows, tokens + 1], the same for every engine."""
        shape = (steps, self.batch_size, self.context_tokens + 1)
        return np.random.default_rng(0).integers(self.vocab_size, size=shape)


# 1024 tokens an update, the default recipe's
CPU_NETWORKS = (Network(128, 4, 256, 256, 4), Network(256, 4, 4096, 256, 4))
# from 1M to 300M parameters, 16384 tokens an update
GPU_NETWORKS = (
    Network(128, 4, 256, 256, 64),
    Network(256, 4, 4096, 256, 64),
    Network(512, 8, 16384, 512, 32),
    Network(768, 12, 32768, 1024, 16),
    Network(1024, 20, 32768, 1024, 16),
)


def clock_of(device: torch.device) -> Callable[[], float]:
    """The processor's seconds, or the wall's once the GPU has done what it was given."""
    if device.type != "cuda":
        return time.process_time

    def synchronized() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronized


def our_engine(
    network: Network, device: torch.device, *, optimizer: str, compiled: bool = False
) -> Train:
    """The product's own learner, with its kernels or compiled as long trainings are."""
    recipe = Recipe.model_validate({"optimizer": optimizer})
    dtype = choose_dtype("auto", device)
    learner = Learner(
        network.architecture(),
        recipe=recipe,
        seed=0,
        device=device,
        dtype=dtype,
        kernels=KernelChoice(compile="default") if compiled else KernelChoice(),
    )
    clock = clock_of(device)

    def train(batches: np.ndarray) -> float:
        started = clock()
        for number, batch in enumerate(batches):
            learner.update(batch, number=number, factor=1.0)
        return clock() - started

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


def trainer_arguments(
    folder: str, network: Network, *, updates: int, **settings: Any
) -> "TrainingArguments":
    """The Trainer with nothing but training: windows in their order, no logs, no checkpoints."""
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=network.batch_size,
        max_steps=updates,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
        train_sampling_strategy="sequential",
        **settings,
    )


def trainer_engine(network: Network, device: torch.device, *, bf16: bool) -> Train:
    """transformers' Trainer and stock Llama; its clock leaves the Trainer's preparations out."""
    from transformers import Trainer, TrainerCallback

    clock = clock_of(device)

    class Clock(TrainerCallback):
        """Seconds of the loop."""

        def on_train_begin(self, *args: object, **settings: object) -> None:
            self.started = clock()

        def on_train_end(self, *args: object, **settings: object) -> None:
            self.seconds = clock() - self.started

    model = llama(network.architecture())
    folder = tempfile.mkdtemp(prefix="train-speed-")

    def train(batches: np.ndarray) -> float:
        # transformers shifts labels itself, so a window of 256 tokens has 255 targets
        rows = [{"input_ids": row[:-1], "labels": row[:-1]} for batch in batches for row in batch]
        arguments = trainer_arguments(
            folder,
            network,
            updates=len(batches),
            learning_rate=1e-3,
            bf16=bf16,
            use_cpu=device.type == "cpu",
        )
        watch = Clock()
        Trainer(model=model, args=arguments, train_dataset=rows, callbacks=[watch]).train()
        return watch.seconds

    return train


def by_hand(
    network: Network, device: torch.device, *, autocast: bool = False, compiled: bool = False
) -> Train:
    """The plain loop."""
    return plain_engine(
        network.architecture(),
        autocast=autocast,
        compiled=compiled,
        device=device,
        clock=clock_of(device),
    )


def by_litgpt(network: Network, device: torch.device) -> Train:
    """LitGPT's loop, in the precision that is best on the device."""
    precision = "bf16-true" if choose_dtype("auto", device) == torch.bfloat16 else "32-true"
    return litgpt_engine(
        network.architecture(), precision=precision, device=device, clock=clock_of(device)
    )


def engines(device: torch.device) -> tuple[dict[str, Callable[..., Train]], dict[str, str]]:
    """(network, device) -> what trains it, by name; and why others are left out."""
    found: dict[str, Callable[..., Train]] = {
        HF: partial(trainer_engine, bf16=False),
        HF_BF16: partial(trainer_engine, bf16=True),
        PLAIN: by_hand,
        PLAIN_AUTOCAST: partial(by_hand, autocast=True),
        LITGPT: by_litgpt,
        OURS: partial(our_engine, optimizer="adamw"),
        OURS_MUON: partial(our_engine, optimizer="muon"),
        OURS_COMPILED: partial(our_engine, optimizer="adamw", compiled=True),
    }
    skipped = {}
    if shutil.which("g++") is None:
        del found[OURS_COMPILED]
        skipped[OURS_COMPILED] = "no C++ compiler (g++) was found"
    if device.type == "cuda":
        found[PLAIN_COMPILED] = partial(by_hand, autocast=True, compiled=True)
    missing = why_not()
    if missing is not None:
        del found[LITGPT]
        skipped[LITGPT] = missing
    return found, skipped


# engines that share a process: each library has one, so that none profits from what another sets
LIBRARIES = (
    (HF, HF_BF16),
    (PLAIN, PLAIN_AUTOCAST, PLAIN_COMPILED),
    (LITGPT,),
    (OURS, OURS_MUON),
    (OURS_COMPILED,),
)
