"""Evaluation: fixed shares of episodes, fixed seeds, raw reward, and nothing is changed."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from rltrain.algos.base import Policy
from rltrain.core import seeding
from rltrain.core.state import digest
from rltrain.envs.team import Team
from rltrain.envs.team_vector import vector_env
from rltrain.envs.vector import Episode
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs, env_factory
from rltrain.training.evaluation import MAX_ENVS, Evaluation, Evaluator
from tests.envs.parallel_toys import Script, make_script
from tests.envs.toys import Toy


class Still(Policy):
    """Takes action 0, and notes what it is asked. Its recurrent state counts steps."""

    def __init__(self) -> None:
        self.explored: list[bool] = []
        self.states: list[list[int]] = []

    def initial_state(self, num_envs: int) -> Any:
        return np.zeros(num_envs, np.int64)

    def restart(self, state: Any, ended: np.ndarray) -> Any:
        return np.where(ended, 0, state)

    def act(self, obs: Any, state: Any, explore: bool, rng: np.random.Generator) -> Any:
        self.explored.append(explore)
        self.states.append(state.tolist())
        return np.zeros(len(obs), np.int64), state + 1, {}


class Dice(Policy):
    """Takes any of four actions if it may explore, else always the same."""

    def act(self, obs: Any, state: Any, explore: bool, rng: np.random.Generator) -> Any:
        return rng.integers(4, size=len(obs)) if explore else np.full(len(obs), 1), state, {}


def of_lengths(*lengths: int, **kwargs: Any) -> Callable[[], gym.Env]:
    """Makes environments of these lengths in turn."""
    following = itertools.cycle(lengths)
    return lambda: Toy(next(following), **kwargs)


def evaluator(make: Callable[[], gym.Env], episodes: int, limit: int = 1000) -> Evaluator:
    return Evaluator(make, episodes, deterministic=True, seed=0, limit=limit)


def lake() -> gym.Env:
    return gym.make("FrozenLake-v1", disable_env_checker=True)


@pytest.mark.parametrize(
    ("episodes", "shares"),
    [
        (1, [1]),
        (5, [1] * 5),
        (16, [1] * 16),
        (20, [2] * 4 + [1] * 12),
        (37, [3] * 5 + [2] * 11),
    ],
)
def test_each_environment_plays_its_share_however_long_its_episodes_are(
    episodes: int, shares: list[int]
) -> None:
    lengths = [1, 2, 30, 5]
    result = evaluator(of_lengths(*lengths), episodes).run(Still())
    assert len(result.episodes) == episodes
    counts = Counter(e.env for e in result.episodes)
    assert [counts[i] for i in range(min(episodes, MAX_ENVS))] == shares
    assert all(e.length == lengths[e.env % 4] for e in result.episodes)
    assert result.cut == 0


def test_scores_are_raw_reward_over_whole_episodes() -> None:
    result = evaluator(of_lengths(2, 4), 2).run(Still())
    assert sorted(result.returns) == [3.0, 10.0]
    assert (result.mean, result.std, result.mean_length) == (6.5, 3.5, 3.0)


def test_mean_and_deviation_are_over_episodes() -> None:
    result = Evaluation([Episode(0, 1.0, 2), Episode(0, 2.0, 4), Episode(1, 6.0, 9)])
    assert result.mean == 3.0
    assert result.std == pytest.approx((14 / 3) ** 0.5)
    assert result.mean_length == 5.0


def test_endless_episodes_are_cut_and_counted() -> None:
    result = evaluator(of_lengths(3, ending="never"), 20, limit=7).run(Still())
    assert result.cut == 20
    assert [e.length for e in result.episodes] == [7] * 20
    assert result.returns == [28.0] * 20
    counts = Counter(e.env for e in result.episodes)
    assert [counts[i] for i in range(16)] == [2] * 4 + [1] * 12


def test_only_what_is_endless_is_cut() -> None:
    toys = iter([Toy(3), Toy(ending="never"), Toy(5), Toy(6)])
    result = evaluator(lambda: next(toys), 4, limit=5).run(Still())
    assert sorted((e.env, e.length) for e in result.episodes) == [(0, 3), (1, 5), (2, 5), (3, 5)]
    assert result.cut == 2


def test_an_episode_with_a_time_limit_of_its_own_is_not_cut() -> None:
    def make() -> gym.Env:
        return gym.make("Toy-v0", disable_env_checker=True, ending="never", max_episode_steps=9)

    result = evaluator(make, 3, limit=4).run(Still())
    assert [e.length for e in result.episodes] == [9, 9, 9]
    assert result.cut == 0


@pytest.mark.parametrize(
    ("ending", "first"),
    [("terminated", [0, 1] * 3), ("truncated", [0, 1] * 3), ("never", [0, 1, 2] * 2)],
)
def test_recurrent_state_begins_anew_with_each_episode(ending: str, first: list[int]) -> None:
    policy = Still()
    evaluator(of_lengths(2, 3, ending=ending), 18, limit=3).run(policy)
    assert [states[0] for states in policy.states] == first
    assert [states[1] for states in policy.states] == [0, 1, 2] * 2


@pytest.mark.parametrize("deterministic", [True, False])
def test_exploration_is_off_if_and_only_if_asked(deterministic: bool) -> None:
    policy = Still()
    Evaluator(of_lengths(2), 3, deterministic, 0, 100).run(policy)
    assert set(policy.explored) == {not deterministic}


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("purpose", ["eval", "final"])
def test_the_same_purpose_gives_the_same_result_every_time(
    purpose: str, deterministic: bool
) -> None:
    one = Evaluator(lake, 20, deterministic, 5, 100)
    results = [one.run(Dice(), purpose)]
    one.run(Dice(), "final" if purpose == "eval" else "eval")
    results.append(one.run(Dice(), purpose))
    results.append(Evaluator(lake, 20, deterministic, 5, 100).run(Dice(), purpose))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("deterministic", [True, False])
def test_another_purpose_or_seed_gives_other_episodes(deterministic: bool) -> None:
    one = Evaluator(lake, 20, deterministic, 5, 100)
    other = Evaluator(lake, 20, deterministic, 6, 100)
    results = [one.run(Dice(), "eval"), one.run(Dice(), "final"), other.run(Dice(), "eval")]
    assert all(a != b for a, b in itertools.combinations(results, 2))


def test_environments_are_seeded_apart_from_those_of_training() -> None:
    toys = [Toy(), Toy()]
    made = iter(toys)
    evaluator(lambda: next(made), 2).run(Still())
    assert toys[0].seeds[0] == seeding.derive(0, "evaluation", 0, 0)
    assert toys[0].seeds[0] != toys[1].seeds[0]
    assert seeding.derive(0, "environments", 0, 0) not in (t.seeds[0] for t in toys)


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize(
    ("algo", "overrides"),
    [
        ("ppo", ["env=CartPole-v1", "algo.normalize_obs=true", "algo.normalize_reward=true"]),
        ("dqn", ["env=CartPole-v1", "algo.normalize_obs=true"]),
        ("q_learning", ["env=FrozenLake-v1"]),
    ],
)
def test_neither_the_policy_nor_the_global_generators_are_changed(
    algo: str, overrides: list[str], deterministic: bool, compose: Callable[..., dict[str, Any]]
) -> None:
    run = build_run(compose(f"algo={algo}", "tuned=none", "num_threads=1", *overrides))
    algorithm = build_algorithm(run, build_envs(run))
    before = digest(algorithm.state_dict()), digest(seeding.global_state())
    result = Evaluator(env_factory(run), 3, deterministic, 0, 20).run(algorithm.policy)
    assert len(result.episodes) == 3
    assert (digest(algorithm.state_dict()), digest(seeding.global_state())) == before
    random.random()
    assert digest(seeding.global_state()) != before[1]  # the comparison sees a draw


def test_environments_are_made_for_each_evaluation_and_closed() -> None:
    toys: list[Toy] = []

    def make() -> Toy:
        toys.append(Toy())
        return toys[-1]

    one = evaluator(make, 40)
    one.run(Still())
    one.run(Still(), "final")
    assert len(toys) == 2 * MAX_ENVS
    assert {toy.closed for toy in toys} == {1}


def team(**kwargs: Any) -> Callable[[], gym.Env]:
    return lambda: make_script(**kwargs)


def test_an_episode_of_several_agents_scores_the_mean_of_theirs() -> None:
    """`a` is paid 11 in its one step, `b` 21 + 22 + 23 in three."""
    result = evaluator(team(), 3).run(Still())
    assert result.returns == [38.5] * 3
    assert [e.length for e in result.episodes] == [3, 3, 3]
    assert [e.env for e in result.episodes] == [0, 1, 2]
    assert result.agents == {"a": [11.0] * 3, "b": [66.0] * 3}
    assert result.cut == 0


def test_endless_episodes_of_several_agents_are_cut_for_those_that_are_left() -> None:
    result = evaluator(team(ends={"a": (1, "terminated"), "b": (99, "")}), 20, limit=2).run(Still())
    assert result.agents == {"a": [11.0] * 20, "b": [43.0] * 20}
    assert result.returns == [27.0] * 20
    assert (result.cut, result.mean_length) == (20, 2)


def test_recurrent_state_of_every_agent_begins_anew_with_the_team() -> None:
    policy = Still()
    evaluator(team(), 32).run(policy)  # two episodes in each of 16 environments
    # The first counts nothing while it is gone.
    assert [states[:2] for states in policy.states] == [[0, 0], [0, 1], [0, 2]] * 2


def test_an_agent_that_never_appears_is_not_waited_for() -> None:
    """Agents c and d are possible; c is in every second episode, d in none."""

    class Guests(Script):
        possible_agents = ("a", "b", "c", "d")

        def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            super().reset(seed, options)
            self.agents = ["a", "b", "c"] if len(self.seeds) % 2 else ["a", "b"]
            return {name: self.observe(name) for name in self.agents}, {}

    ends = dict.fromkeys("abcd", (2, "terminated"))
    make = functools.partial(Team, Guests(ends), "Guests")
    result = evaluator(make, 1).run(Still())
    assert result.returns == [np.mean([23.0, 43.0, 63.0])]  # 11 + 12, 21 + 22, 31 + 32
    assert result.agents == {"a": [23.0], "b": [43.0], "c": [63.0]}
    several = Evaluator(make, 4, deterministic=True, seed=0, limit=1000)
    envs = vector_env(lambda: Team(Guests(ends), "Guests"), 1, 0, "evaluation")
    result = several._play(Still(), envs, "eval", None)
    three, two = np.mean([23.0, 43.0, 63.0]), np.mean([23.0, 43.0])
    assert result.returns == [three, two, three, two]
    assert result.agents == {"a": [23.0] * 4, "b": [43.0] * 4, "c": [63.0] * 2}
