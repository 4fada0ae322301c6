"""Rows of agents: who is there, what counts, and when a team begins anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from rltrain.core.errors import EnvError, UserError
from rltrain.core.seeding import derive
from rltrain.envs.make import make_env
from rltrain.envs.team import Team, common_space, own_rows
from rltrain.envs.team_vector import TeamVectorEnv, vector_env
from rltrain.envs.vector import VectorEnv
from tests.envs.parallel_toys import Script, make_script
from tests.envs.test_make import settings
from tests.envs.toys import Toy


def vector(num_envs: int = 1, **kwargs: Any) -> TeamVectorEnv:
    envs = vector_env(lambda: make_script(**kwargs), num_envs, 7, "test")
    assert isinstance(envs, TeamVectorEnv)
    return envs


def play(envs: TeamVectorEnv, steps: int) -> list[Any]:
    envs.restart()
    return [envs.step(np.zeros(envs.num_rows, np.int64)) for _ in range(steps)]


def test_the_rows_of_a_dead_agent_carry_nothing_until_the_team_begins_anew() -> None:
    steps = play(vector(), 4)  # a ends in step 1, b in step 3, step 4 is of the next episode
    assert [s.valid.tolist() for s in steps] == [
        [True, True],
        [False, True],
        [False, True],
        [True, True],
    ]
    assert [s.terminated.tolist() for s in steps] == [
        [True, False],
        [False, False],
        [False, True],
        [True, False],
    ]
    assert not any(s.truncated.any() for s in steps)
    assert [s.reward.tolist() for s in steps] == [[11, 21], [0, 22], [0, 23], [11, 21]]
    episodes = [[tuple(e) for e in s.episodes] for s in steps]
    assert episodes == [[(0, 11.0, 1)], [], [(1, 66.0, 3)], [(0, 11.0, 1)]]


def test_the_successor_is_the_agents_own_last_and_obs_what_comes_next() -> None:
    steps = play(vector(), 3)
    assert steps[0].successor.tolist() == [[1, 1], [2, 1]]
    assert steps[0].obs is steps[0].successor  # the team goes on
    assert steps[1].successor.tolist() == [[0, 0], [2, 2]]
    assert steps[2].successor.tolist() == [[0, 0], [2, 3]]
    assert steps[2].obs.tolist() == [[1, 0], [2, 0]]  # the team begins anew


def test_rows_are_environment_by_environment() -> None:
    envs = vector(2)
    envs.envs[1].unwrapped.parallel_env.ends = {"a": (3, "truncated"), "b": (2, "both")}
    steps = play(envs, 3)
    assert [s.valid.tolist() for s in steps] == [
        [True] * 4,
        [False, True, True, True],
        [False, True, True, False],
    ]
    assert steps[1].terminated.tolist() == [False, False, False, True]
    assert steps[1].truncated.tolist() == [False, False, False, True]
    assert steps[2].truncated.tolist() == [False, False, True, False]
    assert steps[2].terminated.tolist() == [False, True, False, False]
    assert (envs.num_envs, envs.num_rows) == (2, 4)


def test_environments_are_seeded_apart_and_a_new_episode_draws_on() -> None:
    envs = vector(2)
    play(envs, 3)
    for e, env in enumerate(envs.envs):
        assert env.unwrapped.parallel_env.seeds == [derive(7, "test", e, 0), None]


def test_only_those_that_are_there_act_and_from_their_spaces_start() -> None:
    kinds = {"a": spaces.Discrete(3, start=5), "b": spaces.Discrete(2)}
    envs = vector(actions=kinds)
    envs.restart()
    envs.step(np.array([2, 1]))
    envs.step(np.array([2, 0]))
    assert envs.envs[0].unwrapped.parallel_env.given == [{"a": 7, "b": 1}, {"b": 0}]


def test_continuous_actions_are_each_agents_own_and_clipped() -> None:
    kinds = {
        "a": spaces.Box(-1, 1, (1,), np.float32),
        "b": spaces.Box(-2, 2, (3,), np.float32),
    }
    envs = vector(actions=kinds)
    assert envs.action_space.shape == (3,)
    envs.restart()
    envs.step(np.array([[5, 9, 9], [-5, 0.5, 2]], np.float32))
    given = envs.envs[0].unwrapped.parallel_env.given[0]
    assert given["a"].tolist() == [1]
    assert given["b"].tolist() == [-2, 0.5, 2]


def test_smaller_observations_stand_at_the_beginning_of_their_rows() -> None:
    kinds = {
        "a": spaces.Box(-9, 9, (2,), np.float32),
        "b": spaces.Box(-5, 99, (2, 2), np.float32),
    }
    envs = vector(observations=kinds)
    assert envs.restart().tolist() == [[1, 0, 0, 0], [2, 0, 0, 0]]
    obs = envs.step(np.zeros(2, np.int64)).obs
    assert own_rows(obs[:1], kinds["a"]).tolist() == [[1, 1]]
    assert own_rows(obs[1:], kinds["b"]).tolist() == [[[2, 1], [0, 0]]]
    assert envs.observation_space == spaces.Box(-9, 99, (4,), np.float32)


def test_discrete_observations_are_counted_from_0() -> None:
    kinds = {"a": spaces.Discrete(4, start=3), "b": spaces.Discrete(7)}
    envs = vector(observations=kinds)
    assert envs.restart().tolist() == [1, 2]
    assert envs.observation_space.n == 7


def test_spaces_of_different_kinds_have_no_common_rows() -> None:
    with pytest.raises(UserError, match=r"differ in kind \(Box \(float32\), Discrete \(int64\)\)"):
        common_space([spaces.Box(-1, 1, (2,)), spaces.Discrete(2)], "X")


def test_a_time_limit_truncates_all_that_are_left() -> None:
    envs = vector_env(lambda: TimeLimit(make_script(), 2), 1, 7)
    assert envs.limited
    assert not vector().limited
    steps = play(envs, 2)  # type: ignore[arg-type] # it is one of teams
    assert steps[1].truncated.tolist() == [False, True]
    assert steps[1].terminated.tolist() == [False, False]
    assert steps[1].obs.tolist() == [[1, 0], [2, 0]]
    assert steps[1].successor.tolist() == [[0, 0], [2, 2]]


def test_an_agent_that_joins_later_counts_from_its_first_observation() -> None:
    def spoil(answers: Any) -> None:
        env, obs, *_ = answers
        if env.steps == 2 and "a" not in env.agents:
            env.agents.append("a")
            obs["a"] = env.observe("a")

    steps = play(vector(spoil=spoil, ends={"a": (1, "terminated"), "b": (4, "terminated")}), 3)
    assert [s.valid.tolist() for s in steps] == [[True, True], [False, True], [True, True]]
    assert steps[1].obs.tolist()[0] == [1, 2]


FAULTS: dict[str, tuple[Any, str]] = {
    "reward": (lambda a: a[2].pop("b"), "no reward of b, which acted"),
    "termination": (lambda a: a[3].pop("b"), "no termination of b"),
    "observation": (lambda a: a[1].pop("b"), "no observation of b"),
    "shape": (lambda a: a[1].update(b=np.zeros(3, np.float32)), r"of b, .*shape \(3,\)"),
    "dtype": (lambda a: a[1].update(b=np.zeros(2, complex)), "complex128 of shape"),
    "reward pair": (
        lambda a: a[2].update(b=np.zeros(2)),
        r"the reward of b float64 of shape \(2,\). It must be one number .environment 0, step 1",
    ),
    "reward text": (lambda a: a[2].update(a="1.5"), "the reward of a str '1.5'"),
    "flag text": (lambda a: a[3].update(b="False"), "termination of b = str 'False'"),
    "gone": (lambda a: a[0].agents.remove("b"), "b is gone, and was neither"),
    "nan": (lambda a: a[1]["b"].fill(np.nan), "an observation of b that is no number"),
    "reward nan": (lambda a: a[2].update(b=np.nan), "the reward nan of b .environment 0, step 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_interface_is_named_with_the_agent(fault: str) -> None:
    spoil, said = FAULTS[fault]
    with pytest.raises(EnvError, match=said):
        play(vector(spoil=spoil), 1)


def test_bounds_are_those_of_agents_that_acted() -> None:
    narrow = dict.fromkeys(("a", "b"), spaces.Box(1, 3, (2,), np.float32))
    envs = vector(observations=narrow)  # b observes (2, its step), a is gone after one step
    envs.restart()
    for _ in range(3):
        envs.step(np.zeros(2, np.int64))
    assert not envs.take_remarks()  # a row of 0 stands for who is gone

    def outside(answers: Any) -> None:
        if answers[0].steps == 2:
            answers[1]["b"][:] = 4

    envs = vector(observations=narrow, spoil=outside)
    envs.restart()
    for _ in range(3):
        envs.step(np.zeros(2, np.int64))
    (remark,) = envs.take_remarks()
    assert "an observation of b outside its declared bounds: 4 at 0" in remark.text


def test_an_episode_without_agents_is_an_error() -> None:
    class Nobody(Script):
        def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, Any]:
            super().reset(seed)
            self.agents = []
            return {}, {}

    with pytest.raises(EnvError, match="without any agent"):
        Team(Nobody(), "Nobody").reset()


def test_the_observation_of_a_terminated_agent_may_be_missing_but_not_of_a_truncated() -> None:
    step = play(vector(spoil=lambda a: a[1].pop("a")), 1)[0]
    assert step.successor.tolist()[0] == [0, 0]
    with pytest.raises(EnvError, match="no observation of a"):
        play(vector(spoil=lambda a: a[1].pop("a"), ends={"a": (1, "truncated"), "b": (9, "")}), 1)


@pytest.mark.parametrize("env_id", ["TwoCarts", "OwnBits"])
def test_state_is_put_back_in_mid_episode(env_id: str) -> None:
    def make() -> Any:
        return make_env(settings(f"rltrain.envs.teams:rltrain/{env_id}-v0"))

    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(60, 4))
    original = vector_env(make, 2, 3, "test")
    assert original.begin().why_not is None
    original.restart()
    for row in rng.integers(2, size=(99, 4)):
        original.step(row)
        if not original.alive.all():  # type: ignore[attr-defined] # it is one of teams
            break
    else:
        raise AssertionError("nobody ended before the others")
    resumed = vector_env(make, 2, 3, "test")
    resumed.restart(5)
    resumed.load_state_dict(original.state_dict())
    for row in actions:
        a, b = original.step(row), resumed.step(row)
        for x, y in zip(a, b, strict=True):
            assert np.array_equal(x, y)


def test_an_environment_of_one_agent_gets_the_plain_vector() -> None:
    assert type(vector_env(Toy, 2, 0)) is VectorEnv
