from typing import Any

import numpy as np
import pytest
import torch

from rltrain.core.types import Progress
from rltrain.exploration.bonus import Entropy
from rltrain.settings.explorations import EntropySettings
from rltrain.settings.run import build_run
from rltrain.training.build import build_algorithm, build_envs
from rltrain.training.sampler import InlineSampler
from tests.conftest import small
from tests.learning import over_seeds


def test_the_weight_follows_progress() -> None:
    bonus = Entropy(EntropySettings("entropy", 0.1, 0.02, 0.5, "linear"))
    assert bonus.ent_coef == 0.1
    assert bonus.advance(0.25) == {"train/ent_coef": pytest.approx(0.06)}
    assert bonus.ent_coef == pytest.approx(0.06)
    assert bonus.advance(0.9) == {"train/ent_coef": pytest.approx(0.02)}


@pytest.mark.parametrize("kernels", ["numpy", "torch"])
@pytest.mark.parametrize("algo", ["ppo", "a2c", "reinforce"])
@over_seeds
def test_it_keeps_a_policy_from_choosing(compose: Any, algo: str, kernels: str, seed: int) -> None:
    def entropy(*more: str) -> float:
        overrides = ("env.num_envs=4", "algo.learning_rate=0.01", f"kernels={kernels}", *more)
        overrides += (f"seed={seed}",)
        run = build_run(compose(*small(algo, "env=CartPole-v1", *overrides)))
        envs = build_envs(run)
        algorithm = build_algorithm(run, envs)
        sampler = InlineSampler(envs, algorithm, np.random.default_rng(seed))
        progress = Progress(1500)
        while progress.steps < 1500:
            sampler.collect(algorithm.horizon, progress, lambda: False)
            metrics = algorithm.update(progress)
            assert ("train/ent_coef" in metrics) == bool(more)
        envs.close()
        tilted = np.array([[0, 0, 0.15, 0], [0, 0, -0.15, 0]], np.float32)
        networks = algorithm.policy.networks
        with torch.no_grad():
            distribution = networks.distribution(algorithm.policy.inputs(tilted))
            return float(networks.head.entropy(distribution).mean())

    kept = entropy("exploration=entropy", "exploration.ent_coef=4.0")
    assert kept > 0.65  # log 2 is .693
    assert kept > entropy() + 0.03
