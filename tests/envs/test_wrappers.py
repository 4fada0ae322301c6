"""Parts of observations that are left out, and stacks of them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rltrain.core.errors import UserError
from rltrain.core.spaces import Stack
from rltrain.envs.wrappers import DropKeys, FrameStack
from tests.envs.toys import Toy

BIT = spaces.Discrete(2)


class Room(gym.Env[Any, Any]):
    observation_space = spaces.Dict(
        {"lamp": BIT, "robot": spaces.Dict({"arm": BIT, "eye": spaces.Box(0, 1, (2,))})}
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return {"lamp": 1, "robot": {"arm": 0, "eye": np.zeros(2, np.float32)}}, {}


@pytest.mark.parametrize(
    ("names", "left", "shown"),
    [
        (("lamp",), {"robot": ["arm", "eye"]}, ["robot"]),
        (("robot.eye",), {"lamp": None, "robot": ["arm"]}, ["lamp", "robot"]),
        (("robot",), {"lamp": None}, ["lamp"]),
        (("robot.eye", "lamp"), {"robot": ["arm"]}, ["robot"]),
    ],
)
def test_space_and_observation_lose_the_same_parts(
    names: tuple[str, ...], left: dict[str, Any], shown: list[str]
) -> None:
    env = DropKeys(Room(), names)
    space: Any = env.observation_space
    obs, _ = env.reset()
    assert sorted(space.spaces) == sorted(obs) == shown
    for key, inside in left.items():
        if inside is not None:
            assert sorted(space[key].spaces) == sorted(obs[key]) == inside
    assert space.contains(obs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("lamb",), "no part called lamb. Did you mean lamp"),
        (("robot.ey",), "no part called robot.ey. Did you mean robot.eye"),
        (("lamp", "robot.arm", "robot.eye"), "nothing is left"),
    ],
)
def test_mistakes_are_named(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DropKeys(Room(), names)


def test_what_is_no_dict_has_no_parts() -> None:
    env = gym.make("CartPole-v1")
    with pytest.raises(UserError, match=r"no part called x\. They are Box"):
        DropKeys(env, ("x",))
    env.close()


def test_a_stack_holds_the_newest_observations_and_begins_with_the_first() -> None:
    env = FrameStack(Toy(length=5), 3)
    assert isinstance(env.observation_space, Stack)
    assert env.observation_space.shape == (3, 2)
    first, _ = env.reset(seed=0)
    assert first[:, 1].tolist() == [0, 0, 0]
    assert env.step(0)[0][:, 1].tolist() == [0, 0, 1]
    assert [env.step(0)[0][:, 1].tolist() for _ in range(2)] == [[0, 1, 2], [1, 2, 3]]
    again, _ = env.reset()
    assert again.tolist() == [[1, 0]] * 3


def test_a_stack_of_parts_is_refused() -> None:
    with pytest.raises(UserError, match=r"env\.frame_stack=2: .*Dict"):
        FrameStack(Room(), 2)
