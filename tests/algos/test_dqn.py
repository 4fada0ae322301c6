from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.algos import dqn
from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.core.types import Progress
from rltrain.memory.n_step import NStepReplay
from rltrain.memory.prioritized import PrioritizedReplay
from rltrain.memory.replay import ReplayBuffer
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small


def build(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    run = build_run(compose(*small("dqn", *overrides)))
    envs = build_envs(run)
    algorithm = build_algorithm(run, envs)
    return algorithm, InlineSampler(envs, algorithm, np.random.default_rng(0))


def collect(algorithm: Any, sampler: InlineSampler, progress: Progress, steps: int) -> list[int]:
    """Updates done by each call until `steps` environment steps were taken."""
    done = []
    while progress.steps < steps:
        before = progress.updates
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
        done.append(progress.updates - before)
    return done


@pytest.mark.parametrize("num_envs", [1, 2, 4, 3])
def test_trainings_are_counted_in_environment_steps(compose: Any, num_envs: int) -> None:
    algorithm, sampler = build(
        compose, f"env.num_envs={num_envs}", "algo.train_freq=8", "algo.gradient_steps=3"
    )
    progress = Progress(10_000)
    collect(algorithm, sampler, progress, 240)
    due = progress.steps // 8 - 20 // 8  # none in the warm-up of 20 steps
    assert progress.updates == 3 * due


def test_warm_up_is_not_made_up_for(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.learning_starts=100", "algo.train_freq=8")
    done = collect(algorithm, sampler, Progress(10_000), 160)
    assert done == [0] * 12 + [1] * 8


def test_target_is_copied_every_interval_of_environment_steps(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.target_update_interval=48", "env.num_envs=4")
    progress = Progress(10_000)
    changes = []
    for _ in range(30):
        before = next(algorithm.target.parameters()).clone()
        sampler.collect(algorithm.horizon, progress, lambda: False)
        algorithm.update(progress)
        if not torch.equal(before, next(algorithm.target.parameters())):
            changes.append(progress.steps)
    # The copy at 24 is the first after the warm-up, of a network that had not learned yet.
    assert changes == [48, 96, 144, 192, 240]


@pytest.mark.parametrize("num_envs", [1, 4, 8])
@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_as_many_target_updates_as_are_due(compose: Any, kernels: str, num_envs: int) -> None:
    """τ = .01 every 2 steps and a network that stays: 1 − .99^k of the way after k updates,
    however many environments are stepped together."""
    algorithm, sampler = build(
        compose,
        f"env.num_envs={num_envs}",
        f"kernels={kernels}",
        "algo.tau=0.01",
        "algo.target_update_interval=2",
        "algo.train_freq=4",
        "algo.learning_rate=1e-30",
    )
    progress = Progress(10_000)
    collect(algorithm, sampler, progress, 32)
    online, target = algorithm.policy.network, algorithm.target
    with torch.no_grad():
        for p in online.parameters():
            p.fill_(1.0)
        for p in target.parameters():
            p.fill_(0.0)
    collect(algorithm, sampler, progress, 96)
    expected = 1 - 0.99 ** ((96 - 32) // 2)
    for p in target.parameters():
        torch.testing.assert_close(p, torch.full_like(p, expected), rtol=1e-4, atol=0)


def test_each_training_sees_the_target_updates_due_by_its_step(
    compose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 environments, a training every 4 steps of 2 gradient steps, a target update every 8."""
    algorithm, sampler = build(
        compose,
        "env.num_envs=16",
        "algo.train_freq=4",
        "algo.gradient_steps=2",
        "algo.target_update_interval=8",
    )
    events: list[str] = []
    step = algorithm.learner.step
    monkeypatch.setattr(algorithm.learner, "update_target", lambda n: events.append(f"target {n}"))
    monkeypatch.setattr(
        algorithm.learner, "step", lambda *columns: (events.append("step"), step(*columns))[1]
    )
    progress = Progress(10_000)
    collect(algorithm, sampler, progress, 32)
    events.clear()
    collect(algorithm, sampler, progress, 48)  # trainings due at 36, 40, 44 and 48
    twice = ["step", "step"]
    assert events == [*twice, "target 1", *twice, *twice, "target 1", *twice]


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_tau_mixes(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.tau=0.25", f"kernels={kernels}")
    with torch.no_grad():
        for slow, fast in zip(
            algorithm.target.parameters(), algorithm.policy.network.parameters(), strict=True
        ):
            slow.fill_(4.0)
            fast.fill_(8.0)
    algorithm.learner.update_target()
    assert all((p == 5.0).all() for p in algorithm.target.parameters())
    algorithm.learner.update_target(2)  # 5 + ¼ 3 = 5.75, and 5.75 + ¼ 2.25
    assert all((p == 6.3125).all() for p in algorithm.target.parameters())


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_loss_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.gamma=0.5", f"kernels={kernels}")
    online, target = algorithm.policy.network, algorithm.target
    with torch.no_grad():
        for module, bias in ((online, [1.0, 2.0]), (target, [3.0, 4.0])):
            module[-1].weight.zero_()
            module[-1].bias.copy_(torch.tensor(bias))
    algorithm.learner.begin()
    loss, value, errors = algorithm.learner.step(
        np.zeros((3, 4), np.float32),
        np.array([0, 1, 1]),
        np.array([1.0, 0.5, -1.0], np.float32),
        np.array([0.0, 1.0, 0.0], np.float32),
        np.zeros((3, 4), np.float32),
    )
    # targets 1 + .5·4 = 3, .5, −1 + .5·4 = 1; values 1, 2, 2; errors 2, 1.5, 1
    # Huber: 2 − .5, 1.5 − .5, 1 − .5
    assert float(loss) == pytest.approx((1.5 + 1.0 + 0.5) / 3)
    assert float(value) == pytest.approx(5 / 3)
    assert errors is None


def test_epsilon_falls_over_its_fraction(compose: Any) -> None:
    algorithm, sampler = build(compose, "exploration.fraction=0.5")
    progress = Progress(64)
    assert algorithm.policy.exploration.epsilon == 1.0
    collect(algorithm, sampler, progress, 16)
    assert algorithm.policy.exploration.epsilon == pytest.approx(0.5 * 1.0 + 0.5 * 0.05)
    collect(algorithm, sampler, progress, 40)
    assert algorithm.policy.exploration.epsilon == 0.05


def given(algorithm: Any, online: list[float], target: list[float]) -> None:
    """Makes the two networks' outputs these, whatever they see."""
    with torch.no_grad():
        for module, bias in ((algorithm.policy.network, online), (algorithm.target, target)):
            layer = getattr(module, "network", module)[-1]
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor(bias))


def learn(algorithm: Any, *more: np.ndarray, reward: float = 1.0, terminated: float = 0.0) -> Any:
    """A step on two transitions of action 0."""
    algorithm.learner.begin()
    return algorithm.learner.step(
        np.zeros((2, 4), np.float32),
        np.array([0, 0]),
        np.full(2, reward, np.float32),
        np.full(2, terminated, np.float32),
        np.zeros((2, 4), np.float32),
        *more,
    )


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_double_values_the_online_networks_action_by_the_target(compose: Any, kernels: str) -> None:
    found = {}
    for double in ("false", "true"):
        algorithm, _ = build(
            compose, f"algo.double={double}", "algo.gamma=0.5", f"kernels={kernels}"
        )
        given(algorithm, online=[1.0, 2.0], target=[4.0, 3.0])
        found[double] = float(learn(algorithm)[0])
    # 1 + .5 · 4 = 3 against 1: 1.5; the online network prefers action 1: 1 + .5 · 3 = 2.5: 1
    assert found == {"false": pytest.approx(1.5), "true": pytest.approx(1.0)}


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
def test_discounts_and_weights_by_hand(compose: Any, kernels: str) -> None:
    algorithm, _ = build(compose, "algo.gamma=0.5", f"kernels={kernels}")
    given(algorithm, online=[1.0, 2.0], target=[4.0, 3.0])
    discount, weight = np.array([0.25, 1.0], np.float32), np.array([1.0, 0.5], np.float32)
    loss, value, errors = learn(algorithm, discount, weight)
    # targets 1 + .25 · 4 = 2 and 1 + 4 = 5; errors 1 and 4, Huber ½ and 3.5, weighed 1 and ½
    assert float(loss) == pytest.approx((0.5 + 1.75) / 2)
    assert float(value) == pytest.approx(1.0)
    assert errors.tolist() == pytest.approx([1.0, 4.0])


def test_c51_loss_by_hand(compose: Any) -> None:
    overrides = ["algo.distribution=c51", "algo.n_atoms=3", "algo.v_min=0", "algo.v_max=2"]
    algorithm, _ = build(compose, *overrides, "algo.gamma=0.5")
    # Atoms 0, 1, 2. The target's action 1 is worth more: all of its mass is on 2.
    given(algorithm, online=[0.0] * 6, target=[0.0] * 3 + [-99.0, -99.0, 0.0])
    loss, value, errors = learn(algorithm, np.full(2, 0.25, np.float32), np.ones(2, np.float32))
    # 1 + .25 · 2 = 1.5: halves on 1 and 2, against thirds: log 3, less an entropy of log 2
    assert float(loss) == pytest.approx(np.log(3), rel=1e-5)
    assert float(value) == pytest.approx(1.0)
    assert errors.tolist() == pytest.approx([np.log(1.5)] * 2, rel=1e-4)


def test_c51_does_not_bootstrap_where_an_episode_terminated(compose: Any) -> None:
    overrides = ["algo.distribution=c51", "algo.n_atoms=3", "algo.v_min=0", "algo.v_max=2"]
    algorithm, _ = build(compose, *overrides)
    given(algorithm, online=[0.0, 2.0, 0.0] * 2, target=[-99.0, -99.0, 0.0] * 2)
    loss, _, _ = learn(algorithm, terminated=1.0)
    assert float(loss) == pytest.approx(-np.log(np.e**2 / (np.e**2 + 2)), rel=1e-5)  # all on atom 1


def test_quantile_loss_by_hand(compose: Any) -> None:
    overrides = ["algo.distribution=qr", "algo.n_quantiles=2", "algo.gamma=0.5"]
    algorithm, _ = build(compose, *overrides)
    # The target's action 1 has the higher mean; the targets are 1 + .5 (0, 4) = (1, 3).
    given(algorithm, online=[0.0, 2.0, 9.0, 9.0], target=[1.0, 1.0, 0.0, 4.0])
    loss, value, errors = learn(algorithm, np.full(2, 0.5, np.float32), np.ones(2, np.float32))
    # ¼ (½ + 2.5)/2 of the first, (¼ · ½ + ¾ · ½)/2 of the second
    assert float(loss) == pytest.approx(0.625)
    assert float(value) == pytest.approx(1.0)
    assert errors.tolist() == pytest.approx([1.0, 1.0])


def test_double_picks_by_the_means_of_the_online_distribution(compose: Any) -> None:
    found = {}
    for double in ("false", "true"):
        overrides = ["algo.distribution=qr", "algo.n_quantiles=2", "algo.gamma=1.0"]
        algorithm, _ = build(compose, *overrides, f"algo.double={double}")
        given(algorithm, online=[0.0, 0.0, 5.0, 5.0], target=[8.0, 8.0, 3.0, 3.0])
        found[double] = float(learn(algorithm, reward=0.0)[0])
    # errors 8 or 3 of both quantiles: (8 − ½) (¼ + ¾) or (3 − ½)
    assert found == {"false": pytest.approx(7.5), "true": pytest.approx(2.5)}


@pytest.mark.parametrize("kernels", ["torch", "numpy"])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_one_step_is_what_it_was_without_the_key(
    compose: Any, monkeypatch: pytest.MonkeyPatch, kernels: str, num_envs: int
) -> None:
    """The memory of several steps, of one, learns the same network to the last bit."""

    def learned() -> str:
        algorithm, sampler = build(compose, f"kernels={kernels}", f"env.num_envs={num_envs}")
        collect(algorithm, sampler, Progress(1000), 400)
        memories.append(type(algorithm.memory))
        return digest([algorithm.policy.network.state_dict(), sampler.rng.bit_generator.state])

    def of_one_step(settings: Any, parts: Any, network: Any) -> NStepReplay:
        spaces = (parts.observation_space, parts.action_space)
        return NStepReplay(settings.buffer_size, *spaces, parts.num_envs, 1, settings.gamma)

    memories: list[type] = []
    plain = learned()
    monkeypatch.setattr(dqn, "build_memory", of_one_step)
    assert learned() == plain
    assert memories == [ReplayBuffer, NStepReplay]


def test_priorities_are_the_errors_of_the_rows_that_were_drawn(compose: Any) -> None:
    algorithm, sampler = build(
        compose, "algo.prioritized=true", "algo.priority_alpha=1.0", "algo.train_freq=2"
    )
    collect(algorithm, sampler, Progress(1000), 22)
    memory, learner = algorithm.memory, algorithm.learner
    drawn: list[Any] = []
    monkey = learner.step
    learner.step = lambda *columns: drawn.append((columns, monkey(*columns))) or drawn[-1][1]
    before = memory.sample(8, copy.deepcopy(algorithm.rng))
    algorithm._step()
    ((columns, (_, _, errors)),) = drawn
    assert columns[6].tolist() == before.weight.tolist()
    last = dict(zip(before.rows.tolist(), errors.tolist(), strict=True))  # the last of equals
    for row, error in last.items():
        assert memory.priorities[row] == pytest.approx(error + 1e-6, rel=1e-5)


def test_beta_rises_by_absolute_progress(compose: Any) -> None:
    algorithm, sampler = build(compose, "algo.prioritized=true", "algo.priority_beta=0.4")
    progress = Progress(100)
    betas = []
    while progress.steps < 104:
        sampler.collect(algorithm.horizon, progress, lambda: False)
        metrics = algorithm.update(progress)
        if "train/priority_beta" in metrics:
            betas.append(metrics["train/priority_beta"])
            done = min(progress.steps / 100, 1.0)
            assert betas[-1] == pytest.approx(0.4 + 0.6 * done)
    assert betas[-1] == 1.0
    assert len(betas) == 11


def noisy(compose: Any, *overrides: str) -> tuple[Any, InlineSampler]:
    return build(compose, "exploration=noisy", *overrides)


def test_noisy_networks_explore_by_the_noise_of_who_acts(compose: Any) -> None:
    algorithm, _ = noisy(compose)
    policy, obs = algorithm.policy, np.random.default_rng(1).standard_normal((64, 4), np.float32)
    rng = np.random.default_rng(0)
    actions = [policy.act(obs, None, True, rng)[0].tolist() for _ in range(20)]
    assert len({tuple(a) for a in actions}) > 5  # one noise an act
    again = policy.act(obs, None, True, np.random.default_rng(0))[0]
    assert again.tolist() == actions[0]


def test_evaluation_acts_with_the_means(compose: Any) -> None:
    algorithm, sampler = noisy(compose)
    collect(algorithm, sampler, Progress(1000), 60)
    policy, obs = algorithm.policy, np.random.default_rng(1).standard_normal((64, 4), np.float32)
    rng = np.random.default_rng(0)
    policy.act(obs, None, True, np.random.default_rng(5))
    before = rng.bit_generator.state
    greedy = [policy.act(obs, None, False, rng)[0].tolist() for _ in range(3)]
    assert greedy[0] == greedy[1] == greedy[2]
    assert rng.bit_generator.state == before
    with torch.no_grad():
        best = policy.network(torch.from_numpy(obs)).argmax(-1)
    assert greedy[0] == best.tolist()


def test_updates_draw_noise_from_the_algorithms_own_generator(compose: Any) -> None:
    algorithm, sampler = noisy(compose)
    progress = Progress(1000)
    collect(algorithm, sampler, progress, 64)
    before = algorithm.rng.bit_generator.state
    sigma = algorithm.policy.noisy[0].weight_sigma.detach().clone()
    collect(algorithm, sampler, progress, 72)
    assert algorithm.rng.bit_generator.state != before
    assert not torch.equal(algorithm.policy.noisy[0].weight_sigma, sigma)
    assert all(layer.source is None for layer in algorithm.noisy)
    assert len(algorithm.noisy) == 2 * len(algorithm.policy.noisy) == 6


def test_atoms_out_of_order_are_a_mistake_that_is_named(compose: Any) -> None:
    with pytest.raises(UserError, match=r"algo.v_min=5 must be below algo.v_max=5"):
        build_run(compose(*small("dqn", "algo.v_min=5", "algo.v_max=5")))


def test_rainbow_is_all_of_it(compose: Any) -> None:
    run = build_run(compose("algo=rainbow", "env=CartPole-v1", "tuned=none"))
    s = run.algo
    assert (s.name, s.double, s.dueling, s.prioritized) == ("dqn", True, True, True)
    assert (s.n_steps, s.distribution, s.n_atoms) == (3, "c51", 51)
    assert run.exploration.name == "noisy"
    algorithm = build_algorithm(run, build_envs(run))
    assert type(algorithm.learner) is dqn.C51Learner
    assert type(algorithm.memory) is PrioritizedReplay
    assert type(algorithm.memory.replay) is NStepReplay
    assert len(algorithm.policy.noisy) == 2 + 4  # the body's layers, and two of each stream
