import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.networks.actions import BoundedActions


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
