import math
from collections.abc import Callable

import pytest
import torch
from torch import distributions

from rltrain.functional.distributions import (
    bernoulli_entropy,
    bernoulli_kl,
    bernoulli_log_prob,
    bernoulli_sample,
    categorical_entropy,
    categorical_kl,
    categorical_log_prob,
    categorical_sample,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
    gaussian_sample,
    squashed_gaussian,
)

ALMOST_ONE = 1 - 2**-24  # the largest float32 below 1
NEVER = -math.inf


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def sample(log_probs: torch.Tensor, *uniform: float) -> list[int]:
    return categorical_sample(log_probs.expand(len(uniform), -1), torch.tensor(uniform)).tolist()


def test_categorical_sample_inverts_the_distribution_function() -> None:
    # Sums 1/4, 3/4, 1.
    drawn = sample(logs(0.25, 0.5, 0.25), 0.0, 0.24, 0.26, 0.74, 0.76, ALMOST_ONE)
    assert drawn == [0, 0, 1, 1, 2, 2]


def test_categorical_sample_takes_the_next_action_at_a_boundary() -> None:
    log_probs = logs(0.5, 0.5)
    at = float(log_probs.exp()[0])
    assert sample(log_probs, at - 2**-23, at) == [0, 1]


def test_categorical_sample_gives_each_row_its_own_distribution() -> None:
    log_probs = torch.stack([logs(0.9, 0.1), logs(0.1, 0.9)])
    assert categorical_sample(log_probs, torch.tensor([0.5, 0.5])).tolist() == [0, 1]


def test_categorical_sample_has_the_given_frequencies() -> None:
    # The middles of 1000 equal parts of [0, 1): exactly 1000 · probability of each.
    uniform = ((torch.arange(1000) + 0.5) / 1000).tolist()
    drawn = sample(logs(0.25, 0.5, 0.125, 0.125), *uniform)
    assert [drawn.count(a) for a in range(4)] == [250, 500, 125, 125]


@pytest.mark.parametrize("only", [0, 1, 2])
def test_an_action_without_probability_is_never_drawn(only: int) -> None:
    log_probs = torch.full((3,), NEVER)
    log_probs[only] = 0.0
    assert sample(log_probs, 0.0, 0.5, ALMOST_ONE) == [only] * 3


def test_a_gap_in_the_middle_is_never_drawn() -> None:
    assert sample(logs(0.5, 0.0, 0.5), 0.0, 0.49, 0.51, ALMOST_ONE) == [0, 0, 2, 2]


def test_a_sum_that_rounds_below_one_loses_nothing() -> None:
    # Sums 0.5 and 0.875; 0.9 of 0.875 is 0.7875. The last action has no probability.
    log_probs = logs(0.5, 0.375, 0.0)
    assert sample(log_probs, 0.5, 0.9, ALMOST_ONE) == [0, 1, 1]


def test_no_rounding_leads_outside_or_to_an_impossible_action() -> None:
    scores = torch.randn(500, 7, generator=torch.Generator().manual_seed(0)) * 10
    scores[:, -1] = NEVER
    drawn = categorical_sample(scores.log_softmax(-1), torch.full((500,), ALMOST_ONE))
    assert int(drawn.max()) == 5
    assert int(drawn.min()) >= 0


def test_categorical_log_prob_picks_the_action_of_each_row() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]])
    assert categorical_log_prob(log_probs, torch.tensor([2, 0])).tolist() == [-3.0, -4.0]


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.25, 0.25, 0.25, 0.25), 2 * math.log(2)),
        # ln 2/2 + 2 · ln 4/4 = 1.5 ln 2
        ((0.5, 0.25, 0.25), 1.5 * math.log(2)),
        ((1.0,), 0.0),
    ],
)
def test_categorical_entropy_by_hand(probabilities: tuple[float, ...], expected: float) -> None:
    assert categorical_entropy(logs(*probabilities)).item() == pytest.approx(expected)


