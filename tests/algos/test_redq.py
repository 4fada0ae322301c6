"""SAC with more critics: REDQ's, and RLPD's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.algos.sac import DiscreteSACLearner, SACLearner
from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.settings.run import build_run
from rltrain.training import session
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.performance import Performance
from tests import datasets
from tests.algos.test_sac import HALF_LOG_2PI, build, constant, two_rows
from tests.conftest import small
from tests.training.test_resume import newest, resume_in_new_process, same, stop_after

FOUR = ("algo.n_critics=4", "algo.n_target_critics=2", "algo.actor_value=mean")
BY_HAND = ("algo.gamma=0.5", "algo.learning_rate=1e-12", "algo.ent_coef=0.2")
# each of four critics, then of their targets
VALUES = [[1.0], [2.0], [4.0], [9.0], [3.0], [8.0], [5.0], [6.0]]


@pytest.mark.parametrize(
    ("among", "least"), [([0, 1], 3.0), ([1, 3], 6.0), ([3, 2], 5.0), (None, 3.0)]
)
@pytest.mark.parametrize("backup", [True, False])
def test_losses_by_hand(compose: Any, among: list[int] | None, least: float, backup: bool) -> None:
    backed = f"algo.backup_entropy={str(backup).lower()}"
    algorithm, _ = build(compose, *FOUR, *BY_HAND, backed)
    constant(algorithm, [0.5, 0.0], VALUES)
    # u = 0.5 − 0.5 = 0: tanh is 0 with slope 1, so log π is the Gaussian's: −0.125 − ½ log 2π
    noise = np.full((2, 2, 1), -0.5, np.float32)
    columns = two_rows(np.zeros((2, 1), np.float32), noise)
    critic_loss, actor_loss, *_ = map(float, algorithm.learner.step(*columns, among=among))
    entropy = 0.125 + HALF_LOG_2PI
    targets = (1 + 0.5 * (least + 0.2 * entropy * backup), 0.5)  # the second row is terminal
    by_hand = sum(0.5 * (q - y) ** 2 / 2 for q in (1.0, 2.0, 4.0, 9.0) for y in targets)
    assert critic_loss == pytest.approx(by_hand)
    assert actor_loss == pytest.approx(-0.2 * entropy - 4.0)  # (1 + 2 + 4 + 9) / 4


@pytest.mark.parametrize("backup", [True, False])
def test_discrete_losses_by_hand(compose: Any, backup: bool) -> None:
    backed = f"algo.backup_entropy={str(backup).lower()}"
    three = ("algo.n_critics=3", "algo.n_target_critics=2", "algo.actor_value=mean")
    algorithm, _ = build(compose, "env=CartPole-v1", *three, *BY_HAND, backed)
    critics, targets = [[1.0, 4.0], [5.0, 2.0], [0.0, 6.0]], [[3.0, 6.0], [0.0, 0.0], [7.0, 1.0]]
    constant(algorithm, [0.0, math.log(3)], critics + targets)  # π = (¼, ¾)
    columns = two_rows(np.array([0, 1]), np.zeros((2, 2, 0), np.float32), 4)
    critic_loss, actor_loss, *_ = map(float, algorithm.learner.step(*columns, among=[0, 2]))
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    wanted = (1 + 0.5 * (0.25 * 3 + 0.75 * 1 + 0.2 * entropy * backup), 0.5)
    loss = sum(0.5 * (q[row] - y) ** 2 / 2 for q in critics for row, y in enumerate(wanted))
    assert critic_loss == pytest.approx(loss)
    assert actor_loss == pytest.approx(-0.2 * entropy - (0.25 * 2 + 0.75 * 4))  # means


def test_the_mean_teaches_the_actor_by_every_critic(compose: Any) -> None:
    """Half of the slope of Q = a, and half of that of Q = 3 a: 2; the least's is one of them."""
    slopes = {}
    for how in ("min", "mean"):
        algorithm, _ = build(compose, f"algo.actor_value={how}", "kernels=torch")
        learner = algorithm.learner
        action = torch.zeros(1, 1, requires_grad=True)
        learner.sample = lambda x, noise, a=action: (a, torch.zeros(1))
        learner.critics = lambda x, a: torch.stack([a[:, 0], 3 * a[:, 0] + 1])
        (-learner.actor_loss(torch.tensor(0.0), torch.zeros(1, 3), torch.zeros(1, 1))[0]).backward()
        assert action.grad is not None
        slopes[how] = action.grad.item()
    assert slopes == {"min": 1.0, "mean": 2.0}


