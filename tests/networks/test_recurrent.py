from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rltrain.networks.recurrent import (
    GRU,
    LSTM,
    Moment,
    Recurrent,
    Remembering,
    Sequences,
    Stateless,
    as_tensors,
    recall,
)
from rltrain.networks.transformer import Transformer
from rltrain.settings.networks import CellsSettings, TransformerSettings

SETTINGS = CellsSettings(
    name="lstm",
    hidden_sizes=(5,),
    activation="tanh",
    initialization="orthogonal",
    layer_norm=False,
    state_size=4,
    sequence_length=8,
    burn_in=2,
)
ATTENTION = TransformerSettings(
    name="transformer",
    sequence_length=8,
    burn_in=2,
    width=6,
    num_layers=2,
    num_heads=2,
    window=3,
    checkpointing=False,
)
CELLS = pytest.mark.parametrize("cls", [LSTM, GRU, Transformer])
LENGTHS = (3, 1, 4)


def body(cls: type[Recurrent]) -> Recurrent:
    torch.manual_seed(0)
    found = cls(ATTENTION if cls is Transformer else SETTINGS, 2)  # type: ignore[call-arg]
    for parameter in found.parameters():  # biases too, which begin at 0
        torch.nn.init.normal_(parameter, std=0.5)
    return found


def sequences(cls: type[Recurrent], **more: Any) -> Sequences:
    """Three sequences of `LENGTHS` with states of two bodies; only the second's is meant."""
    torch.manual_seed(1)
    count, begins = sum(LENGTHS), torch.zeros(sum(LENGTHS), dtype=torch.bool)
    begins[torch.tensor([0, *np.cumsum(LENGTHS)[:-1]])] = True
    state = torch.randn(count, 2, body(cls).state_size)
    if cls is Transformer:  # of whose cache none, one or two steps are filled
        state[:, :, -1] = torch.arange(count).unsqueeze(1) % 3
    return Sequences(torch.randn(count, 2), state, begins, body=1, **more)


def one_by_one(network: Recurrent, steps: Sequences) -> Tensor:
    """The features `[R, F]`, each step from the state that the one before left."""
    features, state = [], torch.zeros(0)
    for r in range(len(steps.x)):
        if steps.begins[r]:
            state = steps.state[r : r + 1, steps.body]
        out, state = network.advance(steps.x[r : r + 1], state)
        features.append(out)
    return torch.cat(features)


def test_a_cell_by_hand() -> None:
    """LSTM with one cell: c' = f c + i g, h' = o tanh c' (gates in torch's order i, f, g, o)."""
    network = LSTM(CellsSettings(**{**vars(SETTINGS), "hidden_sizes": (), "state_size": 1}), 1)
    w, u, b = [0.5, -1.0, 2.0, 1.0], [1.0, 0.5, -0.5, 0.25], [0.1, 0.2, 0.3, 0.4]
    for name, values in (("weight_ih", w), ("weight_hh", u), ("bias_ih", b)):
        parameter = getattr(network.rnn, f"{name}_l0")
        parameter.data = torch.tensor(values).reshape(parameter.shape)
    x, h, c = 0.7, 0.3, -0.4
    i, f, g, o = (x * w[k] + h * u[k] + b[k] for k in range(4))
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    after = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    out = sigmoid(o) * np.tanh(after)
    features, state = network.advance(torch.tensor([[x]]), torch.tensor([[h, c]]))
    assert features.item() == pytest.approx(out, rel=1e-6)
    assert state[0].tolist() == pytest.approx([out, after], rel=1e-6)


@CELLS
def test_sequences_are_as_their_steps_one_by_one(cls: type[Recurrent]) -> None:
    network, steps = body(cls), sequences(cls)
    expected = one_by_one(network, steps)
    torch.testing.assert_close(network(steps), expected, rtol=1e-5, atol=1e-6)
    # So are gradients, through all of a sequence's steps.
    weights = torch.randn(expected.shape)
    parameters = list(network.parameters())
    found = torch.autograd.grad((network(steps) * weights).sum(), parameters)
    wanted = torch.autograd.grad((expected * weights).sum(), parameters)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@CELLS
def test_rows_that_are_picked(cls: type[Recurrent]) -> None:
    network, pick = body(cls), torch.tensor([7, 0, 3])
    steps = sequences(cls, pick=pick)
    assert len(steps) == 3
    torch.testing.assert_close(network(steps), network(sequences(cls))[pick])


@CELLS
def test_burn_in_gives_a_state_and_no_gradient(cls: type[Recurrent]) -> None:
    network = body(cls)
    burnt = torch.tensor([True, True, False, False, True, False, False, False])
    steps, plain = sequences(cls, burn_in=burnt), sequences(cls)
    expected = one_by_one(network, plain)
    torch.testing.assert_close(network(steps)[~burnt], expected[~burnt], rtol=1e-5, atol=1e-6)
    steps.x.requires_grad_()
    network(steps)[~burnt].sum().backward()
    assert steps.x.grad is not None
    assert not steps.x.grad[burnt].any()
    assert (steps.x.grad[~burnt] != 0).any(1).all()


def test_a_sequence_knows_nothing_of_its_neighbours() -> None:
    network, steps = body(LSTM), sequences(LSTM)
    before = network(steps)
    steps.x[3] += 1  # all of the second sequence
    assert torch.equal(network(steps)[[0, 1, 2, 4, 5, 6, 7]], before[[0, 1, 2, 4, 5, 6, 7]])
    assert not torch.equal(network(steps)[3], before[3])


@CELLS
def test_a_moment_is_a_step_that_leaves_the_next_state(cls: type[Recurrent]) -> None:
    network = body(cls)
    torch.manual_seed(2)
    x, state = torch.randn(3, 2), torch.randn(3, 2, network.state_size)
    moment = Moment(x, state, body=1)
    features, after = network.advance(x, state[:, 1])
    assert torch.equal(network(moment), features)
    assert torch.equal(moment.after[1], after)
    assert 0 not in moment.after


def test_memory_through_time() -> None:
    memory = Remembering((2, 3), torch.device("cpu"))
    state = memory.initial_state(2)
    assert state.shape == (2, 2, 3)
    assert not state.any()
    state = state + 1
    assert memory.restart(state, np.array([False, True]))[:, 0, 0].tolist() == [1, 0]
    assert state.all()  # a value: what was handed out before stays
    moment = memory.moment(np.zeros((2, 4), np.float32), state)
    moment.after[1] = torch.full((2, 3), 7.0)
    after = memory.after(moment, state)
    assert after[:, :, 0].tolist() == [[1, 7], [1, 7]]  # the first body was not asked
    assert memory.extras(state)["state"] is state


def test_a_network_without_memory_has_none() -> None:
    assert type(recall(torch.nn.Linear(2, 2), 1, torch.device("cpu"))) is Stateless
    assert Stateless().initial_state(3) is None
    found = recall(torch.nn.Sequential(body(LSTM)), 2, torch.device("cpu"))
    assert isinstance(found, Remembering)
    assert found.shape == (2, 8)


def test_arrays_become_tensors() -> None:
    steps = Sequences(
        np.zeros((2, 3), np.float32), np.ones((2, 1, 4), np.float32), np.ones(2, bool)
    )
    found = as_tensors(steps, torch.device("cpu"))
    assert [type(c) for c in (found.x, found.state, found.begins)] == [Tensor] * 3
    assert found.burn_in is found.pick is None
    assert len(found[torch.tensor([1])].x) == 1
