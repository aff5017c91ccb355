from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from archsmith.data.cutting import middle_border, pieces

TEXT = st.text(alphabet="ab \n\r\tü戦|<>", max_size=400)


def chunked(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]


@settings(max_examples=60, deadline=None)
@given(text=TEXT, length=st.integers(1, 50), piece_bytes=st.integers(4, 60))
def test_pieces_spell_the_text(text: str, length: int, piece_bytes: int) -> None:
    found = list(pieces(chunked(text, length), piece_bytes=piece_bytes))
    assert "".join(piece.text for piece in found) == text
    assert all(piece.text for piece in found)
    assert [piece.first for piece in found] == [True] + [False] * (len(found) - 1) if text else True
    assert all(len(piece.text.encode()) <= 6 * piece_bytes for piece in found)


@settings(max_examples=60, deadline=None)
@given(text=TEXT, length=st.integers(1, 50))
def test_separators_cut_like_str_split(text: str, length: int) -> None:
    found = list(pieces(chunked(text, length), piece_bytes=20, separators=("<|>", "||")))
    documents: list[str] = []
    for piece in found:
        if piece.first:
            documents.append("")
        documents[-1] += piece.text
    whole = text.replace("||", "\0").replace("<|>", "\0")
    if "<||" not in text and "||>" not in text:  # overlapping separators: the first one wins
        assert documents == [part for part in whole.split("\0") if part]


def test_pieces_end_between_paragraphs(make_text: Callable) -> None:
    text = make_text(100_000)
    found = [piece.text for piece in pieces([text], piece_bytes=2048)]
    assert all(piece.endswith("\n\n") for piece in found)
    average = len(text.encode()) / len(found)
    assert 1000 < average < 4000


def test_borders_come_back_after_text_is_put_in_front(make_text: Callable) -> None:
    text = make_text(100_000)
    before = [piece.text for piece in pieces([text], piece_bytes=2048)]
    after = [piece.text for piece in pieces([make_text(777, seed=3) + text], piece_bytes=2048)]
    assert len(set(before) - set(after)) <= 5


def test_one_endless_line_is_cut_all_the_same() -> None:
    found = [piece.text for piece in pieces(["x" * 5000] * 10, piece_bytes=1000)]
    assert "".join(found) == "x" * 50_000
    assert max(map(len, found)) <= 6000


def test_the_middle_is_cut_at_the_nearest_paragraph() -> None:
    text = "one\nline\n\ntwo\n\nthree\n \nfour"
    assert text[: middle_border(text, 12)] == "one\nline\n\n"
    assert text[: middle_border(text, 13)] == "one\nline\n\ntwo\n\n"
    assert text[: middle_border(text, 23)] == "one\nline\n\ntwo\n\nthree\n \n"
    assert text[: middle_border(text, 99)] == text
    assert middle_border("a\nbb\ncc", 3) == 2
    assert middle_border("no line here", 4) == 3
    assert middle_border("üüüü", 3) == 1
