"""Train small networks on several corpora and write what they reach, for `fit.py`.

    python experiments/2026-11-22-prior/measure.py DATA --output runs.csv --work work --minutes 25

DATA holds the folders wikitext2, openstax and novels_en; Python's own library is the fourth
corpus. Trunks are trained in rounds, each twice as far as the one before, with a cooldown branch
at every stop. Stopped or out of time, it goes on where it was when started again.
"""

import argparse
import csv
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from fit import COLUMNS

from archsmith.architecture.tree import Architecture
from archsmith.data.compressors import xz_bits_per_byte
from archsmith.data.corpus import Corpus, CorpusConfig, Split
from archsmith.data.ngram import NGramModel
from archsmith.data.protocol import ScoringProtocol
from archsmith.data.token_file import TokenFile
from archsmith.data.tokenizer import Tokenizer
from archsmith.presets import scaled_llama
from archsmith.train.recipe import Recipe
from archsmith.train.scoring import score_model
from archsmith.train.trunk import Trunk

CONTEXT_BYTES = 1024
FIRST_BYTES = 350_000  # about 100 updates
ROUNDS = 6
SCORED_BYTES = 1 << 17
# (width, depth, vocabulary): sizes from 0.2M to 3M, shapes from 16 to 128 wide per layer
SHAPES = (
    (64, 4, 512),
    (96, 4, 1024),
    (128, 2, 2048),
    (128, 6, 1024),
    (192, 4, 4096),
    (256, 2, 512),
)


class Material(NamedTuple):
    name: str
    train: dict[int, TokenFile]
    search: dict[int, TokenFile]
    xz_bits_per_byte: float
    ngram_bits_per_byte: float


def corpora(data: Path) -> dict[str, CorpusConfig]:
    """What is read for each corpus."""
    library = Path(sysconfig.get_path("stdlib"))
    return {
        "python": CorpusConfig(
            files=(f"{library}/*.py", f"{library}/[a-l]*/**/*.py"),
            exclude=("test/", "tests/", "site-packages/", "idlelib/", "lib2to3/"),
        ),
        "wikitext2": CorpusConfig(
            files=(str(data / "wikitext2/train.txt.gz"),),
            validation_files=(str(data / "wikitext2/valid.txt.gz"),),
            test_files=(str(data / "wikitext2/test.txt.gz"),),
            continuous=True,
        ),
        "openstax": CorpusConfig(files=(f"{data}/openstax/*.jsonl.gz",)),
        "novels": CorpusConfig(files=(f"{data}/novels_en/*.jsonl.gz",)),
    }


def prepare(name: str, config: CorpusConfig, work: Path) -> Material:
    corpus = Corpus.prepare(config, work / name / "corpus")
    whole = Tokenizer.train(corpus, vocab_size=max(size for *_, size in SHAPES), num_threads=1)
    train, search = {}, {}
    for size in sorted({size for *_, size in SHAPES}):
        tokenizer, folder = whole.prefix(size), work / name / "tokens"
        train[size] = TokenFile.build(corpus, Split.TRAIN, tokenizer, folder, num_threads=1)
        search[size] = TokenFile.build(corpus, Split.SEARCH, tokenizer, folder, num_threads=1)
    ngram = NGramModel.fit(corpus, order=6, max_bytes=2_000_000)
    protocol = ScoringProtocol(max_bytes=SCORED_BYTES)
    return Material(
        name,
        train,
        search,
        xz_bits_per_byte(corpus, Split.SEARCH, max_bytes=SCORED_BYTES).bits_per_byte,
        ngram.score(corpus, Split.SEARCH, protocol).bits_per_byte,
    )


