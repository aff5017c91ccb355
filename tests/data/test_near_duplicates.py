import random
from collections.abc import Callable

from archsmith.data.near_duplicates import NearDuplicates, window_hashes


def jaccard(first: str, second: str) -> float:
    one, two = (set(window_hashes(text.encode())) for text in (first, second))
    return len(one & two) / len(one | two)


def test_slightly_changed_documents_are_seen_and_others_are_not(make_text: Callable) -> None:
    documents = [make_text(1500, seed=seed) for seed in range(60)]
    index = NearDuplicates()
    assert not any(index.seen(text) for text in documents)
    rng = random.Random(0)
    for text in documents:
        place = rng.randrange(len(text) - 3)
        assert index.seen(text[:place] + "X" + text[place + 3 :])
    assert not index.seen(make_text(1500, seed=99))


def test_case_and_white_space_do_not_count(make_text: Callable) -> None:
    text = make_text(800)
    index = NearDuplicates()
    assert not index.seen(text)
    assert index.seen(text.upper().replace(" ", "  \t").replace("Ü", "ü"))


def test_the_threshold_is_kept_to_about_a_tenth(make_text: Callable) -> None:
    base, other = make_text(4000, seed=1), make_text(4000, seed=2)
    for share, expected in ((0.3, False), (0.98, True)):
        mixed = base[: int(share * len(base))] + other[: int((1 - share) * len(other))]
        index = NearDuplicates(threshold=0.8)
        index.seen(base)
        assert (jaccard(base, mixed) > 0.8) is expected
        assert index.seen(mixed) is expected


def test_only_so_many_documents_are_remembered(make_text: Callable) -> None:
    index = NearDuplicates(max_documents=2)
    for seed in range(3):
        assert not index.seen(make_text(600, seed=seed))
    assert index.full
    assert index.seen(make_text(600, seed=1))
    assert not index.seen(make_text(600, seed=2))


def test_texts_too_short_to_compare_are_never_seen() -> None:
    index = NearDuplicates()
    assert not index.seen("short note")
    assert not index.seen("short note")