def copies(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def moved(before: list[torch.Tensor], module: torch.nn.Module) -> bool:
    pairs = zip(before, module.parameters(), strict=True)
    changed = [not torch.equal(a, b) for a, b in pairs]
    assert all(changed) or not any(changed)
    return all(changed)


@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_actor_and_temperature_move_after_all_critic_steps(compose: Any, env: str) -> None:
    algorithm, sampler = build(compose, f"env={env}", *FOUR, "algo.policy_delay=3")
    progress = Progress(1000)
    while progress.steps < 24:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    assert progress.updates == 3
    actor, temperature = copies(algorithm.policy.actor), algorithm.log_ent_coef.detach().clone()
    for steps, improves in ((2, False), (1, True), (1, False)):
        critics, targets = copies(algorithm.critics), copies(algorithm.targets)
        metrics = algorithm.train(steps, progress)
        progress.updates += steps
        assert moved(critics, algorithm.critics)
        assert moved(targets, algorithm.targets)
        assert moved(actor, algorithm.policy.actor) is improves
        assert (temperature != algorithm.log_ent_coef).item() is improves
        assert ("train/actor_loss" in metrics) is improves
        assert "train/critic_loss" in metrics
        actor = copies(algorithm.policy.actor)
        temperature = algorithm.log_ent_coef.detach().clone()


def test_target_critics_are_drawn_anew_for_each_update(
    compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, sampler = build(compose, *FOUR)
    drawn, original = [], algorithm.learner.step

    def step(*columns: Any, **options: Any) -> Any:
        drawn.append(tuple(sorted(options["among"].tolist())))
        return original(*columns, **options)

    monkeypatch.setattr(algorithm.learner, "step", step)
    progress = Progress(1000)
    while progress.steps < 160:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
    pairs = {(a, b) for a in range(4) for b in range(a + 1, 4)}
    assert len(drawn) == progress.updates > 40
    assert set(drawn) == pairs


KEYS = ("algo.n_critics=3", "algo.n_target_critics=1", "algo.policy_delay=5")


@pytest.mark.slow
@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_stopped_and_resumed_in_a_new_process(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    """In mid-delay: trainings of three steps, and an actor that moves with each fifth."""
    command = small("redq", f"env={env}", *KEYS)
    whole = session.start(compose(*command, "run_name=whole")).folder
    stop_after(110, monkeypatch)
    with pytest.raises(session.Interrupted):
        session.start(compose(*command, "run_name=stopped"))
    folder = in_tmp / "outputs" / "stopped"
    assert newest(folder).content["progress"]["updates"] % 5
    resume_in_new_process(folder)
    same(in_tmp / whole, folder)


@pytest.mark.parametrize(
    "override",
    [
        "algo.n_critics=3",
        "algo.n_target_critics=1",
        "algo.actor_value=mean",
        "algo.backup_entropy=false",
        "algo.policy_delay=2",
    ],
)
@pytest.mark.parametrize("env", ["Pendulum-v1", "CartPole-v1"])
def test_what_numpys_kernels_do_not_know_is_torchs(compose: Any, env: str, override: str) -> None:
    run = build_run(compose(*small("sac", f"env={env}", override)))
    performance = Performance()
    algorithm = build_algorithm(run, build_envs(run), performance)
    kind = DiscreteSACLearner if env == "CartPole-v1" else SACLearner
    assert type(algorithm.learner) is kind
    assert performance.choices["kernels"] == "torch"
    run = build_run(compose(*small("sac", override, "kernels=numpy")))
    with pytest.raises(UserError, match=rf"^kernels=numpy: {override} is torch's\. Set kernels="):
        build_algorithm(run, build_envs(run))


def test_more_target_critics_than_critics_are_a_mistake_that_is_named(compose: Any) -> None:
    message = r"^algo\.n_target_critics=3 must be at most algo\.n_critics=2\.$"
    with pytest.raises(UserError, match=message):
        build_run(compose(*small("sac", "algo.n_target_critics=3")))


def test_the_presets_are_the_papers(compose: Any) -> None:
    redq = build_run(compose("algo=redq", "env=Pendulum-v1", "tuned=none"))
    data = datasets.random_play("Pendulum-v1")
    rlpd = build_run(compose("algo=rlpd", "env=Pendulum-v1", "tuned=none", f"dataset={data}"))
    for s in (redq.algo, rlpd.algo):
        assert (s.name, s.n_critics, s.n_target_critics, s.actor_value) == ("sac", 10, 2, "mean")
        assert (s.train_freq, s.gradient_steps, s.policy_delay) == (1, 20, 20)
        assert s.backup_entropy
    assert (redq.network.layer_norm, rlpd.network.layer_norm) == (False, True)
    assert (redq.dataset, rlpd.dataset_share) == (None, 0.5)
    fewer = build_run(compose("algo=redq", "env=Pendulum-v1", "algo.gradient_steps=5"))
    assert fewer.algo.policy_delay == 5  # the actor moves once a training
    algorithm = build_algorithm(rlpd, build_envs(rlpd))
    assert len(algorithm.critics.members) == len(algorithm.targets.members) == 10
