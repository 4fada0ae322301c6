"""Environments that raise are rebuilt a bounded number of times, their episodes dropped."""

from __future__ import annotations

import multiprocessing
import re
import threading
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import EnvError, UserError
from rltrain.core.state import digest
from rltrain.core.types import Transition, remember
from rltrain.envs.supervisor import OnError
from rltrain.envs.team import Team
from rltrain.envs.team_vector import vector_env
from rltrain.functional.returns import gae
from rltrain.memory.episodes import Episodes
from rltrain.memory.last import LastTransition
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.memory.rollout import Rollout
from rltrain.settings.run import build_run
from rltrain.training import session
from tests.conftest import QUICK, small
from tests.envs.parallel_toys import Script
from tests.training.test_resume import newest, rows_without_time


class Flaky(gym.Env[Any, Any]):
    """Episodes of 40 steps in one state, with a reward of 1 for each.

    Raises in the steps `steps` of a share `chance` of the episodes, and in every reset whose
    number, counted over all copies, is one of `Flaky.resets`.
    """

    resets: tuple[int, ...] = ()
    count = 0
    seeds: list[int | None] = []  # noqa: RUF012 # of all copies

    def __init__(self, steps: Any = (7,), discrete: bool = False, chance: float = 0.5) -> None:
        self.steps, self.chance, self.bad = tuple(steps), chance, False
        one = spaces.Discrete(1) if discrete else spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space: Any = one
        self.action_space = spaces.Discrete(2)
        self.t = 0

    def see(self) -> Any:
        return 0 if isinstance(self.observation_space, spaces.Discrete) else np.ones(2, np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        Flaky.seeds.append(seed)
        Flaky.count += 1
        if Flaky.count in Flaky.resets:
            raise OSError("no door")
        self.t = 0
        self.bad = bool(self.np_random.random() < self.chance)
        return self.see(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        if self.bad and self.t in self.steps:
            raise RuntimeError("the\nroof fell")
        return self.see(), 1.0, False, self.t == 40, {}


class FlakyBox(Flaky):
    """The same, with actions of a Box."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)  # type: ignore[assignment] # no bit


def flaky_team(always: bool = False) -> Team:
    """Two agents whose environment raises in the third of six steps of episodes with an even seed,
    or of every one."""

    def spoil(answers: Any) -> None:
        seed = answers[0].seeds[-1]
        if answers[0].steps == 3 and (always or (seed is not None and seed % 2 == 0)):
            raise RuntimeError("the roof fell")

    return Team(Script({"a": (6, "terminated"), "b": (6, "terminated")}, spoil=spoil), "Flaky")


gym.register("Flaky-v0", entry_point=f"{__name__}:Flaky")
gym.register("FlakyBox-v0", entry_point=f"{__name__}:FlakyBox")
gym.register("FlakyTeam-v0", entry_point=f"{__name__}:flaky_team")


@pytest.fixture(autouse=True)
def _reset_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flaky, "resets", ())
    monkeypatch.setattr(Flaky, "count", 0)
    monkeypatch.setattr(Flaky, "seeds", [])


def vector(*steps: int, most: int = 5, count: int = 2) -> Any:
    """`count` environments, of which the first raises in these steps of each episode."""
    left = iter([steps] + [()] * (count - 1))
    return vector_env(
        lambda: Flaky(next(left, steps), chance=1),
        count,
        3,
        "test",
        on_error=OnError("restart", most),
    )


def act(envs: Any) -> Any:
    return envs.step(np.zeros(envs.num_rows, np.int64))


def test_a_step_that_raises_is_a_row_without_transition_and_no_episode() -> None:
    envs = vector(3)
    envs.restart()
    before = [act(envs) for _ in range(2)]
    assert all(step.valid is None for step in before)
    step = act(envs)
    assert step.valid.tolist() == [False, True]
    assert (step.terminated.any(), step.truncated.any(), step.episodes) == (False, False, [])
    assert step.reward.tolist() == [0.0, 1.0]
    assert envs.lengths.tolist() == [0, 3]
    assert envs.returns.tolist() == [0.0, 3.0]
    assert act(envs).valid is None
    (remark,) = envs.take_remarks()
    assert remark.text == (
        "Flaky: step raised RuntimeError: the roof fell (environment 0, step 3 of its episode): its"
        " episode is dropped, rebuild 1 of 5."
    )


def test_rebuilt_environments_have_seeds_of_their_own() -> None:
    envs = vector(1, most=3, count=1)
    envs.restart()
    for _ in range(3):
        act(envs)
    assert len(set(Flaky.seeds)) == 4
    again = vector(1, most=3, count=1)
    seeds, Flaky.seeds = Flaky.seeds, []
    again.restart()
    for _ in range(3):
        act(again)
    assert Flaky.seeds == seeds


def test_rebuilds_are_bounded_for_each_environment() -> None:
    envs = vector(1, most=3)
    envs.restart()
    for _ in range(3):
        act(envs)
    with pytest.raises(EnvError, match=r"step raised RuntimeError: the roof.*rebuilt 3 times"):
        act(envs)


@pytest.mark.parametrize("at", [1, 3])
def test_a_reset_that_raises_is_tried_again_in_a_new_environment(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Flaky, "resets", (at, at + 1))
    envs = vector(99)
    envs.restart()
    for _ in range(40):
        step = act(envs)
    assert step.valid is None  # the step before a reset counts, and ends its episode
    assert [e.length for e in step.episodes] == [40, 40]
    assert envs.supervisor.restarts.sum() == 2


def test_a_reset_that_always_raises_is_the_error_after_bounded_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Flaky, "resets", tuple(range(1, 99)))
    said = r"Flaky: reset raised OSError: no door \(environment 0, at the start.*rebuilt 5 times"
    with pytest.raises(EnvError, match=said):
        vector().restart()
    assert Flaky.count == 6


def test_what_breaks_the_interface_is_never_rebuilt() -> None:
    class Old(Flaky):
        def step(self, action: Any) -> Any:
            return super().step(action)[:4]

    envs = vector_env(Old, 1, 0, on_error=OnError("restart", 5))
    envs.restart()
    with pytest.raises(EnvError, match="step returned a tuple of 4 values"):
        act(envs)


def test_a_team_whose_environment_raises_is_dropped_whole() -> None:
    envs = vector_env(lambda: flaky_team(always=True), 2, 0, on_error=OnError("restart", 5))
    envs.restart()
    steps = [act(envs) for _ in range(4)]
    assert [s.valid.tolist() for s in steps] == [[True] * 4, [True] * 4, [False] * 4, [True] * 4]
    assert not any(s.episodes or s.terminated.any() or s.truncated.any() for s in steps)
    assert envs.lengths.tolist() == [1] * 4


def test_counts_of_rebuilds_are_state() -> None:
    envs = vector(2, most=9, count=1)
    envs.restart()
    for _ in range(3):
        act(envs)
    state = envs.state_dict()
    assert state["restarts"].tolist() == [1]
    more = [envs.supervisor.restarts.tolist(), act(envs).valid is None]
    other = vector(2, most=9, count=1)
    other.load_state_dict(state)
    assert [other.supervisor.restarts.tolist(), act(other).valid is None] == more
    old = {name: value for name, value in state.items() if name != "restarts"}
    vector(2, most=9, count=1).load_state_dict(old)  # of an earlier version


SPACES = spaces.Box(-9, 9, (1,), np.float32), spaces.Discrete(2)


def fill(memory: Any) -> Any:
    """Write rows 0, 1, 2 of one episode, a row that is not valid, and rows 4 and 5 of another."""
    for t in range(6):
        valid = np.array([t != 3])
        obs = np.full((1, 1), t, np.float32)
        step = Transition(
            obs,
            np.zeros(1, np.int64),
            np.full(1, 10.0**t if t != 3 else 0, np.float32),
            np.zeros(1, np.bool_),
            np.array([t == 5]),
            obs + (t != 3),
            {"value": np.zeros(1, np.float32), "state": np.zeros((1, 1), np.float32)},
            None if t != 3 else valid,
        )
        remember(memory, step)
    return memory


def test_a_rollout_bootstraps_before_a_row_without_transition() -> None:
    memory = fill(Rollout(6, 1, *SPACES, {"value": ()}))
    assert memory.truncated[:, 0].tolist() == [False, False, True, False, False, True]
    assert [(t, b, float(o[0])) for t, b, o in memory.final_obs] == [(2, 0, 3.0), (5, 0, 6.0)]
    assert memory.samples(memory.obs).ravel().tolist() == [0, 1, 2, 4, 5]
    flags = memory.terminated, memory.truncated
    zeros = np.zeros((6, 1))
    advantages = gae(memory.reward, zeros, zeros, *flags, 1.0, 1.0)
    assert memory.samples(advantages).ravel().tolist() == [111, 110, 100, 110_000, 100_000]
    memory.rewind()
    assert memory.valid.all()


def test_a_replay_leaves_a_row_without_transition_out() -> None:
    memory = fill(ReplayBuffer(10, *SPACES))
    sample = memory.sample(200, np.random.default_rng(0))
    assert set(sample.obs.ravel()) == {0, 1, 2, 4, 5}
    assert (sample.successor == sample.obs + 1).all()


@pytest.mark.parametrize("prioritized", [False, True])
def test_n_step_returns_end_before_a_row_without_transition(prioritized: bool) -> None:
    memory: Any = NStepReplay(10, *SPACES, 1, 4, 1.0)
    memory = fill(PrioritizedReplay(memory, 0.5) if prioritized else memory)
    sample = memory.sample(300, np.random.default_rng(0))
    found = dict(zip(sample.obs.ravel().tolist(), sample.reward.tolist(), strict=True))
    assert found == {0: 111, 1: 110, 2: 100, 4: 110_000, 5: 100_000}
    ends = dict(zip(sample.obs.ravel().tolist(), sample.successor.ravel().tolist(), strict=True))
    assert ends == {0: 3, 1: 3, 2: 3, 4: 6, 5: 6}
    assert not sample.terminated.any()


def test_whole_episodes_leave_out_those_that_came_to_nothing() -> None:
    memory = fill(Episodes(1, *SPACES))
    assert memory["obs"][memory.complete()].ravel().tolist() == [4, 5]
    assert memory.count == 1
    again = Episodes(1, *SPACES)
    again.load_state_dict(memory.state_dict())
    assert digest(again.state_dict()) == digest(memory.state_dict())
    memory.drop()
    assert memory.position == 0


def test_the_last_transition_has_the_valid_rows_alone() -> None:
    memory = fill(LastTransition())
    step = memory.step._replace(valid=np.array([False]))
    memory.add(step)
    assert memory.step is not None
    assert len(memory.step.reward) == 0


def test_a_value_is_what_it_is_without_the_steps_that_raised(compose: Any, in_tmp: Path) -> None:
    """One state, 1 a step, γ = ½: Q = 2, unless a step that raised counts as an end or as 0."""
    keys = ("algo.gamma=0.5", "algo.learning_rate=0.5", "total_timesteps=400", "eval.every=0")
    values = compose(*command("q_learning", "env.kwargs.discrete=true", *keys))
    table = newest(session.start(values).folder).content["policy"]["table"]
    np.testing.assert_allclose(table, 2.0, atol=1e-6)


def command(algo: str, *more: str) -> list[str]:
    own = [o for o in small(algo) if not o.startswith("env=")]
    name = "FlakyTeam" if algo == "iql" else "FlakyBox" if algo in ("td3", "sac") else "Flaky"
    keys = ("env.on_error=restart", "env.max_restarts=1000")
    return [*own, f"env={__name__}:{name}-v0", *keys, *more]


FAMILIES = [*QUICK, "sac", "reinforce", "pqn", "a2c", "q_learning"]


@pytest.mark.parametrize(
    ("algo", "sampler"),
    [(algo, "inline") for algo in FAMILIES]
    + [pytest.param(algo, "processes", marks=pytest.mark.slow) for algo in FAMILIES],
)
def test_every_kind_of_memory_trains_on_and_resumes_exactly(
    algo: str, sampler: str, compose: Any, in_tmp: Path
) -> None:
    more = ["env.kwargs.discrete=true"] if algo == "q_learning" else []
    workers = ["num_workers=2", "env.num_envs=2"] if sampler == "processes" else []
    same = command(algo, *more, *workers, f"sampler={sampler}")
    a = session.start(compose(*same, "run_name=a")).folder
    b = session.start(compose(*same, "run_name=b")).folder
    first = sorted((b / "checkpoints").glob("step_*"))[0]
    session.resume(b, first, {})
    one, other = newest(a).content, newest(b).content
    restarts = one["sampler"]["envs"]["restarts"]
    assert restarts.any()
    for part in ("policy", "algorithm", "sampler", "progress"):
        assert digest(one[part]) == digest(other[part]), part
    assert rows_without_time(a / "progress.csv") == rows_without_time(b / "progress.csv")


def test_the_same_numbers_inline_and_in_processes(compose: Any, in_tmp: Path) -> None:
    folders = [
        session.start(
            compose(
                *command("ppo", "env.num_envs=2", f"sampler={s}", "num_workers=2", f"run_name={s}")
            )
        ).folder
        for s in ("inline", "processes")
    ]
    one, other = (newest(folder).content for folder in folders)
    for part in ("policy", "algorithm"):
        assert digest(one[part]) == digest(other[part]), part


def test_stacks_of_observations_and_rebuilds_do_not_go_together(compose: Any) -> None:
    with pytest.raises(
        UserError, match=re.escape("env.on_error=restart does not fit env.frame_st")
    ):
        build_run(compose(*command("ppo", "env.frame_stack=2")))


class Hanging(Flaky):
    """In a worker process never returns from its fifth step, or from its second reset.

    In the process of the run it does, since nobody could stop it there.
    """

    def __init__(self, where: str = "step") -> None:
        super().__init__(steps=())
        self.where, self.begun = where, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.begun += 1
        if self.where == "reset" and self.begun == 2:
            self.hang()
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        if self.where == "step" and self.t == 4:
            self.hang()
        return super().step(action)

    def hang(self) -> None:
        if multiprocessing.parent_process() is not None:
            threading.Event().wait()


gym.register("Hanging-v0", entry_point=f"{__name__}:Hanging")


@pytest.mark.parametrize("where", ["step", "reset"])
def test_a_worker_whose_environment_hangs_is_killed_and_named(
    where: str, compose: Any, in_tmp: Path
) -> None:
    own = [o for o in small("ppo") if not o.startswith(("env=", "sampler="))]
    values = compose(
        *own,
        f"env={__name__}:Hanging-v0",
        f"env.kwargs.where={where}",
        "env.num_envs=2",
        "num_workers=2",
        "env.step_timeout=1",
        "eval.every=0",
        "run_name=a",
    )
    said = r"Hanging-v0: environment [01] did not return from step or reset within 1 s"
    with pytest.raises(EnvError, match=said):
        session.start(values)
    assert not multiprocessing.active_children()


def test_an_environment_of_this_process_cannot_be_timed(compose: Any, in_tmp: Path) -> None:
    with pytest.raises(UserError, match=r"env.step_timeout=1: .* Set sampler=processes"):
        session.start(compose(*small("ppo", "env.step_timeout=1", "sampler=inline")))
