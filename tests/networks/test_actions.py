import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.networks.actions import BoundedActions, UnitActions


def test_each_dimension_has_its_own_bounds():
    space = spaces.Box(np.array([-1, 0, 2], np.float32), np.array([3, 10, 2], np.float32))
    bounds = BoundedActions(space)
    unit = np.array([[-1, -1, -1], [1, 1, 1], [0, 0.5, 0]], np.float32)
    action = bounds.scale(unit)
    assert action.dtype == space.dtype
    np.testing.assert_allclose(action, [[-1, 0, 2], [3, 10, 2], [1, 7.5, 2]])
    back = bounds.unscale(action)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back[:, :2], unit[:, :2])
    assert not back[:, 2].any()  # where there is one value only


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)])
def test_actions_have_the_shape_of_the_space(shape):
    bounds = BoundedActions(spaces.Box(-2, 2, shape))
    assert bounds.size == int(np.prod(shape))
    action = bounds.scale(np.ones((3, bounds.size), np.float32))
    assert action.shape == (3, *shape)
    assert (action == 2).all()
    assert bounds.unscale(action).shape == (3, bounds.size)


@pytest.mark.parametrize("high", [np.inf, [1.0, np.inf]])
def test_without_bounds_there_is_no_scale(high):
    with pytest.raises(UserError, match="have no bounds"):
        BoundedActions(spaces.Box(-1, np.zeros(2, np.float32) + np.float32(high), (2,)))


@pytest.mark.parametrize(("low", "high"), [(0, 5), (-5, 5), (-3, -1), (2, 2)])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.int8])
def test_each_integer_has_an_equal_part_and_comes_back(low, high, dtype):
    bounds = BoundedActions(spaces.Box(low, high, (1,), dtype))
    count, each = high - low + 1, 500
    unit = np.linspace(-1, 1, 2 * each * count + 1, dtype=np.float32)[1::2, None]  # between ends
    action = bounds.scale(unit)
    assert action.dtype == dtype
    found, shares = np.unique(action, return_counts=True)
    assert found.tolist() == list(range(low, high + 1))
    assert np.abs(shares - each).max() <= 1
    ends = bounds.scale(np.array([[-1], [1]], np.float32))
    assert ends.tolist() == [[low], [high]]
    every = np.arange(low, high + 1, dtype=dtype)[:, None]
    assert (bounds.scale(bounds.unscale(every)) == every).all()


def test_dimensions_without_two_bounds_keep_their_units():
    huge = np.finfo(np.float32).max
    low = np.array([0, -np.inf, -huge, 2, -np.inf], np.float32)
    high = np.array([1000, 1, huge, 2, np.inf], np.float32)
    actions = UnitActions(spaces.Box(low, high))
    assert actions.unbounded
    unit = np.array([[-1, -1, 3, 0.5, 2], [1.5, 1, -3, 7, 0]], np.float32)
    action = actions.scale(unit)
    np.testing.assert_array_equal(action[:, 0], [0, 1250])  # clipped by who steps
    np.testing.assert_array_equal(action[:, 1:], unit[:, 1:])
    np.testing.assert_allclose(actions.unscale(action), unit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (2, 2)])
@pytest.mark.parametrize("high", [1, 9])
def test_points_come_back_whatever_the_dtype_of_the_space(dtype, shape, high):
    actions = UnitActions(spaces.Box(-1, high, shape, dtype))
    assert not actions.unbounded
    unit = np.random.default_rng(0).standard_normal((5, actions.size), np.float32)
    action = actions.scale(unit)
    assert (action.dtype, action.shape) == (np.float32, (5, *shape))
    np.testing.assert_allclose(actions.unscale(action), unit, atol=1e-6)


def test_integers_without_bounds_keep_their_units():
    actions = UnitActions(spaces.Box(-np.inf, np.inf, (1,), np.int64))
    assert actions.unbounded
    assert actions.scale(np.array([[3.5]], np.float32)).tolist() == [[3.5]]
