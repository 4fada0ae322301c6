"""What methods that learn from replayed transitions have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from rltrain.algos.base import Algorithm, LearningRate, Metrics, Parts
from rltrain.core.seeding import generator
from rltrain.core.types import Progress
from rltrain.memory.mixed import MixedReplay, uniform_replay
from rltrain.memory.replay import ReplayBuffer
from rltrain.settings.off_policy import ActorReplaySettings, DQNSettings


class OffPolicy(Algorithm):
    """The base of what learns from minibatches of a replay.

    Trainings are counted in environment steps, whatever the number of environments; there
    is none before `learning_starts`, and none is made up for later.
    """

    _state: ClassVar[tuple[str, ...]] = ("policy", "memory", "rng", "trained_at")

    policy: Any  # with inputs, and schedules that it follows by `advance`
    memory: Any  # a replay
    learner: Any  # takes the steps of a training

    def __init__(self, settings: ActorReplaySettings | DQNSettings, parts: Parts) -> None:
        self.settings: Any = settings
        self.num_envs = parts.num_envs
        self.horizon = max(1, settings.train_freq // parts.num_envs)
        self.rate = LearningRate(settings, parts)
        self.rng = generator(parts.seed, "replay")
        self.trained_at = 0  # trainings that were due so far

    @abstractmethod
    def train(self, count: int, progress: Progress) -> dict[str, Any]:
        """Learns from `count` minibatches; returns metrics."""

    def update(self, progress: Progress) -> Metrics:
        s = self.settings
        self.policy.inputs.observe(self.memory.latest(self.horizon * self.num_envs))
        metrics: dict[str, Any] = self.policy.advance(progress)
        due = progress.steps // s.train_freq - self.trained_at
        self.trained_at += due
        if progress.steps <= s.learning_starts or self.memory.empty:
            return metrics
        rate = self.rate.set(progress, *self.optimizers)
        self.learner.begin()
        count = due * s.gradient_steps
        metrics |= self.train(count, progress)
        progress.updates += count
        return metrics | {"train/learning_rate": rate}


def replay_of(settings: ActorReplaySettings, parts: Parts) -> ReplayBuffer | MixedReplay:
    """Replay of single steps, with the run's dataset beside them where it has one."""
    spaces = (parts.observation_space, parts.action_space)
    return uniform_replay(settings.buffer_size, *spaces, parts.dataset, parts.dataset_share)
