"""What would be suggested if the prior had never seen the corpora of this experiment.

    python blind.py DATA --output-dir OUT

The prior's runs are on these two corpora and on two others. It is fitted here to the others alone,
to all but the corpus in question, and to all of them, and each fit suggests for both corpora; the
speed of training is measured anew each time, as in `run.py`. DATA and OUT as there; its prepared
texts are used.
"""

import argparse
import os
import sys
import tempfile
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "2026-11-22-prior"))

import fit as fitting
import run as live

import archsmith.prior
from archsmith.prior import Prior
from archsmith.workflow.suggestion import Row, Suggestion

RUNS = Path(__file__).parents[1] / "2026-11-22-prior" / "runs.csv"
NAMES = {"wikitext2": "wikitext2", "stdlib": "python"}  # as the prior's table calls them


@cache
def prior_without(corpora: tuple[str, ...]) -> Prior:
    """The prior fitted to the runs on all other corpora."""
    return fitting.make_prior([one for one in fitting.read_runs(RUNS) if one.corpus not in corpora])


def priors(corpus: str) -> dict[str, Prior]:
    """The prior by what it was fitted to."""
    return {
        "all four corpora": prior_without(()),
        "all but this one": prior_without((NAMES[corpus],)),
        "novels and textbooks alone": prior_without(tuple(NAMES.values())),
    }


def suggested(data: Path, output_dir: Path, corpus: str, prior: Prior) -> Suggestion:
    """The suggestion a search would begin with."""
    archsmith.prior.shipped = lambda: prior
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        live.link_prepared(output_dir, corpus, place)
        pipeline = live.make_pipeline(live.config_of(data, corpus, "random", 1), place)
        pipeline.prepare()
        return pipeline.suggestion()


def cells(corpus: str, name: str, row: Row) -> str:
    predicted = (
        f"{row.bits_per_byte:.3f} [{row.bits_per_byte_low:.3f}, {row.bits_per_byte_high:.3f}]"
    )
    shown = [
        corpus,
        name,
        row.architecture.summary(),
        f"{row.metrics['file_bytes']:,.0f}",
        predicted,
    ]
    return f"| {' | '.join(shown)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output-dir", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [
        "| corpus | prior fitted to | suggested | file bytes | predicted bits per byte |",
        "| --- | --- | --- | --- | --- |",
    ]
    for corpus in live.LIMITS:
        live.prepare(arguments.data, arguments.output_dir, corpus)
        for name, prior in priors(corpus).items():
            found = suggested(arguments.data, arguments.output_dir, corpus, prior)
            lines.append(cells(corpus, name, found.rows[0]))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