def test_categorical_agrees_with_torch() -> None:
    log_probs = torch.randn(5, 4, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    action = torch.tensor([0, 3, 1, 2, 0])
    reference = distributions.Categorical(logits=log_probs)
    torch.testing.assert_close(categorical_log_prob(log_probs, action), reference.log_prob(action))
    torch.testing.assert_close(categorical_entropy(log_probs), reference.entropy())


def test_gaussian_sample_by_hand() -> None:
    # 1 + 2 · 0.5 and −1 + 1 · (−3)
    drawn = gaussian_sample(
        torch.tensor([[1.0, -1.0]]), torch.tensor([math.log(2), 0.0]), torch.tensor([[0.5, -3.0]])
    )
    assert drawn.tolist() == [pytest.approx([2.0, -4.0])]


@pytest.mark.parametrize(
    ("mean", "std", "action", "expected"),
    [
        # −ln √(2π)
        ([0.0], [1.0], [0.0], -0.9189385),
        # z = (2 − 1)/2: −0.125 − ln 2 − 0.9189385
        ([1.0], [2.0], [2.0], -1.7370857),
        # The two above added up: −0.9189385 − 1.7370857
        ([0.0, 1.0], [1.0, 2.0], [0.0, 2.0], -2.6560242),
    ],
)
def test_gaussian_log_prob_by_hand(
    mean: list[float], std: list[float], action: list[float], expected: float
) -> None:
    found = gaussian_log_prob(torch.tensor([mean]), torch.tensor(std).log(), torch.tensor([action]))
    assert found.tolist() == pytest.approx([expected])


@pytest.mark.parametrize(
    ("std", "expected"),
    [
        ([1.0], 1.4189385),  # (1 + ln 2π)/2
        ([2.0], 2.1120857),  # ln 2 more
        ([1.0, 2.0], 3.5310242),
    ],
)
def test_gaussian_entropy_by_hand(std: list[float], expected: float) -> None:
    assert gaussian_entropy(torch.tensor(std).log()).item() == pytest.approx(expected)


def test_gaussian_agrees_with_torch() -> None:
    generator = torch.Generator().manual_seed(2)
    mean, action = torch.randn(2, 5, 3, generator=generator)
    log_std = torch.tensor([-3.0, 0.0, 2.0])
    reference = distributions.Independent(distributions.Normal(mean, log_std.exp()), 1)
    torch.testing.assert_close(gaussian_log_prob(mean, log_std, action), reference.log_prob(action))
    torch.testing.assert_close(gaussian_entropy(log_std).expand(5), reference.entropy())


def test_categorical_kl_by_hand() -> None:
    # ½ ln (½ / ¼) + ½ ln (½ / ¾)
    found = categorical_kl(logs(0.5, 0.5)[None], logs(0.25, 0.75)[None])
    assert found.tolist() == pytest.approx([0.5 * math.log(2) + 0.5 * math.log(2 / 3)])


def test_gaussian_kl_by_hand() -> None:
    # σ 1 → 2 and μ 0 → 1: ln 2 + (1 + 1)/8 − ½; and of the same, none
    found = gaussian_kl(
        torch.tensor([[0.0, 5.0]]),
        torch.zeros(2),
        torch.tensor([[1.0, 5.0]]),
        torch.tensor([math.log(2), 0.0]),
    )
    assert found.tolist() == pytest.approx([math.log(2) - 0.25])


def test_bernoulli_by_hand() -> None:
    # σ(ln 3) = ¾ and σ(0) = ½
    logits = torch.tensor([[math.log(3), 0.0]])
    assert bernoulli_sample(logits, torch.tensor([[0.74, 0.51]])).tolist() == [[1, 0]]
    assert bernoulli_sample(logits, torch.tensor([[0.76, 0.49]])).tolist() == [[0, 1]]
    assert bernoulli_log_prob(logits, torch.tensor([[0, 1]])).tolist() == pytest.approx(
        [math.log(1 / 4) + math.log(1 / 2)]
    )
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) + math.log(2)
    assert bernoulli_entropy(logits).tolist() == pytest.approx([entropy])
    # Of ¾ to ½: ¾ ln (¾ / ½) + ¼ ln (¼ / ½)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert bernoulli_kl(logits, torch.zeros(1, 2)).tolist() == pytest.approx([kl])


