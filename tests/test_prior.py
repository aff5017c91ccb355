"""The prior: its formula, its interval, and that the fit finds what made the runs."""

import importlib.util
import math
import random
import sys
from pathlib import Path

import pytest

from archsmith import prior
from archsmith.architecture.feed_forwards.mixture_of_experts import MixtureOfExperts
from archsmith.errors import ConfigError
from archsmith.presets import scaled_llama
from archsmith.prior import Coefficients, Prior, Run, bits_per_byte, predict, unique_equivalent

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "2026-11-22-prior"

TRUE = Coefficients(
    irreducible=0.5,
    size_factor=0.4,
    size_exponent=0.4,
    text_factor=0.9,
    text_exponent=0.5,
    aspect_factor=0.02,
    aspect=40.0,
    vocabulary_factor=0.01,
    vocabulary_constant=0.3,
    difficulty_exponent=0.8,
)
MADE_UP = Prior(
    coefficients=TRUE,
    log_error=0.05,
    log_error_per_doubling=0.02,
    size_range=(1e5, 1e7),
    text_range=(1e6, 1e8),
    num_runs=100,
    corpora=("a", "b"),
)
_SHAPES = (
    (64, 4, 512),
    (128, 2, 2048),
    (128, 12, 1024),
    (256, 4, 2048),
    (256, 8, 512),
    (384, 4, 4096),
)


def shape(width=256, vocab_size=4096):
    return scaled_llama(width, vocab_size=vocab_size, context_tokens=256)


def ask(architecture=None, **changes):
    settings = {"train_bytes": 1e7, "corpus_bits_per_byte": 2.0, "prior": MADE_UP, **changes}
    return predict(architecture or shape(), **settings)


def test_more_text_a_larger_network_and_easier_text_are_better():
    assert ask(train_bytes=2e7).mean < ask().mean
    assert ask(shape(384)).mean < ask().mean
    assert ask(corpus_bits_per_byte=1.5).mean < ask().mean


def test_the_interval_holds_the_mean_and_widens_beyond_the_runs():
    inside, beyond = ask(), ask(train_bytes=1.6e9)
    assert inside.low < inside.mean < inside.high
    assert math.log(inside.high / inside.mean) == pytest.approx(0.05)
    assert math.log(beyond.high / beyond.mean) == pytest.approx(0.05 + 4 * 0.02)


def test_text_read_again_is_worth_less_each_time():
    assert unique_equivalent(5e6, None) == unique_equivalent(5e6, 1e7) == 5e6
    worth = [unique_equivalent(times * 1e6, 1e6) / 1e6 for times in (1, 2, 4, 40, 400)]
    assert worth[0] == 1
    assert 1.9 < worth[1] < 2
    assert 3.6 < worth[2] < 4
    assert worth[3] < worth[4] < 16.5
    assert ask(corpus_train_bytes=1e6).mean > ask(corpus_train_bytes=1e7).mean


def with_experts(num_experts, used=2, width=256):
    plain = shape(width)
    block = MixtureOfExperts(
        num_experts=num_experts, num_experts_per_tok=used, moe_intermediate_size=width
    )
    layer = plain.layers[0].model_copy(update={"feed_forward": block})
    return plain.model_copy(update={"layers": (layer,) * plain.num_hidden_layers})


def test_experts_count_for_something_between_active_and_all_and_are_known_less():
    sparse = with_experts(16)
    dense = {"active": with_experts(2), "all": with_experts(16, used=16)}
    found = {name: ask(architecture) for name, architecture in dense.items()}
    guess = ask(sparse)
    assert found["all"].mean < guess.mean < found["active"].mean
    assert guess.low <= found["all"].low < found["active"].high <= guess.high * 1.001
    assert guess.high - guess.low > found["active"].high - found["active"].low
    assert ask(with_experts(32)).mean < guess.mean


@pytest.mark.parametrize("wrong", [{"train_bytes": 0}, {"corpus_bits_per_byte": -1.0}])
def test_what_must_be_positive_is_checked(wrong):
    with pytest.raises(ConfigError, match="must be positive, got"):
        ask(**wrong)


@pytest.fixture(scope="module")
def fit():
    if not EXPERIMENT.is_dir():
        pytest.skip("needs the folder of experiments")
    spec = importlib.util.spec_from_file_location("prior_fit", EXPERIMENT / "fit.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["prior_fit"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(fit):
    """Runs that follow the formula up to noise of half a percent."""
    rng, made = random.Random(0), []
    for corpus, difficulty in (("a", 1.6), ("b", 2.2), ("c", 2.6)):
        for width, depth, vocab_size in _SHAPES:
            architecture = shape(width, vocab_size)
            for rounds in range(4):
                run = Run(
                    hidden_size=width,
                    num_hidden_layers=depth,
                    num_non_embedding_params=architecture.layers[0].num_params(width) * depth,
                    vocab_size=vocab_size,
                    train_bytes=1e6 * 2**rounds,
                    corpus_bits_per_byte=difficulty,
                )
                noise = math.exp(rng.gauss(0, 0.005))
                made.append(fit.Measured(corpus, run, bits_per_byte(run, TRUE) * noise))
    return made


def test_the_fit_predicts_what_it_has_not_seen(fit, runs):
    shipped = fit.make_prior(runs)
    assert 0.003 < shipped.log_error < 0.1  # a size at the end of six is the hardest
    assert shipped.num_runs == len(runs)
    assert shipped.corpora == ("a", "b", "c")
    far = Run(512, 6, 10_000_000, 2048, 1.6e7, 2.0)
    found = bits_per_byte(far, shipped.coefficients)
    assert found == pytest.approx(bits_per_byte(far, TRUE), rel=0.05)


def test_a_table_is_read_without_the_runs_that_were_not_cooled_down(fit, tmp_path):
    row = "python,2.0,2.5,64,4,200000,512,256,1000000,1.9,{}\n"
    table = tmp_path / "runs.csv"
    table.write_text(",".join(fit.COLUMNS) + "\n" + row.format(1) + row.format(0))
    (only,) = fit.read_runs(table)
    assert only.corpus == "python"
    assert only.run.corpus_bits_per_byte == 2.5
    assert only.bits_per_byte == 1.9
    with pytest.raises(ConfigError, match="at least two corpora"):
        fit.make_prior([only])
    table.write_text("corpus\npython\n")
    with pytest.raises(ConfigError, match="'cooled'"):
        fit.read_runs(table)


def test_the_shipped_prior_orders_plain_cases():
    if not (Path(prior.__file__).parent / "prior.json").exists():
        pytest.skip("no prior has been fitted yet")
    small, large = (
        predict(shape(width), train_bytes=2e7, corpus_bits_per_byte=2.0) for width in (96, 384)
    )
    assert large.mean < small.mean
    more = predict(shape(96), train_bytes=4e7, corpus_bits_per_byte=2.0)
    assert more.mean < small.mean
    assert 0.5 < large.mean < 3.0
    assert prior.shipped().num_runs > 0
