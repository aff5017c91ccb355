"""The pattern of block-sparse attention, and its FLOPs against a count of all pairs."""

import random

from archsmith.architecture.mixers.block_sparse_attention import BlockSparseAttention


def test_flops_count_every_pair_of_positions_that_is_seen():
    rng = random.Random(0)
    for _ in range(60):
        heads, size = rng.choice((1, 2, 3, 4, 8)), rng.choice((2, 3, 4))
        spec = BlockSparseAttention(
            num_attention_heads=heads,
            num_key_value_heads=1,
            head_dim=8,
            block_size=size,
            num_local_blocks=rng.choice((1, 2, 3)),
            vertical_stride=rng.choice((1, 2, 3, 5, 8)),
        )
        tokens = rng.randint(1, 50)
        seen = sum(
            spec.sees(head, query // size, key // size)
            for head in range(heads)
            for query in range(tokens)
            for key in range(query + 1)
        )
        assert spec.mixing_flops(tokens) == 4 * 8 * seen // tokens


def test_all_blocks_near_means_attention_without_gaps():
    spec = BlockSparseAttention(
        num_attention_heads=2, num_key_value_heads=2, head_dim=8, block_size=4, num_local_blocks=9
    )
    assert spec.mixing_flops(33) == 4 * 16 * (33 * 34 // 2) // 33
