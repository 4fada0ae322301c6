"""Environments side by side: resets, statistics, seeds, checks, saving in mid-episode."""

from __future__ import annotations

import fractions
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from rltrain.core.errors import EnvError
from rltrain.core.layout import layout_of
from rltrain.core.seeding import derive
from rltrain.core.state import digest
from rltrain.envs.vector import Episode, VectorEnv, VectorStep
from rltrain.envs.wrappers import FrameStack
from tests.envs.toys import HiddenToy, Toy
from tests.files import through_file


def side_by_side(*toys: gym.Env, seed: int = 0, stream: str = "test") -> VectorEnv:
    left = iter(toys)
    return VectorEnv(lambda: next(left), len(toys), seed, stream)


def registered(**kwargs: Any) -> VectorEnv:
    return VectorEnv(lambda: gym.make("Toy-v0", disable_env_checker=True, **kwargs), 2, 0, "test")


def zeros(envs: VectorEnv) -> np.ndarray:
    return np.zeros((envs.num_envs, *(envs.action_space.shape or ())), np.int64)


@pytest.mark.parametrize(
    ("ending", "terminated", "truncated"),
    [("terminated", True, False), ("truncated", False, True), ("both", True, True)],
)
def test_the_reset_adds_no_row_and_the_successor_is_the_final_observation(
    ending: str, terminated: bool, truncated: bool
) -> None:
    envs = side_by_side(Toy(3, ending))
    rows = []
    obs = envs.restart()[0].tolist()
    for _ in range(7):
        step = envs.step(zeros(envs))
        rows.append(
            (obs, step.successor[0].tolist(), step.terminated.item(), step.truncated.item())
        )
        obs = step.obs[0].tolist()
        assert envs.obs is step.obs
    assert rows == [
        ([0, 0], [0, 1], False, False),
        ([0, 1], [0, 2], False, False),
        ([0, 2], [0, 3], terminated, truncated),
        ([1, 0], [1, 1], False, False),
        ([1, 1], [1, 2], False, False),
        ([1, 2], [1, 3], terminated, truncated),
        ([2, 0], [2, 1], False, False),
    ]


def test_where_one_episode_ends_the_others_go_on() -> None:
    envs = side_by_side(Toy(2), Toy(3))
    envs.restart()
    envs.step(zeros(envs))
    step = envs.step(zeros(envs))
    assert step.successor.tolist() == [[0, 2], [0, 2]]
    assert step.obs.tolist() == [[1, 0], [0, 2]]
    assert step.terminated.tolist() == [True, False]


def test_what_was_returned_is_never_overwritten() -> None:
    envs = side_by_side(Toy(2), Toy(3, "truncated"))
    kept, copies = [], []
    for array in (envs.restart(),):
        kept.append(array)
        copies.append(array.copy())
    for i in range(8):
        step = envs.step(zeros(envs))
        if i == 5:
            envs.reset_one(1)
        for array in (step.obs, step.successor, step.reward, step.terminated, step.truncated):
            kept.append(array)
            copies.append(array.copy())
    envs.restart(at=1)
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_step_does_not_change_the_actions_it_is_given() -> None:
    envs = side_by_side(Toy(box_actions=True))
    envs.restart()
    actions = np.array([[9.0, 9.0]], np.float32)
    envs.step(actions)
    assert actions.tolist() == [[9.0, 9.0]]


