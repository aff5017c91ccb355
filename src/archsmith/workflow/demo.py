"""The demonstration: the main job on text every user has, Python's own standard library.

Four models are trained for equal seconds of one core each: what the search finds (a quarter of its
seconds is the search itself), the Llama shape fitted to the limits, the parameter maximizer, and a
copied configuration with a 32k vocabulary. Two cores, two models at a time. Unlike the baselines of
`archsmith search` those three are not tuned: minutes are too short for it.
"""

import sysconfig
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from archsmith.architecture.tree import Architecture
from archsmith.budget import Budget
from archsmith.config import validate
from archsmith.data.corpus import Corpus
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.splits import Split
from archsmith.errors import ConfigError
from archsmith.presets import scaled_llama
from archsmith.strategies.llama_shape import LlamaShape
from archsmith.strategies.parameter_maximizer import ParameterMaximizer
from archsmith.train.recipe import Recipe
from archsmith.trial import ArmResult
from archsmith.workflow.arms import ArmProcess, wait_for
from archsmith.workflow.baselines import BASELINES, MAXIMIZER
from archsmith.workflow.fitting import fitted
from archsmith.workflow.floors import measure_floors
from archsmith.workflow.pipeline import Pipeline
from archsmith.workflow.search_config import SearchConfig
from archsmith.workflow.watcher import Watcher

LLAMA = BASELINES["llama_shape"]
COPIED = "copied, 32k vocabulary"
COPIED_VOCAB_SIZE = 32_000
MAX_PARAMS = 2_000_000
# Folders of the standard library that are tests, not Python's own, or tables rather than code.
EXCLUDED = (
    "test/",
    "tests/",
    "idle_test/",
    "site-packages/",
    "dist-packages/",
    "encodings/",
    "pydoc_data/",
)
# Reload, score and time four models, the floors beside them, and the page.
_HANDOVER_SECONDS = 85.0
_SEARCH_SHARE = 0.25


def demo_config(output_dir: Path, *, minutes: float) -> SearchConfig:
    """The demonstration as a search file."""
    return validate(
        SearchConfig,
        {
            "study_name": "demo",
            "storage": "sqlite:///demo.db",
            "output_dir": ".",
            "limits": [
                "file_bytes <= 2MiB",
                "decode_ms_per_token <= 1.0",
                f"num_params <= {MAX_PARAMS}",
            ],
            "timeout": 60.0 * minutes,
            "baselines": [],  # its own are trained beside the search
            "corpus": {"files": [sysconfig.get_paths()["stdlib"]], "exclude": list(EXCLUDED)},
            "tokenizer": {
                "vocab_sizes": [2048, 4096, 8192, 16384],
                "trained_size": COPIED_VOCAB_SIZE,
            },
            "space": {
                "preset": "portable",
                "max_params": MAX_PARAMS,
                "quantizations": ["Q4_0", "Q8_0"],
            },
            # short contexts and small batches: many updates in little time
            # one rung, about as long as its warm-up and 200 updates ask: minutes allow no ladder
            "plan": {
                "context_bytes": 768,
                "search_share": _SEARCH_SHARE,
                "rungs": [0.075],
                "calibrate": False,
            },
            "training": {"batch_tokens": 288, "warmup_steps": 30},
            "protocol": {"context_bytes": 768, "stride_bytes": 384},
        },
        source="demo",
    )


def run_demo(
    output_dir: Path, *, minutes: float = 10.0, watcher: Watcher | None = None
) -> Pipeline:
    """Everything from the library's source to four checked and scored models.

    Raises ConfigError where the time is too short, InfeasibleError where this machine is too slow
    for the limit on milliseconds.
    """
    if minutes < 3:
        raise ConfigError(f"the demo needs at least 3 minutes, got {minutes:g}")
    started = time.monotonic()
    config = demo_config(output_dir, minutes=minutes)
    pipeline = Pipeline(
        config, root=output_dir, watcher=watcher, command=f"archsmith demo --minutes {minutes:g}"
    )
    if pipeline.finished:
        return pipeline
    pipeline.prepare(encode=(*config.tokenizer.vocab_sizes, COPIED_VOCAB_SIZE))
    problem = pipeline.workspace.problem()
    arms = {
        LLAMA: fitted(problem, LlamaShape()),
        MAXIMIZER: fitted(problem, ParameterMaximizer()),
        COPIED: copied(pipeline),
    }
    left = 60.0 * minutes - (time.monotonic() - started) - _HANDOVER_SECONDS
    seconds = max(left / 2, 20.0)
    pipeline.budget = Budget(
        total_seconds=60.0 * minutes,
        prepare_seconds=time.monotonic() - started,
        calibration_seconds=0.0,
        search_seconds=_SEARCH_SHARE * seconds,
        training_seconds=(1 - _SEARCH_SHARE) * seconds,
        export_seconds=_HANDOVER_SECONDS,
    )
    suggestion = pipeline.suggestion()
    # the hand-drawn shapes are trained beside the search, to the end
    study = pipeline.study(suggestion, start_rows=1)
    recipe = config.training
    beside = _start(pipeline, LLAMA, arms[LLAMA], recipe, seconds)
    phase_started = time.monotonic()
    try:
        pipeline.search(study, recipe)
        winner = pipeline.select(study)
        rest = seconds - (time.monotonic() - phase_started)
        model = pipeline.train(study, winner, recipe, max_seconds=max(rest, 10.0), num_threads=1)
        beside.wait()
    except BaseException:
        beside.stop()
        raise
    pipeline.begin("the other baselines, for the same seconds", seconds)
    others = [_start(pipeline, name, arms[name], recipe, seconds) for name in (MAXIMIZER, COPIED)]
    wait_for(others)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        floors = pool.submit(_floors, pipeline.workspace.corpus.directory, config.protocol)
        rows = [pipeline.hand_over(model, trial=winner.trial).arm]
        rows += [pipeline.baseline(name) for name in arms]
        _finish(pipeline, rows, floors)
    return pipeline


def copied(pipeline: Pipeline) -> Architecture:
    """What one copies from a large model: its vocabulary of 32,000, the width cut until the
    parameters are near the limit. The vocabulary takes nearly all of them."""
    context = pipeline.workspace.context_of(COPIED_VOCAB_SIZE)
    widths = (32, 64, 96)
    shapes = [
        scaled_llama(
            width,
            vocab_size=COPIED_VOCAB_SIZE,
            context_tokens=context,
            quantization="Q8_0",
        )
        for width in widths
    ]
    fitting = [shape for shape in shapes if shape.num_params <= MAX_PARAMS]
    return (fitting or shapes[:1])[-1]


def _start(
    pipeline: Pipeline, name: str, architecture: Architecture, recipe: Recipe, seconds: float
) -> ArmProcess:
    # the child's own start-up is no training: it is not counted against the arm
    task = pipeline.arm_task(name, architecture, recipe=recipe, max_seconds=seconds)
    return ArmProcess(task, on_progress=pipeline.watcher.training)


def _floors(corpus: Path, protocol: ScoringProtocol) -> list[ArmResult]:
    return measure_floors(Corpus.open(corpus), Split.TEST, protocol)


def _finish(pipeline: Pipeline, rows: list[ArmResult], floors: "Future[list[ArmResult]]") -> None:
    pipeline.begin("n-gram model and xz")
    pipeline.record_arms([*rows, *floors.result()])
