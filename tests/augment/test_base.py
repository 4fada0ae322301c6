"""What is changed and when: pictures alone, while learning alone, and exactly repeatable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rltrain.augment.base import Augmentation
from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.envs.make import check_env
from rltrain.networks.inputs import Inputs
from rltrain.settings.run import build_run
from rltrain.training import checkpoint, session
from rltrain.training.build import build_algorithm, build_envs
from tests.conftest import slow, small
from tests.training.test_resume import same

SIGHT = "env=rltrain.envs.sights:rltrain/EverySight-v0"
TINY = ("network.hidden_sizes=[16]", "env.kwargs.length=7")


class Inverted(Augmentation):
    """Black is white; remembers what it was given."""

    vectors = True

    def __init__(self) -> None:
        super().__init__(None, np.random.default_rng(0))
        self.seen: list[tuple[tuple[int, ...], float]] = []

    def __call__(self, x: Tensor, white: float) -> Tensor:
        self.seen.append((tuple(x.shape), white))
        return white - x.float()


def body_of(compose: Any, *overrides: str) -> tuple[Any, Any, Inverted]:
    """A network with the augmentation before it, a row for it, and the augmentation."""
    run = build_run(compose(*overrides))
    envs = build_envs(run)
    algorithm: Any = build_algorithm(run, envs)
    body = algorithm.policy.network[0]
    augmentation = Inverted()
    inputs = Inputs(envs.observation_space, False, torch.device("cpu"))
    augmentation.attach(body, inputs.layout)
    x = inputs(envs.restart())
    envs.close()
    return body, x, augmentation


def test_only_pictures_among_other_parts_are_changed(compose: Any) -> None:
    body, x, augmentation = body_of(compose, *small("dqn", SIGHT, *TINY))
    before = body(x)
    assert augmentation.seen == []
    augmentation.active = True
    assert not torch.equal(body(x), before)
    (shape, white), *more = augmentation.seen
    assert not more
    assert len(shape) == 4
    assert white == 255.0
    augmentation.active = False
    assert torch.equal(body(x), before)


def test_a_vector_is_changed_before_its_body(compose: Any) -> None:
    body, x, augmentation = body_of(compose, *small("dqn"), "kernels=torch")
    augmentation.active = True
    assert torch.equal(body(x), body.forward(1 - x))
    assert augmentation.seen == [((2, 4), 1.0)]


def test_an_action_beside_the_observation_stays(compose: Any) -> None:
    run = build_run(compose(*small("sac"), "augment=scale", "kernels=auto"))
    algorithm: Any = build_algorithm(run, build_envs(run))
    critic = next(m for m in vars(algorithm).values() if hasattr(m, "members")).members[0][0]
    algorithm.augmentation.active = True
    seen: list[Tensor] = []
    critic.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.ones(5, 4)  # three numbers of Pendulum's, and an action
    critic(x)
    assert torch.equal(seen[0][:, 3], x[:, 3])
    assert not torch.equal(seen[0][:, :3], x[:, :3])


def test_it_is_on_while_a_learner_learns_alone() -> None:
    augmentation = Inverted()

    class Learner:
        def step(self) -> bool:
            return augmentation.active

        def update_target(self) -> bool:
            return augmentation.active

    learner = Learner()
    augmentation.watch(learner)
    assert learner.step()
    assert not learner.update_target()
    assert not augmentation.active


@pytest.mark.parametrize(
    ("algo", "augment"),
    [
        ("dqn", "shift"),
        slow("ppo", "crop"),
        slow("pqn", "cutout"),
        ("a2c", "noise"),
        slow("dqn", "scale"),
    ],
)
def test_resumed_exactly(compose: Any, in_tmp: Path, algo: str, augment: str) -> None:
    overrides = small(algo, SIGHT, *TINY, f"augment={augment}")
    whole = session.start(compose(*overrides, "run_name=whole")).folder
    plain = session.start(compose(*overrides, "augment=none", "run_name=plain")).folder
    other = session.start(compose(*overrides, "run_name=other")).folder
    newest = [sorted((f / "checkpoints").glob("step_*"))[-1] for f in (whole, plain)]
    policies = [digest(checkpoint.read(f).content["policy"]) for f in newest]
    assert policies[0] != policies[1]
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)


@pytest.mark.parametrize("augment", ["shift", "noise"])
@pytest.mark.parametrize("algo", ["trpo", "q_learning", "iql"])
def test_what_learns_another_way_refuses(compose: Any, algo: str, augment: str) -> None:
    with pytest.raises(UserError, match=rf"^augment={augment}: it is not for algo={algo}"):
        build_run(compose(*small(algo), f"augment={augment}"))


@pytest.mark.parametrize(
    ("augment", "overrides"),
    [
        ("shift", ["env=CartPole-v1"]),
        ("cutout", ["env=FrozenLake-v1"]),
        ("noise", ["env=FrozenLake-v1"]),
        ("crop", [SIGHT, "network.pictures=flat"]),
    ],
)
def test_what_has_nothing_to_change_is_told(
    compose: Any, augment: str, overrides: list[str]
) -> None:
    run = build_run(compose("algo=ppo", *overrides, f"augment={augment}"))
    with pytest.raises(UserError, match=rf"^augment={augment}: these observations have no picture"):
        check_env(run)


def test_kernels_in_numpy_are_refused(compose: Any) -> None:
    run = build_run(compose("algo=ppo", "env=CartPole-v1", "augment=noise", "kernels=numpy"))
    with pytest.raises(UserError, match=r"^kernels=numpy: augment=noise is torch's\. "):
        build_algorithm(run, build_envs(run))
