"""Behaviour cloning: losses by hand, known policies, and exact resume."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from rltrain.algos.bc import LOG_STD_MIN
from rltrain.core.errors import UserError
from rltrain.core.types import Progress
from rltrain.envs.sights import SIGHTS
from rltrain.envs.vector import VectorEnv
from rltrain.reports.score import load_policy
from rltrain.settings.run import build_run
from rltrain.training import checkpoint, session
from rltrain.training.build import build_algorithm, build_evaluator, spaces_of
from rltrain.training.run import read_config
from rltrain.training.signals import Interrupted
from rltrain.training.tables import read_csv
from tests import datasets
from tests.conftest import small
from tests.learning import over_seeds
from tests.training.test_resume import newest, resume_in_new_process, same, stop_after

PROBE = "rltrain.envs.probes:rltrain/ObservedAction-v0"
# What is done where the bit is 0 and where it is 1, for each kind of action.
DONE: dict[str, list[Any]] = {
    "Discrete": [1, 0],
    "MultiDiscrete": [[1, 2], [0, 1]],
    "MultiBinary": [[1, 0], [1, 1]],
    "Box": [[0.25], [-0.75]],
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def probe(kind: str) -> list[str]:
    """A dataset of what is done, and overrides of a run that clones it."""
    arguments = {"continuous": True} if kind == "Box" else {"actions": kind}
    env = gym.make(PROBE, **(arguments if kind != "Discrete" else {}))
    space: Any = env.action_space
    bits = np.array([0, 1] * 20)
    obs = np.array([[2 * b - 1] for b in bits], np.float32)
    actions = np.array([DONE[kind][b] for b in bits], space.dtype)
    datasets.write("done-v0", env, datasets.one_step_episodes(obs, actions, bits))
    given = [] if kind == "Discrete" else [f"env.kwargs.{k}={v}" for k, v in arguments.items()]
    return ["algo=bc", f"env={PROBE}", "dataset=done-v0", "tuned=none", "device=cpu", *given]


def cloned(compose: Any, overrides: list[str], updates: int) -> Any:
    run = build_run(compose(*overrides))
    algorithm: Any = build_algorithm(run, spaces_of(run))
    progress = Progress(updates * algorithm.horizon)
    for _ in range(updates):
        progress.steps += algorithm.horizon
        algorithm.update(progress)
        progress.seen = progress.steps
    return algorithm


@pytest.mark.parametrize("kind", list(DONE))
@pytest.mark.parametrize("loss", ["log_prob", "mse"])
@over_seeds
def test_it_does_what_was_done(compose: Any, kind: str, loss: str, seed: int) -> None:
    if loss == "mse" and kind != "Box":
        return
    more = [f"algo.loss={loss}", "algo.learning_rate=0.01", "algo.batch_size=16", f"seed={seed}"]
    algorithm = cloned(compose, [*probe(kind), *more], 200)
    obs = np.array([[-1], [1]], np.float32)
    action, _, _ = algorithm.policy.act(obs, None, False, np.random.default_rng(0))
    if kind == "Box":
        assert action == pytest.approx(np.array(DONE[kind]), abs=0.05)
        assert algorithm.validate()["validation/error"] < 0.05
    else:
        assert action.tolist() == DONE[kind]
        found = algorithm.validate()
        assert found["validation/accuracy"] == 1
        assert found["validation/loss"] < 0.05


SIGHT, EVERY = (f"rltrain.envs.sights:rltrain/{n}-v0" for n in ("Sight", "EverySight"))
# What is seen, and how many updates suffice.
SEEN = {name: (SIGHT, {"sees": name}, 120) for name in SIGHTS}
SEEN["every"] = (EVERY, {"actions": "MultiBinary", "length": 4}, 150)
SEEN["every, in a box"] = (EVERY, {"continuous": True, "length": 4}, 150)


@pytest.mark.parametrize("name", list(SEEN))
@over_seeds
def test_what_is_right_is_cloned_from_every_kind_of_observation(
    compose: Any, name: str, seed: int
) -> None:
    """Recorded from one that knows, and played on what was not recorded: the optimum is 1."""
    env_id, arguments, updates = SEEN[name]
    env = gym.make(env_id, **arguments)
    datasets.write("right-v0", env, datasets.right(env, 120))
    given = [f"env.kwargs.{k}={v}" for k, v in arguments.items()]
    more = ["algo.learning_rate=0.005", "network=mlp_relu", "network.picture_size=32"]
    overrides = ["algo=bc", f"env={env_id}", *given, "dataset=right-v0", "tuned=none", *more]
    overrides += [f"seed={seed}"]
    run = build_run(compose(*overrides, "eval.episodes=40"))
    algorithm = cloned(compose, overrides, updates)
    played = build_evaluator(run).run(algorithm.policy, "eval")
    found = played.mean / played.mean_length
    assert found == pytest.approx(1, abs=0.1 if "box" in name else 0)


def test_a_stochastic_policy_learns_the_shares(compose: Any) -> None:
    """Of a policy that does 1 three times out of four the best clone says so: 0.562 nats."""
    env = gym.make(PROBE)
    obs = np.ones((40, 1), np.float32)
    actions = np.array([1, 1, 1, 0] * 10)
    datasets.write("mixed-v0", env, datasets.one_step_episodes(obs, actions, np.ones(40)))
    more = ["algo.learning_rate=0.01", "algo.batch_size=40", "algo.validation_share=0"]
    overrides = ["algo=bc", f"env={PROBE}", "dataset=mixed-v0", "tuned=none", *more]
    algorithm = cloned(compose, overrides, 100)
    with torch.no_grad():
        (log_probs,) = algorithm.policy.networks.distribution(torch.ones(1, 1))
    assert log_probs.exp()[0].tolist() == pytest.approx([0.25, 0.75], abs=0.01)
    samples = algorithm._samples(np.arange(40))
    entropy = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert algorithm.learner.judge(*samples)["loss"] == pytest.approx(entropy, abs=1e-3)
    assert algorithm.learner.judge(*samples)["accuracy"] == 0.75


def test_losses_by_hand(compose: Any) -> None:
    overrides = probe("Box")
    algorithm = cloned(compose, overrides, 0)
    networks, x = algorithm.policy.networks, torch.tensor([[1.0], [-1.0]])
    with torch.no_grad():
        networks.actor[-1].weight.zero_()
        networks.actor[-1].bias.fill_(0.5)
        networks.log_std.fill_(math.log(2))
        action = torch.tensor([[1.5], [0.5]])
        # ½ ((a − ½) / 2)² + log 2 + ½ log 2π
        constant = math.log(2) + 0.5 * math.log(2 * math.pi)
        found = algorithm.learner.losses(x, action)
        assert found.tolist() == pytest.approx([0.125 + constant, constant])
        found = algorithm.learner.judge(x.numpy(), action.numpy())
        assert found == pytest.approx({"loss": 0.0625 + constant, "error": 0.5})
        algorithm.learner.settings = build_run(compose(*overrides, "algo.loss=mse")).algo
        assert algorithm.learner.losses(x, action).tolist() == [1.0, 0.0]


def test_sigma_of_what_is_deterministic_has_a_floor(compose: Any) -> None:
    algorithm = cloned(compose, probe("Box"), 1)
    log_std = algorithm.policy.networks.log_std
    log_std.data.fill_(LOG_STD_MIN)
    for _ in range(3):
        algorithm.learner.step(*algorithm._samples(np.arange(4)))
    assert log_std.item() >= LOG_STD_MIN


def test_observations_are_scaled_by_the_dataset_s_moments(compose: Any) -> None:
    algorithm = cloned(compose, [*probe("Discrete"), "algo.normalize_obs=true"], 3)
    moments = algorithm.policy.inputs.moments  # of 20 times −1 and 20 times 1
    assert (moments.mean.item(), moments.var.item(), moments.count) == (0, 1, 40)


def test_mse_is_of_a_box(compose: Any) -> None:
    with pytest.raises(UserError, match=r"algo.loss=mse is for actions of a Box"):
        cloned(compose, [*probe("Discrete"), "algo.loss=mse"], 0)


def test_it_needs_a_dataset(compose: Any) -> None:
    with pytest.raises(UserError, match=r"^dataset: name one .* `rltrain record` makes one"):
        build_run(compose("algo=bc", "env=CartPole-v1"))


def test_no_environment_is_stepped_but_by_evaluations(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams: list[tuple[str, ...]] = []
    original = VectorEnv.step

    def step(self: VectorEnv, actions: Any) -> Any:
        streams.append(self.supervisor._stream)
        return original(self, actions)

    monkeypatch.setattr(VectorEnv, "step", step)
    folder = session.start(compose(*small("bc"))).folder
    assert set(streams) == {("evaluation",)}
    row = read_csv(folder / "progress.csv")[-1]
    assert float(row["time/total_timesteps"]) == 192  # samples: 12 minibatches of 16
    assert float(row["train/n_updates"]) == 12
    assert float(row["validation/loss"]) > 0
    log = (folder / "run.log").read_text()
    assert "performance: sampler none (algo=bc learns from its dataset)" in log
    assert "dataset: 8 episodes" in log


def test_stopped_by_a_signal_and_resumed_in_a_new_process(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = small("bc", "algo.normalize_obs=true")
    whole = session.start(compose(*command, "run_name=whole")).folder
    stop_after(112, monkeypatch)
    with pytest.raises(Interrupted):
        session.start(compose(*command, "run_name=stopped"))
    folder = in_tmp / "outputs" / "stopped"
    assert newest(folder).step == 112
    resume_in_new_process(folder)
    same(in_tmp / whole, folder)


def test_resumed_with_observations_of_several_parts(compose: Any, in_tmp: Path) -> None:
    env = gym.make(EVERY)
    datasets.write("right-v0", env, datasets.right(env, 20))
    command = small("bc", f"env={EVERY}", "dataset=right-v0", "algo.normalize_obs=true")
    whole = session.start(compose(*command, "run_name=whole")).folder
    other = session.start(compose(*command, "run_name=other")).folder
    file = sorted((other / "checkpoints").glob("step_*"))[0]
    assert checkpoint.read(file).step < 192
    session.resume(other, file, {})
    same(whole, other)


def test_a_checkpoint_holds_no_row_and_refuses_other_data(
    compose: Any, in_tmp: Path, tmp_path: Path
) -> None:
    folder = session.start(compose(*small("bc"))).folder
    memory = newest(folder).content["algorithm"]["memory"]
    assert set(memory) == {"seen", "dataset"}
    assert set(memory["dataset"]) == {"id", "sha256"}
    path = tmp_path / "datasets/random/cartpole-v1"
    path.rename(tmp_path / "datasets/random/away-v1")
    env = gym.make("CartPole-v1")
    datasets.write("random/cartpole-v1", env, datasets.play(env, 8, seed=1))
    with pytest.raises(UserError, match=r"dataset=random/cartpole-v1 is not what it was"):
        session.resume(folder, None, {"total_timesteps": 400})


def test_what_was_learned_is_played_without_the_dataset(
    compose: Any, in_tmp: Path, tmp_path: Path
) -> None:
    folder = session.start(compose(*small("bc"))).folder
    (tmp_path / "datasets").rename(tmp_path / "away")
    _, policy = load_policy(build_run(read_config(folder)), folder)
    assert len(policy.act(np.zeros((2, 4), np.float32), None, False, None)[0]) == 2  # type: ignore[arg-type]
