import pytest

from rltrain.functional.schedules import linear, scheduled, warmed


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(-1.0, 1.0), (0.0, 1.0), (0.5, 0.6), (1.0, 0.2), (1.5, 0.2)],
)
def test_linear_from_one_to_a_fifth(fraction: float, expected: float) -> None:
    assert linear(1.0, 0.2, fraction) == pytest.approx(expected)  # at 0.5: 1 − 0.8/2


def test_linear_may_rise() -> None:
    assert linear(-1.0, 3.0, 0.25) == 0.0  # −1 + 4/4


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 8.0), (0.5, 4.0), (1.0, 0.0), (2.0, 0.0)])
def test_scheduled_linear_ends_at_zero(fraction: float, expected: float) -> None:
    assert scheduled(8.0, "linear", fraction) == expected


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0, 2.0])
def test_scheduled_constant_never_changes(fraction: float) -> None:
    assert scheduled(8.0, "constant", fraction) == 8.0


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(-1.0, 8.0), (0.0, 8.0), (1 / 3, 6.0), (0.5, 4.0), (2 / 3, 2.0), (1.0, 0.0), (2.0, 0.0)],
)
def test_cosine_by_hand(fraction: float, expected: float) -> None:
    assert scheduled(8.0, "cosine", fraction) == pytest.approx(expected)  # cos 60° = ½


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 0.0), (0.1, 4.0), (0.2, 8.0), (1.0, 8.0)])
def test_a_warm_up_rises_for_its_share_and_stays(fraction: float, expected: float) -> None:
    assert warmed(8.0, 0.2, fraction) == pytest.approx(expected)


def test_without_a_warm_up_there_is_none() -> None:
    assert warmed(8.0, 0.0, 0.0) == 8.0
