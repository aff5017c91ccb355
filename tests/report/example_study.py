"""A study with realistic values, made from one seed: what every test of the report looks at."""

import math
import random
from dataclasses import replace

from archsmith.architecture.feed_forwards.gated_mlp import GatedMlp
from archsmith.architecture.feed_forwards.mlp import Mlp
from archsmith.architecture.mixers.attention import Attention
from archsmith.architecture.norm import Norm
from archsmith.architecture.tree import Architecture, Layer
from archsmith.report.study_report import (
    AnytimeCurve,
    AnytimePoint,
    ArmRow,
    CurvePoint,
    FinalistRow,
    LimitRow,
    RungRow,
    RunningJob,
    RunRow,
    Spending,
    StudyReport,
    TrialRow,
)

MIB = 2**20
BLOCK_BYTES = 4096
NUM_BLOCKS = 180
PLAN_BYTES = 60_000_000


def llama(*, depth: int, width: int, heads: int, groups: int, ffn: int, vocab: int) -> Architecture:
    mixer = Attention(
        num_attention_heads=heads, num_key_value_heads=groups, head_dim=width // heads
    )
    layer = Layer(mixer=mixer, feed_forward=GatedMlp(intermediate_size=ffn))
    return Architecture(
        hidden_size=width,
        vocab_size=vocab,
        max_position_embeddings=1024,
        layers=(layer,) * depth,
        quantization="Q8_0",
    )


def phi(*, depth: int, width: int, heads: int, ffn: int, vocab: int) -> Architecture:
    layer = Layer(
        mixer=Attention(
            num_attention_heads=heads, num_key_value_heads=heads, head_dim=width // heads
        ),
        feed_forward=Mlp(intermediate_size=ffn),
        norm=Norm(type="layer"),
        residual="parallel",
    )
    return Architecture(
        hidden_size=width,
        vocab_size=vocab,
        max_position_embeddings=1024,
        layers=(layer,) * depth,
        tie_word_embeddings=False,
        quantization="Q8_0",
    )


WINNER = llama(depth=10, width=256, heads=8, groups=2, ffn=768, vocab=4096)
MAXIMIZER = llama(depth=12, width=256, heads=4, groups=4, ffn=704, vocab=2048)
LLAMA_SHAPE = llama(depth=5, width=320, heads=5, groups=5, ffn=864, vocab=8192)
PHI_SHAPE = phi(depth=24, width=192, heads=6, ffn=512, vocab=4096)


def file_bytes(architecture: Architecture) -> float:
    return float(architecture.num_params * 1.0625 + architecture.vocab_size * 22)


def curve(final: float, *, seconds: float, points: int = 24) -> tuple[CurvePoint, ...]:
    shares = [(i + 1) / points for i in range(points)]
    return tuple(
        CurvePoint(
            round(PLAN_BYTES * share),
            seconds * share,
            final + 0.9 * (share**-0.35 - 1) * 0.4 + (0.04 if share < 0.99 else 0.0),
        )
        for share in shares
    )


def block_nats(score: float, difficulty: list[float], rng: random.Random) -> tuple[float, ...]:
    nats = [score * d * BLOCK_BYTES * math.log(2) * rng.gauss(1, 0.006) for d in difficulty]
    shift = score * BLOCK_BYTES * NUM_BLOCKS * math.log(2) / sum(nats)
    return tuple(n * shift for n in nats)


def arm(
    name: str,
    kind: str,
    score: float,
    difficulty: list[float],
    rng: random.Random,
    *,
    architecture: Architecture | None = None,
    ms_per_token: float = 0.0,
    train_seconds: float = 0.0,
    **details: object,
) -> ArmRow:
    metrics = {"bits_per_byte": score}
    if architecture is not None:
        metrics |= {
            "file_bytes": file_bytes(architecture),
            "decode_ms_per_token": ms_per_token,
            "num_params": float(architecture.num_params),
            "train_seconds": train_seconds,
            "train_bytes": float(PLAN_BYTES),
            "peak_memory_bytes": file_bytes(architecture) * 1.4,
        }
        details = {
            "split": "test",
            "epochs": 5.6,
            "train_bits_per_byte": score - 0.08,
            "copied_share": 0.012,
            "quantization_kl": 0.0007,
            "tokens_per_second": PLAN_BYTES / 3.6 / train_seconds,
            "decode_ms_min": ms_per_token * 0.96,
            "decode_ms_max": ms_per_token * 1.05,
            **details,
        }
    return ArmRow(
        name=name,
        kind=kind,
        seed=0 if architecture else None,
        trial=17 if kind == "search" else None,
        summary=architecture.summary() if architecture else "",
        architecture=architecture.model_dump(mode="json") if architecture else None,
        metrics=metrics,
        block_nats=block_nats(score, difficulty, rng),
        block_bytes=(BLOCK_BYTES,) * NUM_BLOCKS,
        curve=curve(score, seconds=train_seconds) if architecture else (),
        samples=(
            ("def fibonacci(n):", f"\n    if n < 2:\n        return n  # by {name}\n"),
            ("The <b>licence</b> says", " <script>alert('copied')</script> & nothing more"),
        )
        if architecture
        else (),
        details=details,
    )


