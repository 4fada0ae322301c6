import math

import numpy as np
import pytest
import torch

from rltrain.functional.distributional import (
    cross_entropy,
    entropy,
    project,
    quantile_huber,
    quantile_midpoints,
)


def by_loops(probs: list[list[float]], reward: list[float], discount: list[float]) -> torch.Tensor:
    """Algorithm 1 of Bellemare et al. 2017, over atoms −1, 0, 1, 2, with its gap closed: where
    l = u it loses the atom's mass."""
    out = torch.zeros(len(probs), 4)
    for n, row in enumerate(probs):
        for z, p in enumerate(row):
            place = min(max(reward[n] + discount[n] * (z - 1), -1.0), 2.0) + 1
            low, high = math.floor(place), math.ceil(place)
            if low == high:
                out[n, low] += p
            else:
                out[n, low] += p * (high - place)
                out[n, high] += p * (place - low)
    return out


ATOMS = torch.tensor([-1.0, 0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("reward", "discount", "expected"),
    [
        (0.0, 1.0, [0.1, 0.2, 0.3, 0.4]),  # every target falls on its own atom
        (1.0, 1.0, [0.0, 0.1, 0.2, 0.7]),  # the last two meet at the end
        (-9.0, 1.0, [1.0, 0.0, 0.0, 0.0]),
        (9.0, 1.0, [0.0, 0.0, 0.0, 1.0]),
        (1.0, 0.0, [0.0, 0.0, 1.0, 0.0]),  # terminated: all on the reward
        (0.25, 0.0, [0.0, 0.75, 0.25, 0.0]),
        (0.5, 1.0, [0.05, 0.15, 0.25, 0.55]),  # halves, and .4 held at the end
        (0.0, 0.5, [0.05, 0.4, 0.55, 0.0]),  # to −.5, 0, .5 and 1: .05, .05 + .2 + .15, .15 + .4
    ],
)
def test_projection_by_hand(reward: float, discount: float, expected: list[float]) -> None:
    probs = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    projected = project(probs, torch.tensor([reward]), torch.tensor([discount]), ATOMS)
    assert projected.tolist()[0] == pytest.approx(expected, abs=1e-6)


def test_projection_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    probs = torch.tensor(rng.dirichlet(np.ones(4), 200), dtype=torch.float32)
    reward = torch.tensor(rng.choice([-3.0, -0.7, 0.0, 0.3, 1.0, 4.0], 200), dtype=torch.float32)
    discount = torch.tensor(rng.choice([0.0, 0.5, 0.9, 1.0], 200), dtype=torch.float32)
    projected = project(probs, reward, discount, ATOMS)
    expected = by_loops(probs.tolist(), reward.tolist(), discount.tolist())
    torch.testing.assert_close(projected, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(projected.sum(1), torch.ones(200))


def test_no_mass_is_lost_on_uneven_grids() -> None:
    """−100 … 100 by 101 atoms: Δz and most atoms are rounded."""
    atoms = torch.linspace(-100, 100, 101) / 3
    probs = torch.full((50, 101), 1 / 101)
    reward = torch.linspace(-80, 80, 50)
    projected = project(probs, reward, torch.full((50,), 0.99), atoms)
    torch.testing.assert_close(projected.sum(1), torch.ones(50), atol=1e-5, rtol=0)
    assert (projected >= -1e-7).all()


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_projection_refuses_to_broadcast(odd: int) -> None:
    parts = [torch.ones(3, 4), torch.ones(3), torch.ones(3)]
    parts[odd] = torch.ones(3, 1)
    with pytest.raises(ValueError, match="shapes differ"):
        project(parts[0], parts[1], parts[2], ATOMS)


def test_cross_entropy_and_entropy_by_hand() -> None:
    target = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    log_probs = torch.tensor([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]).log()
    # .5 log 4 + .5 log 2; log 2
    assert cross_entropy(target, log_probs).tolist() == pytest.approx(
        [1.5 * math.log(2), math.log(2)]
    )
    assert entropy(target).tolist() == pytest.approx([math.log(2), 0.0])
    with pytest.raises(ValueError, match="shapes differ"):
        cross_entropy(target[:1], log_probs)


def test_midpoints() -> None:
    assert quantile_midpoints(4).tolist() == [0.125, 0.375, 0.625, 0.875]


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        # τ̂ = ½: errors 1 and −½, each weighed ½: (½ · ½ + ½ · ⅛) / 2
        ([0.0], [1.0, -0.5], 0.15625),
        # τ̂ = ¼, ¾; error 3 of both: 2.5 (¼ + ¾), summed over predictions
        ([0.0, 0.0], [3.0], 2.5),
        # error −3 of both: 2.5 (¾ + ¼)
        ([0.0, 0.0], [-3.0], 2.5),
        # errors of the first 1 and 3, of the second −1 and 1, averaged over targets:
        # ¼ (½ + 2.5)/2 + (¼ ½ + ¾ ½)/2
        ([0.0, 2.0], [1.0, 3.0], 0.625),
    ],
)
def test_quantile_huber_by_hand(value: list[float], target: list[float], expected: float) -> None:
    losses = quantile_huber(
        torch.tensor([value]), torch.tensor([target]), quantile_midpoints(len(value))
    )
    assert losses.tolist() == pytest.approx([expected])


def test_quantile_huber_is_least_at_the_quantiles() -> None:
    """Of many targets 0 … 99 the prediction at τ̂ = .9 settles near 90."""
    target = torch.arange(100.0).unsqueeze(0)
    midpoints = torch.tensor([0.1, 0.5, 0.9])
    value = torch.full((1, 3), 50.0, requires_grad=True)
    optimizer = torch.optim.Adam([value], lr=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        quantile_huber(value, target, midpoints).sum().backward()
        optimizer.step()
    assert value.detach().tolist()[0] == pytest.approx([9.5, 49.5, 89.5], abs=1.5)


def test_quantile_huber_refuses_shapes_that_do_not_fit() -> None:
    midpoints = quantile_midpoints(3)
    for shapes in (((2, 3), (1, 3)), ((2, 4), (2, 3)), ((3,), (2, 3))):
        with pytest.raises(ValueError, match="shapes differ"):
            quantile_huber(torch.zeros(shapes[0]), torch.zeros(shapes[1]), midpoints)
