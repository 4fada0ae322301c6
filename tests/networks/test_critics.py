import numpy as np
import pytest
import torch

from rltrain.networks.critics import Critics
from rltrain.networks.mlp import MLP
from rltrain.settings.networks import MLPSettings


def network(size):
    return MLP(MLPSettings("mlp", (8,), "relu", "uniform", False), size)


def test_each_has_a_draw_of_its_own_and_sees_state_and_action():
    critics = Critics(network, 5, 1, count=2)
    x, action = torch.randn(4, 3), torch.randn(4, 2)
    values = critics(x, action)
    assert values.shape == (2, 4)
    assert not torch.allclose(values[0], values[1])
    assert torch.equal(critics.first(x, action), values[0])
    for k, member in enumerate(critics.members):
        expected = member(torch.cat([x, action], 1))[:, 0]
        torch.testing.assert_close(values[k], expected)


def test_of_states_they_have_a_value_for_each_action():
    critics = Critics(network, 3, 6, count=2)
    assert critics(torch.randn(4, 3)).shape == (2, 4, 6)
    assert critics.first(torch.randn(4, 3)).shape == (4, 6)


def test_members_lie_one_after_the_other():
    """What computes them side by side takes a half of the parameters for each."""
    critics = Critics(network, 3, 1, count=2)
    sizes = [sum(p.numel() for p in m.parameters()) for m in critics.members]
    assert sizes[0] == sizes[1]
    order = [id(p) for m in critics.members for p in m.parameters()]
    assert [id(p) for p in critics.parameters()] == order


def test_one_alone():
    assert Critics(network, 5, 1, count=1)(torch.randn(4, 3), torch.randn(4, 2)).shape == (1, 4)


def test_a_state_without_its_action_does_not_fit():
    with pytest.raises(RuntimeError):
        Critics(network, 5, 1, count=2)(torch.randn(4, 3))


@pytest.mark.parametrize("among", [[3], [2, 0], np.array([1, 3])])
def test_those_that_are_asked_for(among):
    critics = Critics(network, 5, 1, count=4)
    inputs = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(critics(*inputs, among=among), critics(*inputs)[list(among)])
