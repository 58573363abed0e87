from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emohop.features.windows import Window, windows


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.integers(1, 60))
    return draw(st.integers(0, 400)), size, draw(st.integers(0, size - 1))


@given(cuts())
def test_every_element_is_kept_once_and_in_order(cut: tuple[int, int, int]) -> None:
    length, size, overlap = cut
    found = windows(length, size, overlap)
    assert [i for w in found for i in range(w.first, w.last)] == list(range(length))


@given(cuts())
def test_windows_fit_the_model_and_lie_inside(cut: tuple[int, int, int]) -> None:
    length, size, overlap = cut
    for window in windows(length, size, overlap):
        assert 0 <= window.start <= window.first <= window.last <= window.stop <= length
        assert window.stop - window.start == min(size, length)


@given(cuts())
def test_what_is_kept_has_context_on_both_sides(cut: tuple[int, int, int]) -> None:
    """Half of what neighbours share, rounded down, unless the sequence itself begins or ends."""
    length, size, overlap = cut
    for window in windows(length, size, overlap):
        assert window.start == 0 or window.first - window.start >= overlap // 2
        assert window.stop == length or window.stop - window.last >= overlap // 2


@given(cuts())
def test_no_window_is_kept_for_nothing(cut: tuple[int, int, int]) -> None:
    length, size, overlap = cut
    assert all(w.first < w.last for w in windows(length, size, overlap)) or length == 0


def test_by_hand() -> None:
    assert windows(0, 4, 2) == [Window(0, 0, 0, 0)]
    assert windows(4, 4, 2) == [Window(0, 4, 0, 4)]
    # starts 0, 6 and, so that it ends with the sequence, 7
    assert windows(17, 10, 4) == [
        Window(0, 10, 0, 8),
        Window(6, 16, 8, 11),
        Window(7, 17, 11, 17),
    ]
