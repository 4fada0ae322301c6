"""`init_from`: what is taken of another run, what is not, and what stays as it is."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.errors import UserError
from rltrain.core.state import digest
from rltrain.settings.run import build_run
from rltrain.training import initial, session
from rltrain.training.build import build_algorithm, spaces_of
from tests.conftest import algo_entry, small, some
from tests.training.test_resume import ALGOS, newest, resume_in_new_process, same, stop_after
from tests.training.test_workers import same as same_but_for_workers

# Target networks, and those that they follow.
TARGETS = {
    "dqn": [("target", "policy.network")],
    "sac": [("targets", "critics")],
    "td3": [("targets", "critics"), ("target_actor", "policy.actor")],
    "ddpg": [("target", "critic"), ("target_actor", "policy.actor")],
}
NETWORKS = [a for a in ALGOS if algo_entry(a).networks]


def build(compose: Any, *overrides: str) -> Any:
    run = build_run(compose(*overrides))
    return build_algorithm(run, spaces_of(run))


def parameters(algorithm: Any) -> dict[str, torch.Tensor]:
    return {
        f"{prefix}{path}.{name}": value.clone()
        for prefix, learner in initial.learners(algorithm)
        for path, module in initial.networks(learner)
        for name, value in module.state_dict().items()
    }


def started(compose: Any, *overrides: str) -> Path:
    folder: Path = session.start(compose(*overrides)).folder
    return folder


def said(folder: Path) -> str:
    log = (folder / "run.log").read_text().splitlines()
    (line,) = [line for line in log if "init_from=" in line]
    return line


def content(source: Any) -> dict[str, torch.Tensor]:
    """The arrays of a checkpoint by the names that `init_from` gives them."""
    whole = source.content["algorithm"]
    agents = whole.get("learners", {"": whole})
    policies = source.content["policy"]
    found = {}
    for agent, state in agents.items():
        state = state | {"policy": policies[agent] if agent else policies}
        found |= flat(state, f"{agent}." if agent else "")
    return found


def flat(tree: dict[str, Any], prefix: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, torch.Tensor):
            found[f"{prefix}{name}"] = value
    return found


@pytest.mark.parametrize("algo", some(NETWORKS))
def test_everything_fits_a_run_of_the_same_shape(compose: Any, in_tmp: Path, algo: str) -> None:
    started(compose, *small(algo), "run_name=first")
    source = initial.load("outputs/first", "outputs")
    algorithm = build(compose, *small(algo, "seed=1"))
    before = parameters(algorithm)
    assert initial.begin_from(algorithm, source, False) == ()
    after = parameters(algorithm)
    assert before.keys() == after.keys()
    assert any(not before[n].equal(after[n]) for n in before)
    saved = content(source)
    for name, value in after.items():
        assert value.equal(saved[name]), name
    for _, learner in initial.learners(algorithm):
        for slow, fast in TARGETS.get(type(learner).__name__.lower(), []):
            online, target = attrgetter(fast)(learner), attrgetter(slow)(learner)
            assert digest(target.state_dict()) == digest(online.state_dict())


def test_what_acts_computes_with_what_was_taken(compose: Any, in_tmp: Path) -> None:
    """NumPy's kernels hold views of the parameters, which must not be replaced."""
    started(compose, *small("ppo", "kernels=numpy"), "run_name=first")
    source = initial.load("latest", "outputs")
    one, other = (build(compose, *small("ppo", f"seed={s}", "kernels=numpy")) for s in (1, 2))
    for algorithm in (one, other):
        initial.begin_from(algorithm, source, False)
    x = np.ones((2, 4), np.float32)
    assert one.policy.actor.value(x).tolist() == other.policy.actor.value(x).tolist()


def test_a_run_says_what_it_took(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("bc"), "run_name=clone")
    folder = started(compose, *small("ppo"), "run_name=on", "init_from=outputs/clone")
    line = said(folder)
    assert "init_from=outputs/clone/checkpoints/step_000000000192.ckpt, step 192: " in line
    assert "taken: policy.networks.actor (6 arrays); " in line
    assert "not taken: policy.networks.critic (6 arrays), not there; " in line
    assert line.endswith("kept as it is: nothing")


def test_other_shapes_are_named(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("ppo"), "run_name=first")
    source = initial.load("outputs/first", "outputs")
    algorithm = build(compose, *small("ppo", "network.hidden_sizes=[64,32]"))
    before = parameters(algorithm)
    taken, left = initial.take(algorithm, {"policy": source.content["policy"]})
    kinds, both = ("weight", "bias"), ("actor", "critic")
    assert set(taken) == {
        *(f"policy.networks.{n}.0.layers.0.{k}" for n in both for k in kinds),
        *(f"policy.networks.{n}.1.bias" for n in both),
    }
    assert "policy.networks.actor.0.layers.2.weight (32×64 here, 64×64 there)" in left
    assert "policy.networks.actor.1.weight (2×32 here, 2×64 there)" in left
    after = parameters(algorithm)
    assert {n for n in before if not before[n].equal(after[n])} <= set(taken)


def test_a_policy_of_another_environment(compose: Any, in_tmp: Path) -> None:
    """CartPole has 4 numbers and 2 actions, Acrobot 6 and 3: the middle layers fit."""
    started(compose, *small("ppo"), "run_name=first")
    folder = started(compose, *small("ppo", "env=Acrobot-v1", "init_from=latest"), "run_name=b")
    line = said(folder)
    assert "policy.networks.actor.0.layers.0.weight (64×6 here, 64×4 there)" in line
    assert "policy.networks.critic (5 arrays)" in line


