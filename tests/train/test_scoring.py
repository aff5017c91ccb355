import math

import numpy as np
import pytest
import torch
from train_helpers import tiny

from archsmith.data.protocol import ScoringProtocol, score
from archsmith.model.transformer import build
from archsmith.train import scoring
from archsmith.train.scoring import score_model


@pytest.mark.parametrize("batch_tokens", [1, 100])
def test_batched_scoring_equals_one_window_after_the_other(held_out, monkeypatch, batch_tokens):
    monkeypatch.setattr(scoring, "_BATCH_TOKENS", batch_tokens)
    model = build(tiny(), seed=0)
    protocol = ScoringProtocol(context_bytes=60, stride_bytes=25, block_bytes=100, max_bytes=900)

    def nats_of(window):
        stream = torch.from_numpy(window.tokens)[None]
        logits = torch.log_softmax(model(stream[:, :-1])[0], -1)
        nats = -logits.gather(1, stream[0, 1:, None])[:, 0]
        return nats[-window.num_scored :].double().detach().numpy()

    expected = score(held_out, protocol, max_position_embeddings=24, nats_of=nats_of)
    found = score_model(model, held_out, protocol)
    assert found.num_bytes == 900
    assert found.bits_per_byte == pytest.approx(expected.bits_per_byte, rel=1e-6)
    np.testing.assert_allclose(found.block_nats, expected.block_nats, rtol=1e-5)


def test_a_model_that_knows_nothing_scores_the_uniform_level(held_out):
    model = build(tiny(), seed=0)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    found = score_model(model, held_out, ScoringProtocol(context_bytes=64, stride_bytes=32))
    nats_per_token = found.nats / found.num_tokens
    assert nats_per_token == pytest.approx(math.log(280), rel=1e-6)