def build(shape: tuple[int, int, int], bytes_per_token: float) -> Architecture:
    width, depth, vocab_size = shape
    drawn = scaled_llama(
        width,
        vocab_size=vocab_size,
        context_tokens=16 * -(-CONTEXT_BYTES // int(16 * bytes_per_token)),
    )
    return drawn.model_copy(update={"layers": drawn.layers[:1] * depth})


def measured(material: Material, trunk: Trunk) -> dict[str, object]:
    """One row: the trunk cooled down from where it stands, and scored."""
    before = trunk.branch_steps
    model = trunk.cooldown()
    assert model is not None
    share = (trunk.branch_steps - before) / trunk.step
    architecture = trunk.architecture
    score = score_model(
        model,
        material.search[architecture.vocab_size],
        ScoringProtocol(context_bytes=CONTEXT_BYTES, stride_bytes=512, max_bytes=SCORED_BYTES),
    )
    values = (
        material.name,
        f"{material.xz_bits_per_byte:.5f}",
        f"{material.ngram_bits_per_byte:.5f}",
        architecture.hidden_size,
        architecture.num_hidden_layers,
        architecture.num_non_embedding_params,
        architecture.vocab_size,
        architecture.max_position_embeddings,
        round(trunk.train_bytes * (1 + share)),
        f"{score.bits_per_byte:.5f}",
        1,
    )
    return dict(zip(COLUMNS, values, strict=True))


def plan(materials: dict[str, Material]) -> Iterator[tuple[int, Material, tuple[int, int, int]]]:
    for number in range(ROUNDS):
        for shape in SHAPES:
            for material in materials.values():
                # nothing is read twice: the cooldown needs a fifth more
                if FIRST_BYTES * 2**number * 1.3 < material.train[shape[2]].num_bytes:
                    yield number, material, shape


def run(materials: dict[str, Material], output: Path, work: Path, seconds: float) -> None:
    started, done = time.process_time(), finished(output)
    for number, material, shape in plan(materials):
        tokens = material.train[shape[2]]
        architecture = build(shape, tokens.bytes_per_token)
        key = (material.name, architecture.num_non_embedding_params, shape[2], number)
        if key in done:
            continue
        if time.process_time() - started > seconds:
            print(f"out of time in round {number}; start again to go on")
            return
        folder = work / material.name / "trunks" / "x".join(map(str, shape))
        if folder.exists():
            trunk = Trunk.load(folder, tokens=tokens)
        else:
            trunk = Trunk.start(architecture, recipe=Recipe(), seed=0, tokens=tokens)
        trunk.run(FIRST_BYTES * 2**number)
        trunk.save(folder)
        row = measured(material, trunk)
        append(output, row)
        spent = time.process_time() - started
        print(
            f"{spent:6.0f} s  {material.name:10} {architecture.summary()}  "
            f"{row['train_bytes']} bytes: {row['bits_per_byte']}",
            flush=True,
        )


def finished(output: Path) -> set[tuple[str, int, int, int]]:
    """Runs in the table already, by corpus, size, vocabulary and round."""
    if not output.exists():
        return set()
    with output.open(newline="", encoding="utf-8") as lines:
        return {
            (
                row["corpus"],
                int(row["num_non_embedding_params"]),
                int(row["vocab_size"]),
                (int(row["train_bytes"]) // FIRST_BYTES).bit_length() - 1,
            )
            for row in csv.DictReader(lines)
        }


def append(output: Path, row: dict[str, object]) -> None:
    new = not output.exists()
    with output.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with wikitext2, openstax and novels_en")
    parser.add_argument("--output", type=Path, required=True, help="table, extended if it exists")
    parser.add_argument("--work", type=Path, required=True, help="folder for corpora and trunks")
    parser.add_argument("--minutes", type=float, default=25.0, help="of processor time")
    parser.add_argument("--corpora", nargs="+", help="these alone; two may fill one table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    materials = {}
    for name, config in corpora(arguments.data.resolve()).items():
        if arguments.corpora and name not in arguments.corpora:
            continue
        print(f"preparing {name}", flush=True)
        materials[name] = prepare(name, config, arguments.work)
    run(materials, arguments.output, arguments.work, 60 * arguments.minutes)


if __name__ == "__main__":
    main()