def test_bernoulli_of_large_logits_is_a_number() -> None:
    logits = torch.tensor([[200.0, -200.0]])
    assert bernoulli_entropy(logits).tolist() == [0.0]
    assert bernoulli_log_prob(logits, torch.tensor([[1, 1]])).tolist() == [-200.0]


@pytest.mark.parametrize("kind", ["categorical", "gaussian", "bernoulli"])
def test_kl_agrees_with_torch(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    old, new = torch.randn(2, 5, 3, generator=generator)
    log_std, new_log_std = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([0.3, -0.2, 0.5])
    pair: tuple[distributions.Distribution, ...]
    if kind == "categorical":
        old, new = old.log_softmax(-1), new.log_softmax(-1)
        found = categorical_kl(old, new)
        pair = distributions.Categorical(logits=old), distributions.Categorical(logits=new)
    elif kind == "gaussian":
        found = gaussian_kl(old, log_std, new, new_log_std)
        pair = (
            distributions.Independent(distributions.Normal(old, log_std.exp()), 1),
            distributions.Independent(distributions.Normal(new, new_log_std.exp()), 1),
        )
    else:
        found = bernoulli_kl(old, new)
        pair = (
            distributions.Independent(distributions.Bernoulli(logits=old), 1),
            distributions.Independent(distributions.Bernoulli(logits=new), 1),
        )
    torch.testing.assert_close(found, distributions.kl_divergence(*pair))


def test_bernoulli_agrees_with_torch() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(4))
    action = torch.tensor([[0, 1, 1]]).expand(5, 3)
    reference = distributions.Independent(distributions.Bernoulli(logits=logits), 1)
    torch.testing.assert_close(
        bernoulli_log_prob(logits, action), reference.log_prob(action.float())
    )
    torch.testing.assert_close(bernoulli_entropy(logits), reference.entropy())


@pytest.mark.parametrize("function", [categorical_kl, bernoulli_log_prob, bernoulli_kl])
def test_shapes_that_differ_are_refused(function: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        function(torch.zeros(4, 3), torch.zeros(4, 1))


def test_squashed_gaussian_by_hand() -> None:
    """tanh(½) = .46212, whose slope is 1 − .46212² = .78645."""
    mean, log_std, noise = torch.tensor([[0.3]]), torch.tensor([[-1.0]]), torch.tensor([[0.54366]])
    action, log_prob = squashed_gaussian(mean, log_std, noise)  # .3 + .36788 · .54366 = .5
    assert action.item() == pytest.approx(0.46212, abs=1e-5)
    gaussian = -0.5 * 0.54366**2 + 1 - 0.918939
    assert log_prob.item() == pytest.approx(gaussian - math.log(0.78645), abs=1e-4)


def test_squashed_gaussian_is_a_density() -> None:
    """Over all actions within ±1 it sums to 1."""
    u = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    mean, log_std = torch.full_like(u, 0.7), torch.full_like(u, 0.2)
    action, log_prob = squashed_gaussian(mean, log_std, (u - mean) / log_std.exp())
    total = torch.trapezoid(log_prob.exp(), action[:, 0])
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_squashed_gaussian_far_out() -> None:
    """log(1 − tanh² u) goes to 2 log 2 − 2 |u|, where 1 − tanh² itself is 0."""
    u = torch.tensor([[40.0, -40.0]])
    _, log_prob = squashed_gaussian(u, torch.zeros(1, 2), torch.zeros(1, 2))
    expected = 2 * (-0.918939 - 2 * math.log(2) + 80)
    assert log_prob.item() == pytest.approx(expected, rel=1e-6)


def test_squashed_gaussian_checks_shapes() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        squashed_gaussian(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3))