class Scribbler(Toy):
    """Overwrites the action that it is given, and keeps a copy of what it was."""

    def __init__(self, space: gym.Space) -> None:
        super().__init__(9)
        self.action_space = space

    def step(self, action: Any) -> Any:
        answer = super().step(np.copy(action))
        if isinstance(action, np.ndarray):
            action *= 0
            action += 1
        return answer


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.MultiDiscrete([3, 3]),
        spaces.MultiDiscrete([3, 3], start=[1, 1]),
        spaces.MultiBinary(2),
        spaces.Box(-2, 2, (2,)),
        spaces.Box(-2, 2, (2,), np.int64),
    ],
    ids=str,
)
def test_an_environment_that_overwrites_its_action_changes_only_its_copy(space: gym.Space) -> None:
    toys = Scribbler(space), Scribbler(space)
    envs = side_by_side(*toys)
    envs.restart()
    dtype = np.float32 if space.dtype == np.float32 else np.int64
    actions = np.zeros((2, *(space.shape or ())), dtype)
    kept = actions.copy()
    for _ in range(2):
        envs.step(actions)
        np.testing.assert_array_equal(actions, kept)
    for given in (*toys[0].actions, *toys[1].actions):
        assert not (given - getattr(space, "start", 0)).any()


def test_episodes_have_raw_return_and_length_over_many_resets() -> None:
    lengths = [2, 3, 5]
    envs = side_by_side(*(Toy(n) for n in lengths))
    envs.restart()
    for t in range(1, 31):
        step = envs.step(zeros(envs))
        assert step.episodes == [
            Episode(i, n * (n + 1) / 2, n) for i, n in enumerate(lengths) if t % n == 0
        ]
        assert step.reward.tolist() == [(t - 1) % n + 1 for n in lengths]
        assert step.reward.dtype == np.float32
        assert envs.lengths.tolist() == [t % n for n in lengths]


def test_only_the_first_reset_is_seeded_and_each_environment_differently() -> None:
    toys = [Toy(2), Toy(3), Toy(4)]
    envs = side_by_side(*toys, seed=7)
    envs.restart(at=40)
    for _ in range(12):
        envs.step(zeros(envs))
    first = [toy.seeds[0] for toy in toys]
    assert first == [derive(7, "test", i, 40) for i in range(3)]
    assert len(set(first)) == 3
    assert [len(toy.seeds) for toy in toys] == [7, 5, 4]
    assert all(seed is None for toy in toys for seed in toy.seeds[1:])


def test_a_restart_depends_on_seed_stream_and_position_and_on_nothing_else() -> None:
    def first(seed: int, at: int, stream: str = "test") -> int | None:
        toy = Toy()
        envs = side_by_side(toy, seed=seed, stream=stream)
        envs.restart()
        envs.step(zeros(envs))
        envs.restart(at)
        return toy.seeds[-1]

    assert first(0, 5) == first(0, 5)
    assert len({first(0, 5), first(0, 6), first(1, 5), first(0, 5, "evaluation")}) == 4


def test_a_restart_in_mid_episode_begins_the_statistics_anew() -> None:
    envs = side_by_side(Toy(3))
    envs.restart()
    envs.step(zeros(envs))
    assert envs.restart(at=1).tolist() == [[1, 0]]
    episodes = [e for _ in range(3) for e in envs.step(zeros(envs)).episodes]
    assert episodes == [Episode(0, 6.0, 3)]


def test_reset_one_drops_the_episode_of_one_environment_only() -> None:
    envs = side_by_side(Toy(4), Toy(4))
    envs.restart()
    envs.step(zeros(envs))
    before = envs.obs
    envs.reset_one(1)
    assert before.tolist() == [[0, 1], [0, 1]]
    assert envs.obs.tolist() == [[0, 1], [1, 0]]
    assert envs.returns.tolist() == [1, 0]
    assert envs.lengths.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("box_actions", "actions", "expected"),
    [
        (True, np.zeros(2), "(2, 2)"),
        (True, np.zeros((2, 3)), "(2, 2)"),
        (True, np.zeros((1, 2)), "(2, 2)"),
        (False, np.zeros((2, 1), np.int64), "(2,)"),
        (False, np.zeros(3, np.int64), "(2,)"),
    ],
)
def test_actions_of_a_wrong_shape_are_refused(
    box_actions: bool, actions: np.ndarray, expected: str
) -> None:
    envs = registered(box_actions=box_actions)
    envs.restart()
    with pytest.raises(EnvError) as error:
        envs.step(actions)
    for part in ("Toy-v0", expected, str(actions.shape)):
        assert part in str(error.value)


