"""The LSTM that draws members: which it draws, how likely it says they are, and its state."""

import itertools
import math

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.architecture.elastic import Elastic, ElasticDimension, sizes_of
from archsmith.train import recurrent_policy
from archsmith.train.checkpoint import read_tensors, restore, write_tensors
from archsmith.train.recurrent_policy import RecurrentPolicy


def parts(*counts, keep=lambda options: True):
    """Members in as many dimensions as counts; a policy asks nothing of the networks."""
    members = tuple(filter(keep, itertools.product(*map(range, counts))))
    largest = tiny()
    return Elastic(
        largest=largest,
        dimensions=tuple(
            ElasticDimension(f"d{number}", tuple(map(str, range(count))))
            for number, count in enumerate(counts)
        ),
        members=members,
        sizes=(sizes_of(largest),) * len(members),
    )


def under_a_limit():
    """The last option of the first choice has no member, and only one goes with two of others."""
    return parts(3, 4, 3, keep=lambda o: o[0] < 2 and sum(o) <= 4 and (o[2] == 1) == (o[1] == 2))


def policy(elastic, seed=0, learning_rate=0.003):
    rng = np.random.default_rng(seed)
    return RecurrentPolicy(elastic, learning_rate=learning_rate, betas=(0.0, 0.999), rng=rng)


def teach(some, members, start=0):
    for number, member in enumerate(members, start):
        found = some.likelihood(member)
        some.step(-found.log_probability - 0.01 * found.entropy, number=number)


def test_every_draw_is_a_member_and_as_likely_as_it_is_said():
    elastic = under_a_limit()
    some = policy(elastic)
    teach(some, [0] * 3)
    shares = some.log_probabilities().exp()
    assert shares.sum() == pytest.approx(1.0)
    rng, num_draws = np.random.default_rng(0), 200
    counts = np.bincount([some.draw(rng) for _ in range(num_draws)], minlength=len(elastic.members))
    assert len(counts) == len(elastic.members)
    expected = num_draws * shares.numpy()
    assert (abs(counts - expected) < 4.5 * np.sqrt(expected) + 1).all()


def test_at_first_options_left_are_about_equally_likely():
    some = policy(parts(2, 3, keep=lambda options: options != (1, 2)))
    expected = torch.tensor([1 / 6] * 3 + [1 / 4] * 2)
    torch.testing.assert_close(some.log_probabilities().exp(), expected, rtol=0.05, atol=0)


def test_marginals_are_of_the_members_and_sum_to_one():
    elastic = under_a_limit()
    some = policy(elastic)
    teach(some, [2, 5])
    shares = some.log_probabilities().exp().tolist()
    for place, found in enumerate(some.marginals()):
        assert found.sum() == pytest.approx(1.0)
        for option, marginal in enumerate(found):
            own = [s for s, m in zip(shares, elastic.members, strict=True) if m[place] == option]
            assert marginal == pytest.approx(sum(own))


def test_logits_are_centred_and_finite_where_no_member_has_an_option():
    some = policy(under_a_limit())
    logits = some.named_logits()
    assert list(logits)[:4] == ["d0=0", "d0=1", "d0=2", "d1=0"]
    assert logits["d0=0"] + logits["d0=1"] == pytest.approx(0)
    assert -20 < logits["d0=2"] < -10
    ratio = np.divide(*some.marginals()[0][:2])
    assert logits["d0=0"] - logits["d0=1"] == pytest.approx(np.log(ratio))


def test_the_likeliest_members_are_named_with_their_probability(monkeypatch):
    elastic = under_a_limit()
    some = policy(elastic)
    teach(some, [4] * 10)
    named = some.named_members()
    assert len(named) == len(elastic.members)
    assert sum(map(math.exp, named.values())) == pytest.approx(1.0)
    assert list(named.values()) == sorted(named.values(), reverse=True)
    taught = ", ".join(f"d{place}={option}" for place, option in enumerate(elastic.members[4]))
    assert next(iter(named)) == taught
    monkeypatch.setattr(recurrent_policy, "MOST_NAMED", 2)
    assert list(some.named_members().items()) == list(named.items())[:2]


def test_entropy_of_draws_is_on_average_that_over_all_members(monkeypatch):
    elastic = under_a_limit()
    exact = policy(elastic)
    monkeypatch.setattr(recurrent_policy, "_MOST_PREFIXES", 0)
    drawn = policy(elastic)
    for some in (exact, drawn):
        some.state()["head"].detach().mul_(80)  # away from uniform
    numbers = range(len(elastic.members))
    own = [drawn.likelihood(number) for number in numbers]
    logs = torch.stack([found.log_probability for found in own]).detach()
    torch.testing.assert_close(logs, exact.log_probabilities())
    entropies = torch.stack([found.entropy for found in own]).detach()
    assert entropies.std() > 0.01
    whole = float(exact.likelihood(0).entropy.detach())
    assert (logs.exp() * entropies).sum() == pytest.approx(whole, rel=1e-4)
    assert -(logs.exp() * logs).sum() == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("most_prefixes", [0, 512])
def test_what_is_taught_becomes_likelier(monkeypatch, most_prefixes):
    monkeypatch.setattr(recurrent_policy, "_MOST_PREFIXES", most_prefixes)
    some = policy(under_a_limit())
    before = some.log_probabilities()
    teach(some, [4] * 10)
    assert some.log_probabilities()[4] > before[4] + 0.5
    assert some.log_probabilities().exp().sum() == pytest.approx(1.0)


def test_one_member_alone_is_drawn_and_there_is_nothing_to_learn():
    for elastic in (parts(), parts(1, 1)):
        some = policy(elastic)
        teach(some, [0, 0])
        assert some.draw(np.random.default_rng(0)) == 0
        assert some.log_probabilities().tolist() == [0.0]


def test_first_weights_are_the_seeds_and_the_global_generator_stays():
    before = torch.random.get_rng_state()
    one, same, other = (policy(under_a_limit(), seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in one.state().items():
        assert torch.equal(tensor, same.state()[name])
        assert tensor.abs().max() <= 0.1
    assert not torch.equal(one.state()["recurrent"], other.state()["recurrent"])


def test_a_restored_policy_goes_on_to_the_same_bits(tmp_path):
    whole, begun, resumed = (policy(under_a_limit()) for _ in range(3))
    teach(whole, [1, 3, 5, 2, 2])
    teach(begun, [1, 3, 5])
    files = {"policy": write_tensors(tmp_path, "policy", begun.state())}
    restore(resumed.state(), read_tensors(tmp_path, files, "policy"), tmp_path)
    teach(resumed, [2, 2], start=3)
    for name, tensor in whole.state().items():
        assert torch.equal(resumed.state()[name], tensor), name
    draws = [whole.draw(np.random.default_rng(n)) for n in range(9)]
    assert draws == [resumed.draw(np.random.default_rng(n)) for n in range(9)]