def test_nothing_that_fits_is_an_error_and_leaves_no_folder(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("dqn"), "run_name=first")
    with pytest.raises(UserError, match=r"nothing of it fits\. Networks there: policy\.network"):
        started(compose, *small("ppo", "init_from=outputs/first"), "run_name=b")
    assert not (in_tmp / "outputs/b").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["init_from=outputs/none"], r"^init_from=outputs/none: .* is no run folder"),
        (["init_freeze=true"], "init_freeze keeps what init_from took"),
        (["init_from=latest", "init_freeze=[policy.networks.actr]"], "mean policy.networks.actor"),
        (["init_from=latest", "init_freeze=true", "kernels=numpy"], "needs kernels=torch"),
        (["init_from=latest", "init_freeze=true"], "all parameters would stay"),
        (["init_from=latest", "init_freeze=actor"], "^init_freeze=actor: expected true"),
    ],
)
def test_mistakes(compose: Any, in_tmp: Path, overrides: list[str], message: str) -> None:
    started(compose, *small("ppo"), "run_name=first")
    with pytest.raises(UserError, match=message):
        started(compose, *small("ppo", *overrides))


def test_a_table_has_no_networks(compose: Any) -> None:
    with pytest.raises(UserError, match=r"init_from=latest: algo=q_learning has no networks"):
        build_run(compose("algo=q_learning", "env=FrozenLake-v1", "init_from=latest"))


def test_the_normaliser_is_taken_where_both_have_one(compose: Any, in_tmp: Path) -> None:
    on, off = "algo.normalize_obs=true", "algo.normalize_obs=false"
    for name, key in (("with", on), ("without", off)):
        started(compose, *small("ppo", key), f"run_name={name}")
    having, lacking = (initial.load(f"outputs/{n}", "outputs") for n in ("with", "without"))
    algorithm = build(compose, *small("ppo", on))
    _, left = initial.take(algorithm, {"policy": having.content["policy"]})
    assert left == []
    inputs = algorithm.policy.inputs
    assert inputs.moments.count == 192
    assert digest(inputs.state_dict()) == digest(having.content["policy"]["inputs"])
    _, left = initial.take(build(compose, *small("ppo", on)), {"policy": lacking.content["policy"]})
    assert left == ["observation normaliser: there is none there"]
    _, left = initial.take(build(compose, *small("ppo", off)), {"policy": having.content["policy"]})
    assert left == ["observation normaliser: there is one there, and none here: algo.normalize_obs"]


FREEZE = {
    "ppo": ["policy.networks.actor"],
    "a2c": ["policy.networks.actor.0"],
    "reinforce": ["policy.networks.critic"],
    "trpo": ["policy.networks.actor"],
    "bc": ["policy.networks.actor.0"],
    "dqn": ["policy.network.0"],
    "rainbow": [],
    "iql": [],
    "ippo": [],
    "pqn": ["policy.network.0"],
    "sac": ["policy.actor"],
    "td3": ["critics"],
    "ddpg": ["policy.actor"],
}


@pytest.mark.parametrize("algo", some(NETWORKS))
def test_what_is_frozen_stays_bit_for_bit_and_the_rest_learns(
    compose: Any, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    """Through a stop, a resume in another process, and without the run that it began from."""
    first = started(compose, *small(algo), "run_name=first")
    prefixes = FREEZE[algo] or [next(iter(parameters(build(compose, *small(algo)))))]
    keys = ("init_from=outputs/first", f"init_freeze=[{','.join(prefixes)}]")
    command = small(algo, *keys, "seed=1")
    whole = started(compose, *command, "run_name=whole")
    stop_after(110, monkeypatch)
    with pytest.raises(session.Interrupted):
        session.start(compose(*command, "run_name=stopped"))
    before, after = content(newest(first)), content(newest(whole))
    frozen = newest(whole).content["frozen"]
    assert frozen
    assert all(any(f.startswith(p) for p in prefixes) for f in frozen)
    for name in frozen:
        assert before[name].equal(after[name]), name
    learned = parameters(build(compose, *small(algo))).keys() - set(frozen)
    assert any(not before[name].equal(after[name]) for name in learned)
    first.rename("away")
    resume_in_new_process(in_tmp / "outputs/stopped")
    same(in_tmp / whole, in_tmp / "outputs/stopped")
    assert "init_from=" not in (in_tmp / "outputs/stopped/run.log").read_text().split("resumed")[1]


def test_frozen_runs_take_torch_s_kernels_and_say_so(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("ppo"), "run_name=first")
    keys = ("init_from=latest", "init_freeze=[policy.networks.actor]", "run_name=b")
    log = (started(compose, *small("ppo", *keys)) / "run.log").read_text()
    assert "performance: kernels torch (auto: init_freeze keeps parameters as they are)" in log
    assert "kept as it is: policy.networks.actor (6 arrays)" in log


def test_worker_processes_give_the_same_numbers(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("ppo"), "run_name=first")
    keys = ("init_from=outputs/first", "init_freeze=[policy.networks.actor.0]")
    a = started(compose, *small("ppo", *keys), "run_name=a")
    more = ("sampler=processes", "num_workers=2")
    b = started(compose, *small("ppo", *keys, *more), "run_name=b")
    same_but_for_workers(a, b)


def test_an_algorithm_that_is_curious_too(compose: Any, in_tmp: Path) -> None:
    started(compose, *small("ppo"), "run_name=first")
    keys = ("init_from=outputs/first", "init_freeze=[policy.networks.actor]", "intrinsic=rnd")
    folder = started(compose, *small("ppo", *keys), "run_name=b")
    assert len(newest(folder).content["frozen"]) == 6
