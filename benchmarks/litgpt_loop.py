"""LitGPT's pretraining loop: the peer of `train_speed.py` where its package is installed.

`litgpt.pretrain.fit` itself, with Fabric, on the benchmark's batches. Its `main` compiles the model
before (torch.compile), and so does this; the updates that compile are not timed. Its requirements
may contradict those of other packages here; installed into a folder of its own, it is found through
PYTHONPATH:

    pip install --target litgpt-packages --no-deps litgpt lightning lightning-utilities \\
        pytorch-lightning torchmetrics jsonargparse
"""

import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archsmith.architecture.tree import Architecture


def why_not() -> str | None:
    """What is missing for this engine; None where it runs."""
    for package in ("litgpt", "lightning"):
        if find_spec(package) is None:
            return f"the package '{package}' is not installed"
    try:
        import litgpt.pretrain  # noqa: F401
    except ImportError as error:
        return f"litgpt cannot be imported: {error}"
    return None


class Batches:
    """The data loader `fit` draws from; it notes when the first and the last were drawn."""

    def __init__(
        self, batches: np.ndarray, device: torch.device, clock: Callable[[], float]
    ) -> None:
        self._batches, self._clock = torch.from_numpy(batches), clock
        self._device, self.seconds = device, 0.0

    def __iter__(self) -> Iterator[torch.Tensor]:
        started = self._clock()
        for batch in self._batches:
            yield batch.to(self._device)
        self.seconds = self._clock() - started
        yield self._batches[0].to(
            self._device
        )  # `fit` asks for one more before it sees that it is done


def litgpt_engine(
    architecture: Architecture,
    *,
    precision: str,
    device: torch.device,
    clock: Callable[[], float],
) -> Callable[[np.ndarray], float]:
    """Train on batches and return seconds of the clock given."""
    import lightning
    from litgpt import pretrain
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.model import GPT

    layer = architecture.layers[0]
    context = architecture.max_position_embeddings
    config = Config(
        name="benchmark",
        block_size=context,
        n_layer=architecture.num_hidden_layers,
        n_embd=architecture.hidden_size,
        n_head=layer.mixer.num_attention_heads,
        n_query_groups=layer.mixer.num_key_value_heads,
        head_size=layer.mixer.head_dim,
        intermediate_size=layer.feed_forward.intermediate_size,
        vocab_size=architecture.vocab_size,
        padded_vocab_size=architecture.vocab_size,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=architecture.final_norm.eps,
        mlp_class_name="LLaMAMLP",
    )
    accelerator = device.type
    fabric = lightning.Fabric(devices=1, accelerator=accelerator, precision=precision)
    fabric.launch()
    with fabric.init_module():
        model = GPT(config)
    pretrain.initialize_weights(fabric, model, n_layer=config.n_layer, n_embd=config.n_embd)
    model.transformer.wte.weight = model.lm_head.weight
    assert sum(p.numel() for p in model.parameters()) == architecture.num_params
    model = fabric.setup(torch.compile(model))
    # as `main` makes it: fused on GPUs only
    fused = {"fused": accelerator == "cuda"}
    optimizer = fabric.setup_optimizers(
        torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), **fused)
    )
    folder = Path(tempfile.mkdtemp(prefix="litgpt-"))

    def train(batches: np.ndarray) -> float:
        state: dict[str, Any] = {"model": model, "optimizer": optimizer}
        drawn = Batches(batches, device, clock)
        pretrain.fit(
            fabric=fabric,
            devices=1,
            state=state | {"iter_num": 0, "step_count": 0},
            train_dataloader=drawn,
            val_dataloader=Batches(batches[:1], device, clock),
            out_dir=folder,
            tokenizer_dir=None,
            train=TrainArgs(
                save_interval=None,
                global_batch_size=batches.shape[1],
                micro_batch_size=batches.shape[1],
                max_tokens=len(batches) * batches.shape[1] * context,
                lr_warmup_steps=0,
                max_norm=1.0,
            ),
            eval=EvalArgs(interval=10**9, max_iters=1, final_validation=False),
        )
        return drawn.seconds

    return train
