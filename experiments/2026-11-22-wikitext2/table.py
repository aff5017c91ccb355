"""Print the table of `run.py`'s results, each arm against the parameter maximizer.

python table.py OUT
"""

import json
import sys
from pathlib import Path

from archsmith.data.intervals import paired_interval
from archsmith.data.protocol import Score

BASELINE = "parameter maximizer"
MARGIN = 0.005


def main(output_dir: Path) -> None:
    found = [json.loads(path.read_text()) for path in sorted(output_dir.glob("*/result.json"))]
    scores = {one["name"]: _score(one["arm"]) for one in found}
    print(
        "| arm | architecture | tried | file bytes | test bits per byte | word perplexity "
        "| minus the maximizer [95 %] | verdict | FLOPs | wall |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for one in sorted(found, key=lambda one: one["arm"]["metrics"]["bits_per_byte"]):
        arm = one["arm"]
        difference = "-"
        verdict = "baseline"
        if one["name"] != BASELINE and BASELINE in scores:
            gap = paired_interval(scores[one["name"]], scores[BASELINE])
            difference = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
            verdict = _verdict(gap.value, gap.low, gap.high)
        print(
            f"| {one['name']} | {arm['details']['summary']} | {one['num_trained']} "
            f"| {int(arm['metrics']['file_bytes']):,} | {arm['metrics']['bits_per_byte']:.4f} "
            f"| {one['word_perplexity']:.1f} | {difference} | {verdict} | {one['flops']:.2e} "
            f"| {one['wall_seconds'] / 60:.0f} min |"
        )


def _verdict(value: float, low: float, high: float) -> str:
    if high < 0 and value < -MARGIN:
        return "beat"
    if low > 0 and value > MARGIN:
        return "lost"
    return "tied" if low > -MARGIN and high < MARGIN else "undecided"


def _score(arm: dict) -> Score:
    nats, num_bytes = sum(arm["block_nats"]), sum(arm["block_bytes"])
    return Score(
        bits_per_byte=arm["metrics"]["bits_per_byte"],
        nats=nats,
        num_bytes=num_bytes,
        num_tokens=1,
        context_tokens=arm["details"]["context_tokens"],
        stride_tokens=arm["details"]["stride_tokens"],
        block_nats=tuple(arm["block_nats"]),
        block_bytes=tuple(arm["block_bytes"]),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
