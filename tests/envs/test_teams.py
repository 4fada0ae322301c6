"""The environments of two agents do what their documentation says."""

from __future__ import annotations

import gymnasium as gym
import numpy as np

from rltrain.envs.teams import OwnBits, SideBySide, two_carts


def test_a_cart_is_cartpole_and_goes_on_without_the_other() -> None:
    team = two_carts().parallel_env
    assert isinstance(team, SideBySide)
    obs, _ = team.reset(seed=3)
    assert not np.array_equal(obs["cart_0"], obs["cart_1"])
    alone = gym.make("CartPole-v1").unwrapped
    alone.reset(seed=0)
    alone.state = team.envs["cart_1"].unwrapped.state  # type: ignore[attr-defined] # CartPole
    steps = 0
    while "cart_1" in team.agents:
        present = list(team.agents)
        actions = {"cart_0": 1, "cart_1": steps % 2}
        obs, rewards, terminations, truncations, _ = team.step({n: actions[n] for n in present})
        expected, reward, terminated, _, _ = alone.step(steps % 2)
        assert obs["cart_1"].tolist() == expected.tolist()
        assert (rewards["cart_1"], terminations["cart_1"]) == (reward, terminated)
        assert set(obs) == set(rewards) == set(terminations) == set(truncations) == set(present)
        assert not any(truncations.values())
        steps += 1
    assert "cart_0" not in present  # pushed to one side, it fell long before
    assert steps > 15


def test_an_agent_is_paid_for_the_bit_that_it_alone_sees() -> None:
    for opposed in (False, True):
        probe = OwnBits(opposed=opposed)
        for seed in range(20):
            obs, _ = probe.reset(seed=seed)
            bits = {name: int(o[0] > 0) for name, o in obs.items()}
            assert [o[1] for o in obs.values()] == [1, 2]
            obs, rewards, terminations, _, _ = probe.step({"agent_0": 1, "agent_1": 1})
            assert rewards["agent_0"] == 2 * bits["agent_0"] - 1
            assert rewards["agent_1"] == (2 * bits["agent_1"] - 1) * (-1 if opposed else 1)
            assert terminations == {"agent_0": True, "agent_1": False}
            assert probe.agents == ["agent_1"]
            bit = int(obs["agent_1"][0] > 0)
            assert obs["agent_1"][1] == 1
            _, rewards, terminations, _, _ = probe.step({"agent_1": 0})
            assert rewards == {"agent_1": (1 - 2 * bit) * (-1 if opposed else 1)}
            assert terminations == {"agent_1": True}
            assert probe.agents == []


def test_bits_of_agents_and_episodes_differ() -> None:
    probe = OwnBits()
    probe.reset(seed=0)
    bits = []
    for _ in range(400):
        obs, _ = probe.reset()
        bits.append([int(o[0] > 0) for o in obs.values()])
    counts = np.bincount(np.array(bits) @ [2, 1], minlength=4)
    assert (counts > 70).all()