def test_box_actions_are_clipped_to_asymmetrical_bounds() -> None:
    toys = Toy(9, box_actions=True), Toy(9, box_actions=True)
    envs = side_by_side(*toys)
    envs.restart()
    envs.step(np.array([[-3.0, -3.0], [3.0, 3.0]]))
    envs.step(np.array([[1.5, -0.25], [-0.5, 0.125]]))
    assert np.array(toys[0].actions).tolist() == [[-1.0, -0.5], [1.5, -0.25]]
    assert np.array(toys[1].actions).tolist() == [[2.0, 0.25], [-0.5, 0.125]]
    assert all(a.dtype == np.float32 for toy in toys for a in toy.actions)


def test_actions_of_an_integer_box_are_the_nearest_integers() -> None:
    toy = Toy()
    toy.action_space = gym.spaces.Box(np.array([0, -5]), np.array([5, 5]), (2,), np.int32)
    taken: list[np.ndarray] = []
    step = toy.step
    toy.step = lambda action: (taken.append(action), step(action))[1]  # type: ignore[method-assign]
    envs = side_by_side(toy)
    envs.restart()
    for action in ([4.99, -0.6], [4.4, 0.4], [9.0, -9.0]):
        envs.step(np.array([action], np.float32))
    assert [action.tolist() for action in taken] == [[5, -1], [4, 0], [5, -5]]
    assert all(action.dtype == np.int32 for action in taken)


@pytest.mark.parametrize("start", [0, 5, -2])
def test_discrete_actions_and_observations_are_counted_from_0(start: int) -> None:
    toys = Toy(2, discrete=True, start=start), Toy(3, discrete=True, start=start)
    envs = side_by_side(*toys)
    assert envs.restart().tolist() == [0, 0]
    step = envs.step(np.array([0, 2]))
    assert step.obs.tolist() == [1, 1]
    step = envs.step(np.array([1, 0]))
    assert step.successor.tolist() == [2, 2]
    assert step.obs.tolist() == [0, 2]
    assert toys[0].actions == [start, start + 1]
    assert toys[1].actions == [start + 2, start]