def trial(number: int, rng: random.Random) -> TrialRow:
    depth, width = rng.choice([4, 6, 8, 10, 12, 16]), rng.choice([128, 192, 256, 320, 384])
    architecture = llama(
        depth=depth, width=width, heads=4, groups=rng.choice([1, 2, 4]),
        ffn=rng.choice([2, 3]) * width, vocab=rng.choice([1024, 2048, 4096, 8192]),
    )  # fmt: skip
    size = file_bytes(architecture)
    speed = 0.4 + architecture.num_params / 9e6
    metrics = {"file_bytes": size, "num_params": float(architecture.num_params)}
    shared = {
        "number": number,
        "strategy": rng.choice(["archsmith", "archsmith", "random", "evolution"]),
        "parents": (number // 2,) if number > 8 else (),
        "summary": architecture.summary(),
        "architecture": architecture.model_dump(mode="json"),
    }
    if size > 12 * MIB:
        reason = f"file_bytes is {size / MIB:.1f} MiB, the limit is 12.0 MiB"
        return TrialRow(
            **shared,
            state="rejected",
            reason=reason,
            broken_limits=("file_bytes",),
            metrics=metrics,
        )
    metrics["decode_ms_per_token"] = speed
    if speed > 1.5:
        reason = f"decode_ms_per_token is {speed:.2f} ms, the limit is 1.5 ms"
        return TrialRow(
            **shared,
            state="rejected",
            reason=reason,
            broken_limits=("decode_ms_per_token",),
            metrics=metrics,
        )
    if rng.random() < 0.06:
        return TrialRow(
            **shared, state="failed", reason="loss became not a number at step 412", metrics=metrics
        )
    rung = rng.choices([0, 1, 2], [6, 3, 1])[0]
    score = 2.35 - 0.16 * math.log(architecture.num_params / 1e6) + rng.gauss(0, 0.03)
    by_rung = {
        r: {**metrics, "bits_per_byte": score + 0.5 * (0.12, 0.04, 0)[r]} for r in range(rung + 1)
    }
    return TrialRow(
        **shared,
        state="complete",
        metrics=by_rung[rung],
        rung=rung,
        rung_metrics=by_rung,
        curve=tuple(
            p
            for p in curve(score - 0.04, seconds=300)
            if p.train_bytes <= PLAN_BYTES * (0.05, 0.1, 0.3)[rung]
        ),
        train_seconds=300 * (0.05, 0.1, 0.3)[rung],
    )


def finalists() -> tuple[FinalistRow, ...]:
    """Two that were trained again, of which the second had been the first, and one that was not."""
    steady = (RunRow(0, 1.0, 1.9512), RunRow(1, 1.0, 1.9534), RunRow(0, 0.5, 1.9321))
    lucky = (RunRow(0, 1.0, 1.9498), RunRow(1, 1.0, 1.9702), RunRow(0, 0.5, None, "diverged"))
    return (
        FinalistRow(
            trial=12,
            summary="4x256",
            rung=2,
            bits_per_byte=1.9332,
            predicted_bits_per_byte=1.8402,
            half_width=0.0121,
            rate_factor=0.5,
            runs=steady,
        ),
        FinalistRow(
            trial=31,
            rung=2,
            bits_per_byte=1.96,
            predicted_bits_per_byte=1.8691,
            half_width=0.0109,
            runs=lucky,
        ),
        FinalistRow(
            trial=0, rung=1, bits_per_byte=2.02, predicted_bits_per_byte=1.93, half_width=0.05
        ),
    )


def example_study(*, seed: int = 0) -> StudyReport:
    rng = random.Random(seed)
    difficulty = [math.exp(rng.gauss(0, 0.15)) for _ in range(NUM_BLOCKS)]
    trials = [trial(number, rng) for number in range(72)]
    trials.append(
        replace(
            trials[0],
            number=72,
            state="pending",
            metrics={},
            rung=-1,
            rung_metrics={},
            curve=(),
            reason="",
            broken_limits=(),
        )
    )
    return StudyReport(
        name="standard-library",
        phase="done",
        objectives=("bits_per_byte", "decode_ms_per_token"),
        limits=(
            LimitRow("file_bytes", "<=", 12.0 * MIB),
            LimitRow("decode_ms_per_token", "<=", 1.5),
        ),
        rungs=tuple(
            RungRow(i, share, round(PLAN_BYTES * share)) for i, share in enumerate((0.05, 0.1, 0.3))
        ),
        trials=tuple(trials),
        running=(
            RunningJob(
                trial=72,
                summary=str(trials[72].summary),
                rung=0,
                fraction_done=0.42,
                train_bytes=1_260_000,
                bits_per_byte=2.7312,
                seconds=12.0,
                seconds_left=17.0,
            ),
        ),
        arms=(
            arm(
                "search winner",
                "search",
                1.8421,
                difficulty,
                rng,
                architecture=WINNER,
                ms_per_token=1.21,
                train_seconds=2100,
            ),
            arm(
                "largest that fits",
                "baseline",
                1.9655,
                difficulty,
                rng,
                architecture=MAXIMIZER,
                ms_per_token=1.42,
                train_seconds=2300,
            ),
            arm(
                "fitted Llama shape",
                "baseline",
                1.8702,
                difficulty,
                rng,
                architecture=LLAMA_SHAPE,
                ms_per_token=1.05,
                train_seconds=1900,
            ),
            arm(
                "fitted Phi-3 shape",
                "baseline",
                1.8444,
                difficulty,
                rng,
                architecture=PHI_SHAPE,
                ms_per_token=1.38,
                train_seconds=2500,
            ),
            arm("5-gram", "floor", 2.21, difficulty, rng),
            arm("xz", "floor", 2.38, difficulty, rng),
        ),
        primary_baseline="largest that fits",
        seed=0,
        created="2026-01-05T10:00:00Z",
        elapsed_seconds=9_900.0,
        budget_seconds=10_800.0,
        ledger=(
            Spending(phase="preparation", seconds=95, jobs=3, planned_seconds=120),
            Spending(phase="calibration", seconds=640, flops=3.1e14, jobs=12, planned_seconds=700),
            Spending(
                phase="search",
                seconds=3900,
                flops=2.2e15,
                jobs=61,
                failed_jobs=4,
                failed_seconds=88,
                planned_seconds=4200,
            ),
            Spending(phase="baselines", seconds=2600, flops=1.6e15, jobs=3, planned_seconds=2700),
            Spending(
                phase="final training", seconds=2450, flops=1.7e15, jobs=1, planned_seconds=2300
            ),
            Spending(phase="export and tests", seconds=160, jobs=4, planned_seconds=240),
        ),
        corpus={
            "files": 812,
            "documents": 797,
            "num_bytes": 10_712_334,
            "replaced_bytes": 14,
            "empty": 3,
            "exact_duplicates": 9,
            "near_duplicates": 3,
            "splits": {
                "train": {"documents": 760, "num_bytes": 10_012_334},
                "search": {"documents": 12, "num_bytes": 180_000},
                "selection": {"documents": 10, "num_bytes": 170_000},
                "test": {"documents": 15, "num_bytes": 350_000},
            },
        },
        environment={
            "python": "3.11.9",
            "torch": "2.13.0",
            "cpu": "4 cores",
            "num_threads": 2,
            "corpus_hash": "9f3c2a117b5d0e44",
        },
        calibration={"learning_rate": 0.003, "regret_bits_per_byte": 0.002},
        suggestion={
            "vocab_size": 4096,
            "why": "the largest whose table leaves three quarters of the file to layers",
        },
        settings={"study_name": "standard-library", "seed": 0},
        anytime=tuple(
            AnytimeCurve(
                name, (AnytimePoint(1000.0, 8e14, 2.4), AnytimePoint(seconds, 5.5e15, 1.82))
            )
            for name, seconds in (
                ("search winner", 9845.0),
                ("largest that fits", 9700.0),
                ("fitted Llama shape", 9720.0),
                ("fitted Phi-3 shape", 9810.0),
            )
        ),
        finalists=finalists(),
        repeats={"planned": [{}] * 4, "room_seconds": 900.0, "reason": "", "seed_noise": 0.0189},
        audited=(5, 9, 14),
        false_eliminations=(9,),
        command="archsmith search search.toml --seed 0",
    )
