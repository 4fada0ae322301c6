import warnings

import numpy as np
import pytest

from rltrain.functional.statistics import RunningMoments, standardized


def seen(*batches: list, shape: tuple[int, ...] = ()) -> RunningMoments:
    moments = RunningMoments(shape)
    for batch in batches:
        moments.update(np.array(batch, np.float64))
    return moments


def test_before_the_first_batch_nothing_is_scaled() -> None:
    moments = RunningMoments((2,))
    assert (moments.mean.tolist(), moments.var.tolist(), moments.count) == ([0, 0], [1, 1], 0)
    assert moments.normalize(np.array([[3.0, -4.0]])).tolist() == [pytest.approx([3.0, -4.0])]


def test_the_first_batch_alone_decides() -> None:
    moments = seen([1.0, 5.0])
    # Mean 3, variance (4 + 4)/2
    assert (float(moments.mean), float(moments.var), moments.count) == (3.0, 4.0, 2)


def test_two_batches_by_hand() -> None:
    moments = seen([1.0, 2.0, 3.0], [4.0, 5.0])
    # 1 … 5: mean 3, variance (4 + 1 + 0 + 1 + 4)/5
    assert float(moments.mean) == pytest.approx(3.0)
    assert float(moments.var) == pytest.approx(2.0)
    assert moments.count == 5


@pytest.mark.parametrize("sizes", [(60,), (1,) * 60, (1, 9, 50), (50, 10)])
def test_merged_batches_have_the_moments_of_the_whole(sizes: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).normal(100, [[1.0, 0.01, 50.0]], (60, 3))
    moments = RunningMoments((3,))
    for batch in np.split(data, np.cumsum(sizes)[:-1]):
        moments.update(batch)
    assert moments.count == 60
    assert moments.mean == pytest.approx(data.mean(0))
    assert moments.var == pytest.approx(data.var(0))


def test_an_empty_batch_changes_nothing() -> None:
    moments = seen([[1.0, 2.0], [5.0, 2.0]], shape=(2,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moments.update(np.zeros((0, 2)))
    assert (moments.mean.tolist(), moments.var.tolist()) == ([3.0, 2.0], [4.0, 0.0])
    assert moments.count == 2


def test_an_empty_batch_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RunningMoments((2,)).update(np.zeros((0, 2)))


def test_bytes_do_not_overflow() -> None:
    moments = RunningMoments(())
    moments.update(np.array([250, 255], np.uint8))
    assert (float(moments.mean), float(moments.var)) == (252.5, 6.25)


def test_float32_is_added_up_in_double_precision() -> None:
    moments = RunningMoments(())
    # Their sum 2²⁵ + 2 is no float32.
    moments.update(np.array([2**24, 2**24 + 2], np.float32))
    assert (float(moments.mean), float(moments.var)) == (2**24 + 1, 1.0)


@pytest.mark.parametrize(("x", "expected"), [(3.0, 0.0), (5.0, 1.0), (0.0, -1.5), (22.0, 9.5)])
def test_normalize_by_hand(x: float, expected: float) -> None:
    # Mean 3, σ = 2
    assert float(seen([1.0, 5.0]).normalize(np.array(x))) == pytest.approx(expected)


def test_normalize_clips_on_both_sides() -> None:
    moments = seen([1.0, 5.0])
    x = np.array([1000.0, -1000.0, 5.0])
    assert moments.normalize(x).tolist() == pytest.approx([10.0, -10.0, 1.0])
    assert moments.normalize(x, clip=0.5).tolist() == [0.5, -0.5, 0.5]


def test_normalize_works_per_element() -> None:
    moments = seen([[1.0, 10.0], [5.0, 30.0]], shape=(2,))
    # Means 3 and 20, deviations 2 and 10
    found = moments.normalize(np.array([[5.0, 15.0]]))
    assert found.tolist() == [pytest.approx([1.0, -0.5])]


def test_normalize_of_what_never_varied_is_finite() -> None:
    # σ = √(0 + 1e-8) = 1e-4, so a step of 1e-4 is 1
    assert float(seen([7.0, 7.0]).normalize(np.array(7.0001))) == pytest.approx(1.0, rel=1e-4)


def test_scale_keeps_zero_and_sign() -> None:
    moments = seen([1.0, 5.0])
    x = np.array([0.0, 4.0, -4.0, 1000.0, -1000.0])
    assert moments.scale(x).tolist() == pytest.approx([0.0, 2.0, -2.0, 10.0, -10.0])


def test_results_are_float32() -> None:
    moments = seen([1.0, 5.0])
    assert moments.normalize(np.zeros(1)).dtype == np.float32
    assert moments.scale(np.zeros(1)).dtype == np.float32


def test_using_them_does_not_move_them() -> None:
    moments = seen([1.0, 5.0])
    moments.normalize(np.array([100.0]))
    moments.scale(np.array([100.0]))
    assert (float(moments.mean), float(moments.var), moments.count) == (3.0, 4.0, 2)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_state_round_trip_goes_on_alike(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    source, copy = RunningMoments(shape), RunningMoments(shape)
    source.update(rng.normal(size=(5, *shape)))
    copy.load_state_dict(source.state_dict())
    batch = rng.normal(size=(3, *shape))
    source.update(batch)
    copy.update(batch)
    assert copy.mean.tolist() == source.mean.tolist()
    assert copy.var.tolist() == source.var.tolist()
    assert copy.count == 8


def test_standardized_by_hand() -> None:
    # Mean 2, s = √((1 + 0 + 1)/2) = 1
    assert standardized(np.array([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1.0, 0.0, 1.0])


def test_standardized_of_one_or_of_equals_is_a_number() -> None:
    assert standardized(np.array([7.0])).tolist() == [7.0]
    assert standardized(np.array([4.0, 4.0])).tolist() == [0.0, 0.0]


def test_standardized_keeps_the_type() -> None:
    assert standardized(np.array([1, 2], np.float32)).dtype == np.float32