@pytest.mark.parametrize(
    ("space", "drawn", "taken"),
    [
        (spaces.MultiDiscrete([2, 3]), [1, 2], [1, 2]),
        (spaces.MultiDiscrete([2, 3], start=[5, -1]), [1, 2], [6, 1]),
        (
            spaces.MultiDiscrete([[2, 3], [4, 5]], dtype=np.int32),
            [[1, 2], [3, 4]],
            [[1, 2], [3, 4]],
        ),
        (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
    ],
)
def test_actions_of_several_components_are_the_spaces_own(
    space: Any, drawn: list[Any], taken: list[Any]
) -> None:
    toy = Toy(3)
    toy.action_space = space
    envs = side_by_side(toy)
    envs.restart()
    envs.step(np.array([drawn]))
    (action,) = toy.actions
    assert space.contains(action)
    assert action.dtype == space.dtype
    assert action.tolist() == taken


@pytest.mark.parametrize(
    ("fault", "kwargs", "actual"),
    [
        ("complex", {}, "complex64 of shape (2,)"),
        ("shape", {}, "float32 of shape (1,)"),
        ("ragged", {}, "list [[0.0, 2.0], 1.0]"),
        ("text", {}, "returned str '["),
        ("above", {"discrete": True}, "int 1000"),
        ("below", {"discrete": True}, "int -1"),
        ("below", {"discrete": True, "start": 4}, "int -1"),
        ("float", {"discrete": True}, "float 2.0"),
    ],
)
@pytest.mark.parametrize("fault_at", [0, 2, 3])
def test_an_observation_outside_the_declared_space_is_an_error(
    fault: str, kwargs: dict[str, Any], actual: str, fault_at: int
) -> None:
    envs = registered(fault=fault, fault_at=fault_at, **kwargs)
    with pytest.raises(EnvError) as error:
        run_for(envs, 3)
    expected = str(envs.observation_space)
    first_digits = actual.replace("2.0", f"{fault_at}.0")
    for part in ("Toy-v0", expected, first_digits, "environment 0"):
        assert part in str(error.value)


class Answering(gym.Env[Any, Any]):
    """Observes two zeros; `reset` and `step` return what `first` and `then` make of that.

    `then` is a whole answer, or what changes of a usual one, by name.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, first: Any = None, then: Any = None, seeded: bool = True) -> None:
        self.first, self.then = first, then or {}
        if not seeded:
            self.reset = lambda: (np.zeros(2, np.float32), {})  # type: ignore[method-assign]

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        obs = np.zeros(2, np.float32)
        return (obs, {}) if self.first is None else self.first(obs)

    def step(self, action: Any) -> Any:
        names = ("obs", "reward", "terminated", "truncated", "info")
        usual = dict(zip(names, (np.zeros(2, np.float32), 1.0, False, False, {}), strict=True))
        if callable(self.then):
            return self.then(*usual.values())
        return tuple((usual | self.then).values())


RESETS: dict[str, tuple[Any, str]] = {
    "observation": (lambda obs: obs, r"float32 of shape \(2,\)"),
    "list": (lambda obs: obs.tolist(), r"list \[0.0, 0.0\]"),
    "pair": (lambda obs: (obs, obs), r"a tuple of 2 values \(ndarray, ndarray\)"),
    "three": (lambda obs: (obs, {}, 1), "a tuple of 3 values"),
    "dict": (lambda obs: {"a": obs, "b": {}}, "dict"),
    "nothing": (lambda obs: (), "a tuple of 0 values"),
    "none": (lambda obs: type(None)(), "NoneType None"),
}
STEPS: dict[str, tuple[Any, str]] = {
    "four": (lambda o, r, d, t, i: (o, r, d, i), "a tuple of 4 values"),
    "observation": (lambda o, r, d, t, i: o, r"float32 of shape \(2,\)"),
    "none": (lambda o, r, d, t, i: None, "NoneType None"),
}
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "bare": lambda env: env,
    "limited": lambda env: TimeLimit(OrderEnforcing(env), 9),
    "stacked": lambda env: FrameStack(env, 2),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("answer", RESETS)
def test_a_reset_of_the_old_interface_is_named_in_one_line(answer: str, wrapper: str) -> None:
    first, said = RESETS[answer]
    envs = VectorEnv(lambda: WRAPPERS[wrapper](Answering(first)), 1, 0, "test")
    with pytest.raises(EnvError, match="(?s)^Answering: reset returned " + said) as caught:
        envs.restart()
    assert "(observation, info)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_reset_that_takes_no_seed_is_named_in_one_line(wrapper: str) -> None:
    envs = VectorEnv(lambda: WRAPPERS[wrapper](Answering(seeded=False)), 1, 0, "test")
    said = r"^Answering: reset does not take seed. reset\(\*, seed=None"
    with pytest.raises(EnvError, match=said):
        envs.restart()


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("answer", STEPS)
def test_a_step_of_the_old_interface_is_named_in_one_line(answer: str, wrapper: str) -> None:
    then, said = STEPS[answer]
    envs = VectorEnv(lambda: WRAPPERS[wrapper](Answering(then=then)), 2, 0, "test")
    envs.restart()
    with pytest.raises(EnvError, match=r"^Answering: step returned ") as caught:
        envs.step(zeros(envs))
    text = str(caught.value)
    assert "(observation, reward, terminated, truncated, info)" in text
    assert text.endswith("(environment 0, step 1 of its episode).")
    assert "\n" not in text
    if wrapper == "bare":
        assert re.search(said, text)


def test_five_numbers_are_not_the_five_values_of_a_step() -> None:
    envs = side_by_side(Answering(then=lambda *usual: np.zeros(5)))
    envs.restart()
    with pytest.raises(EnvError, match=r"step returned float64 of shape \(5,\)"):
        envs.step(zeros(envs))


ONE_NUMBER: list[Any] = [
    2,
    2.0,
    np.float32(2),
    np.int64(2),
    np.array(2.0),
    np.array([2.0]),
    np.array([[2]], np.int8),
    np.array([2.0], np.float16),
    torch.tensor([2.0]),
    fractions.Fraction(2),
]


@pytest.mark.parametrize("reward", ONE_NUMBER, ids=repr)
@pytest.mark.parametrize("others", [1.0, None], ids=["mixed", "all"])
def test_a_reward_of_one_number_counts_as_it(reward: Any, others: float | None) -> None:
    second = Answering(then={"reward": reward if others is None else others})
    envs = side_by_side(Answering(then={"reward": reward}), second)
    envs.restart()
    step = envs.step(zeros(envs))
    assert step.reward.tolist() == [2.0, others or 2.0]
    assert (step.reward.dtype, envs.returns.dtype) == (np.float32, np.float64)


def test_a_truth_value_is_a_reward_of_0_or_1() -> None:
    envs = side_by_side(*(Answering(then={"reward": r}) for r in (True, np.bool_(False))))
    envs.restart()
    assert envs.step(zeros(envs)).reward.tolist() == [1.0, 0.0]


NOT_A_NUMBER: dict[str, tuple[Any, str]] = {
    "vector": (np.zeros(2), r"float64 of shape \(2,\)"),
    "empty": (np.zeros(0), r"float64 of shape \(0,\)"),
    "list": ([1.0], r"list \[1.0\]"),
    "tuple": ((1.0,), r"a tuple of 1 values \(float\)"),
    "dict": ({"a": 1.0}, "dict {'a': 1.0}"),
    "complex": (1j, "complex 1j"),
    "complex array": (np.array(1j), "complex128 1j"),
    "text": ("1.5", "str '1.5'"),
    "none": (None, "NoneType None"),
}


@pytest.mark.parametrize("kind", NOT_A_NUMBER)
@pytest.mark.parametrize("others", ["usual", "same"])
def test_a_reward_that_is_not_one_number_is_named(kind: str, others: str) -> None:
    reward, said = NOT_A_NUMBER[kind]
    first = {"reward": reward} if others == "same" else {}
    envs = side_by_side(Answering(then=first), Answering(then={"reward": reward}))
    envs.restart()
    number = 0 if others == "same" else 1
    with pytest.raises(EnvError, match=f"step returned the reward {said}. It must be one") as e:
        envs.step(zeros(envs))
    assert f"(environment {number}, step 1 of its episode)" in str(e.value)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("which", ["terminated", "truncated"])
@pytest.mark.parametrize(
    ("flag", "value"),
    [
        (np.bool_(True), True),
        (np.array(True), True),
        (np.array([False]), False),
        (1, True),
        (0.0, False),
        (np.int64(1), True),
        (torch.tensor(True), True),
    ],
    ids=repr,
)
def test_flags_may_be_arrays_or_0_and_1(which: str, flag: Any, value: bool) -> None:
    envs = side_by_side(Answering(then={which: flag}), Answering())
    envs.restart()
    step = envs.step(zeros(envs))
    assert getattr(step, which).tolist() == [value, False]
    assert step.terminated.dtype == step.truncated.dtype == np.bool_


@pytest.mark.parametrize("which", ["terminated", "truncated"])
@pytest.mark.parametrize("flag", ["False", "", None, 2, 0.5, [True], np.zeros(2, bool)], ids=repr)
def test_flags_that_are_not_true_or_false_are_named(which: str, flag: Any) -> None:
    envs = side_by_side(Answering(then={which: flag}), Answering(then={which: flag}))
    envs.restart()
    with pytest.raises(EnvError, match=f"step returned {which} = .*It must be True or False"):
        envs.step(zeros(envs))


class Raising(Answering):
    """Raises in its method `where`, at its `at`-th call."""

    def __init__(self, where: str = "step", at: int = 1) -> None:
        super().__init__()
        self.where, self.left = where, at

    def called(self, where: str) -> None:
        self.left -= where == self.where
        if self.left == 0:
            raise ValueError("too many values\n  to unpack")

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.called("reset")
        return super().reset()

    def step(self, action: Any) -> Any:
        self.called("step")
        return super().step(action)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize(
    ("where", "at", "when"),
    [("step", 3, "step 3 of its episode"), ("reset", 1, "at the start of an episode")],
)
def test_an_error_of_the_environments_own_is_one_line(
    where: str, at: int, when: str, wrapper: str
) -> None:
    envs = VectorEnv(lambda: WRAPPERS[wrapper](Raising(where, at)), 2, 0, "test", first=4)
    said = f"Raising: {where} raised ValueError: too many values to unpack (environment 4, {when})"
    with pytest.raises(EnvError, match="^" + re.escape(said)) as caught:
        run_for(envs, 3)
    assert isinstance(caught.value.__cause__, ValueError)


class Wandering(Answering):
    """Observes how many steps it took, in a Box that ends at 1."""

    def __init__(self, length: int = 10**9, scale: float = 1.0) -> None:
        super().__init__()
        self.length, self.scale, self.count = length, scale, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.count = 0
        return super().reset()

    def step(self, action: Any) -> Any:
        self.count += 1
        obs = np.array([0, self.scale * self.count], np.float32)
        return obs, 1.0, self.count == self.length, False, {}


def remarks(envs: VectorEnv) -> list[str]:
    return [remark.text for remark in envs.take_remarks()]


def test_an_observation_outside_its_bounds_is_said_once_and_used_as_it_is() -> None:
    envs = side_by_side(Answering(), Wandering())
    run_for(envs, 1)
    assert not envs.take_remarks()  # 1 is inside
    assert envs.step(zeros(envs)).obs[1].tolist() == [0, 2]
    assert remarks(envs) == [
        "Answering returned an observation outside its declared bounds: 2 at 1, where the Box has"
        " -1 to 1 (environment 1). It is used as it is."
    ]
    for _ in range(200):
        envs.step(zeros(envs))
    assert not envs.take_remarks()


def test_later_steps_and_final_observations_outside_bounds_are_noticed_too() -> None:
    late = side_by_side(Wandering(scale=0.01))  # outside from its step 101 on
    run_for(late, 319)
    assert not late.take_remarks()
    late.step(zeros(late))
    assert "3.2 at 1" in remarks(late)[0]
    final = side_by_side(Wandering(101, 0.01), Answering())  # outside at its last step alone
    run_for(final, 40 * 101)
    assert "1.01 at 1" in remarks(final)[0]


@pytest.mark.parametrize(
    ("space", "obs"),
    [
        (spaces.Box(0, 255, (2,), np.uint8), np.array([0, 255], np.uint8)),
        (spaces.Box(-np.inf, np.inf, (2,)), np.array([-1e9, 1e9], np.float32)),
        (spaces.Box(0, 1, (2,), np.bool_), np.array([False, True])),
        (spaces.Discrete(3), 2),
    ],
    ids=str,
)
def test_what_cannot_leave_its_bounds_is_not_checked(space: gym.Space, obs: Any) -> None:
    env = Answering(first=lambda _: (obs, {}), then={"obs": obs})
    env.observation_space = space  # type: ignore[assignment] # of another kind
    envs = side_by_side(env)
    run_for(envs, 3)
    assert not envs.take_remarks()


def test_rounded_observations_are_said_once() -> None:
    obs = np.array([0.1, 0.2])
    envs = side_by_side(Answering(then={"obs": obs}), Answering(then={"obs": obs}))
    run_for(envs, 3)
    assert envs.obs[0].tolist() == obs.astype(np.float32).tolist()
    assert remarks(envs) == [
        "Answering returned float64 for float32 as observation: its values are rounded."
    ]


def run_for(envs: VectorEnv, steps: int) -> None:
    envs.restart()
    for _ in range(steps):
        envs.step(zeros(envs))


@pytest.mark.parametrize("fault", ["nan", "inf"])
@pytest.mark.parametrize(
    ("fault_at", "fault_episode", "steps"),
    [(0, 0, 0), (2, 0, 2), (3, 0, 3), (0, 1, 3)],
    ids=["first", "middle", "final", "first of the second"],
)
def test_an_observation_that_is_no_number_is_an_error(
    fault: str, fault_at: int, fault_episode: int, steps: int
) -> None:
    good = Toy(9)
    bad = Toy(3, fault=fault, fault_at=fault_at, fault_episode=fault_episode)
    envs = side_by_side(good, bad)
    if steps:
        run_for(envs, steps - 1)
    with pytest.raises(EnvError, match=rf"Toy .*no number: .*{fault}.*environment 1"):
        envs.step(zeros(envs)) if steps else envs.restart()


def test_a_bad_observation_of_a_step_is_said_to_be_of_that_step() -> None:
    envs = side_by_side(Toy(3, fault="nan", fault_at=2))
    with pytest.raises(EnvError, match="after step 2 of its episode"):
        run_for(envs, 2)


@pytest.mark.parametrize("fault_episode", [0, 1])
def test_a_bad_first_observation_is_not_said_to_be_of_a_step(fault_episode: int) -> None:
    envs = side_by_side(Toy(3, fault="nan", fault_at=0, fault_episode=fault_episode))
    with pytest.raises(EnvError) as error:
        run_for(envs, 3)
    assert "step 1 " not in str(error.value)


@pytest.mark.parametrize("fault", ["reward_nan", "reward_inf", "reward_minus_inf"])
@pytest.mark.parametrize("fault_at", [1, 3])
def test_a_reward_that_is_no_number_is_an_error(fault: str, fault_at: int) -> None:
    envs = side_by_side(Toy(9), Toy(3, fault=fault, fault_at=fault_at))
    run_for(envs, fault_at - 1)
    with pytest.raises(EnvError, match=rf"Toy .*environment 1, step {fault_at} of its episode"):
        envs.step(zeros(envs))


@pytest.mark.filterwarnings("ignore:invalid value")  # ∞ − ∞
def test_infinite_rewards_that_cancel_out_are_an_error() -> None:
    envs = side_by_side(
        Toy(fault="reward_inf", fault_at=1), Toy(fault="reward_minus_inf", fault_at=1)
    )
    envs.restart()
    with pytest.raises(EnvError, match="environment 0"):
        envs.step(zeros(envs))


def test_close_closes_every_environment() -> None:
    toys = Toy(), Toy()
    side_by_side(*toys).close()
    assert [toy.closed for toy in toys] == [1, 1]


def play(envs: VectorEnv, actions: list[np.ndarray]) -> list[VectorStep]:
    return [envs.step(a) for a in actions]


def assert_same_steps(a: list[VectorStep], b: list[VectorStep]) -> None:
    for one, other in zip(a, b, strict=True):
        assert one.episodes == other.episodes
        for name in ("obs", "successor", "reward", "terminated", "truncated"):
            x, y = getattr(one, name), getattr(other, name)
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


def limited(env_id: str, steps: int) -> Callable[[], gym.Env]:
    return lambda: gym.make(env_id, disable_env_checker=True, max_episode_steps=steps)


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "FrozenLake-v1", "Taxi-v4", "Pendulum-v1", "HalfCheetah-v5"]
)
def test_a_state_saved_in_mid_episode_goes_on_identically(
    env_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if env_id == "HalfCheetah-v5":
        pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log where it runs
    original = VectorEnv(limited(env_id, 17), 2, 3, "test")
    original.action_space.seed(0)
    actions = [np.stack([original.action_space.sample() for _ in range(2)]) for _ in range(70)]
    original.restart()
    play(original, actions[:25])
    assert original.lengths.any()  # in mid-episode
    state = original.state_dict()
    before = digest(state)
    expected = play(original, actions[25:])
    assert digest(state) == before
    assert sum(len(step.episodes) for step in expected) >= 4

    resumed = VectorEnv(limited(env_id, 17), 2, 3, "test")
    resumed.load_state_dict(through_file(state))
    np.testing.assert_array_equal(resumed.obs, state["obs"])
    assert_same_steps(play(resumed, actions[25:]), expected)
    original.close()
    resumed.close()


def test_without_the_environments_own_state_loading_repeats_the_restart() -> None:
    toy, again = HiddenToy(), HiddenToy()
    envs = side_by_side(toy, seed=3)
    envs.restart(at=64)
    state = envs.state_dict(save_envs=False)
    assert state["envs"] is None
    resumed = side_by_side(again, seed=3)
    resumed.load_state_dict(through_file(state))
    assert again.seeds == toy.seeds
    np.testing.assert_array_equal(resumed.obs, envs.obs)
    assert resumed.state_dict(False)["restarted_at"] == 64


def test_a_loaded_state_is_not_shared_with_the_environments() -> None:
    envs = side_by_side(Toy(9))
    envs.restart()
    state = envs.state_dict()
    envs.load_state_dict(state)
    before = digest(state)
    play(envs, [zeros(envs)] * 3)
    assert digest(state) == before


@pytest.mark.parametrize(("cls", "saved"), [(Toy, True), (HiddenToy, False)])
def test_it_is_known_whether_environments_can_be_saved(cls: type[gym.Env], saved: bool) -> None:
    envs = VectorEnv(cls, 1, 0, "test")
    assert (envs.begin().why_not is None) is saved


class Room(gym.Env[Any, Any]):
    """Observes a Dict, in which `spoilt` puts what is wrong at its second step."""

    observation_space = spaces.Dict(
        {"far": spaces.Box(-9, 9, (2,)), "inner": spaces.Dict({"mode": spaces.Discrete(3)})}
    )
    action_space = spaces.Discrete(2)

    def __init__(self, **spoilt: Any) -> None:
        self.spoilt = spoilt
        self.count = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.count = 0
        return self.observe(), {}

    def observe(self) -> dict[str, Any]:
        obs = {"far": np.full(2, self.count, np.float32), "inner": {"mode": self.count % 3}}
        return obs | (self.spoilt if self.count == 2 else {})

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.observe(), 1.0, self.count == 3, False, {}


def test_a_dict_is_a_row_of_bytes_with_the_true_successor() -> None:
    envs = side_by_side(Room(), Room())
    layout = layout_of(Room.observation_space)
    envs.restart()
    seen = []
    for _ in range(4):
        step = envs.step(zeros(envs))
        assert step.obs.dtype == np.uint8
        rows = layout.view(step.obs), layout.view(step.successor)
        seen.append([(r["far"][1].tolist(), int(r["inner.mode"][1])) for r in rows])
    first = ([0.0, 0.0], 0)
    assert seen[0] == [([1.0, 1.0], 1)] * 2
    assert seen[2] == [first, ([3.0, 3.0], 0)]
    assert seen[3] == seen[0]


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"far": np.zeros(3)}, r"Box\(-9.0, 9.0, \(2,\), float32\) as far, but returned float64"),
        ({"inner": {"mode": 3}}, r"Discrete\(3\) as inner.mode, but returned int 3"),
        ({"inner": {}}, "as inner, but returned nothing called mode in {}"),
        ({"far": np.array([0, np.nan], np.float32)}, "no number.*environment 1, after step 2"),
    ],
)
def test_a_part_that_breaks_its_space_is_named(spoilt: dict[str, Any], message: str) -> None:
    envs = side_by_side(Room(), Room(**spoilt))
    envs.restart()
    envs.step(zeros(envs))
    with pytest.raises(EnvError, match=message):
        envs.step(zeros(envs))
