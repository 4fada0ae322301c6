"""The one loop: sample, update, and once in a while log, evaluate, checkpoint."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from rltrain.algos.base import Algorithm, Policy
from rltrain.core import seeding
from rltrain.core.errors import TrainingError
from rltrain.core.state import Stateful, digest
from rltrain.core.types import Progress
from rltrain.settings.run import RunSettings
from rltrain.training import checkpoint, initial
from rltrain.training.checkpoint import CheckpointFolder
from rltrain.training.console import SilentConsole
from rltrain.training.evaluation import Evaluator
from rltrain.training.log import Clock, MetricLog
from rltrain.training.sampler import Sampler
from rltrain.training.signals import Interrupted, StopSignals
from rltrain.training.tables import CSVTable

logger = logging.getLogger("rltrain")


@dataclass
class Scores(Stateful):
    """Evaluation scores so far; `final` is that of the last policy.

    `reached` is the mean reward that ended training by `eval.stop_at`.
    """

    _state = ("best", "final", "reached")

    best: float | None = None
    final: float | None = None
    reached: float | None = None

    def end_at(self, stop_at: float | None) -> bool:
        """Whether training is over by `eval.stop_at`, which a resumed run may have changed."""
        return self.reached is not None and stop_at is not None and self.reached >= stop_at


class Trainer:
    """Trains to the total, or until it is asked to stop; its state is a checkpoint's content."""

    def __init__(
        self,
        settings: RunSettings,
        config: dict[str, Any],
        algorithm: Algorithm,
        sampler: Sampler,
        evaluator: Evaluator | None,
        checkpoints: CheckpointFolder,
    ) -> None:
        self.settings = settings
        self.config = config
        self.algorithm = algorithm
        self.sampler = sampler
        self.evaluator = evaluator
        self.checkpoints = checkpoints
        self.log = MetricLog()
        self.spaces: dict[str, str] = {}  # of the environment, as `core.spaces` describes them
        self.evaluations: CSVTable | None = None
        self.console = SilentConsole()
        self.frozen: tuple[str, ...] = ()  # parameters that stay as they are
        self.progress = Progress(settings.total_timesteps)
        self.clock = Clock()
        self.scores = Scores()
        self._saved_at = -1

    def train(self) -> None:
        """Runs the loop.

        Raises:
            Interrupted: a signal asked for it; the run can be resumed from where it stopped.
            TrainingError: numbers went wrong; the last checkpoint is as it was.
        """
        progress = self.progress
        if not self._ended:  # a run that goes on has no final policy yet
            self.scores.final = self.scores.reached = None
        with StopSignals() as signals:
            while not self._ended:
                if self._collect(signals.requested):
                    metrics = self.algorithm.update(progress)
                    self.clock.lap("learn")
                    episodes = self.sampler.take_episodes()
                    self.log.add(metrics, [e for e in episodes if e.length])
                    self._look()
                    self.console.tick(progress, self.clock, self._ended)
                    self.clock.lap("other")
                if signals.received is not None and not self._ended:
                    with signals.shielded():
                        self._stop(signals.received)

    def _collect(self, stop: Callable[[], bool]) -> bool:
        complete = self.sampler.collect(self.algorithm.horizon, self.progress, stop)
        self.clock.lap("other", **self.sampler.take_seconds())
        return complete

    def _look(self) -> None:
        """Once in a while: a row, an evaluation, a checkpoint, in this order."""
        logged = self._log()
        self._evaluate()
        if self._ended and not logged:  # by this evaluation
            self._log()
        save = self._ended or self.progress.crossed(self.settings.checkpoint.every)
        self.progress.seen = self.progress.steps
        if save:
            self._try_to_save(self.save)
        if self._ended and self._saved_at != self.progress.steps:
            raise TrainingError("The last checkpoint could not be written: the run is not saved.")

    @property
    def _ended(self) -> bool:
        early = self.scores.end_at(self.settings.eval.stop_at)
        return early or self.progress.steps >= self.progress.total

    def _log(self) -> bool:
        every = self.settings.logger.every
        due = not every or self.progress.crossed(every) or self._ended
        if due:
            row = self.log.row(self.progress, self.clock)
            self.log.write(self.progress.steps, row)
            self.console.row(self.progress, row)
        return due

    def _evaluate(self) -> None:
        if self.evaluator is None:
            return
        if not self._ended and not self.progress.crossed(self.settings.eval.every):
            return
        self.clock.lap("other")
        with self.algorithm.evaluated() as policy:
            result = self.evaluator.run(policy, "final" if self._ended else "eval")
            self.clock.lap("eval")
            best = self.scores.best is None or result.mean > self.scores.best
            if best:
                self.scores.best = result.mean
                self._try_to_save(functools.partial(self._save_best, policy))
        row = {
            "eval/mean_reward": result.mean,
            "eval/std_reward": result.std,
            "eval/min_reward": min(result.returns),
            "eval/max_reward": max(result.returns),
            "eval/mean_ep_length": result.mean_length,
            "eval/episodes": len(result.episodes),
        } | {
            f"eval/{name}/mean_reward": float(np.mean(returns))
            for name, returns in result.agents.items()
        }
        self.log.write(self.progress.steps, row, self.evaluations)
        if self._ended:
            self.scores.final = result.mean
        self.console.evaluation(self.progress, result, best)
        stop_at = self.settings.eval.stop_at
        if not self._ended and stop_at is not None and result.mean >= stop_at:
            self._stop_early(self.evaluator, result.mean, stop_at)

    def _stop_early(self, evaluator: Evaluator, mean: float, stop_at: float) -> None:
        """Ends training: an evaluation reached `eval.stop_at`."""
        self.scores.reached = mean
        # The evaluation that was first to cross the line may have been lucky.
        with self.algorithm.evaluated() as policy:
            self.scores.final = evaluator.run(policy, "final").mean
        self.clock.lap("eval")
        logger.info(
            "eval.stop_at: mean reward %.1f reached %g at step %s; on other episodes it is %.1f",
            mean,
            stop_at,
            f"{self.progress.steps:,}",
            self.scores.final,
        )

    def _try_to_save(self, save: Callable[[], None]) -> None:
        try:
            save()
        except OSError as error:
            logger.warning(
                "the checkpoint of step %d could not be written (%s); earlier ones are kept and"
                " training goes on.",
                self.progress.steps,
                error.strerror,
            )

    def save(self) -> None:
        """Writes a checkpoint to go on from.

        Raises:
            OSError: it could not be written.
        """
        self.sampler.prepare_save(self.progress.steps)
        self.checkpoints.save(self.progress.steps, self.state_dict())
        self._saved_at = self.progress.steps

    def _save_best(self, policy: Policy) -> None:
        content = {
            "config": self.config,
            "spaces": self.spaces,
            "policy": policy.state_dict(),
        }
        checkpoint.write(self.checkpoints.best, content, self.progress.steps, "policy")

    def _stop(self, signum: int) -> None:
        steps = self.progress.steps
        if self._saved_at != steps:
            try:
                self.save()
            except OSError as error:
                raise Interrupted(
                    signum, f"Stopped at step {steps}, but it could not be saved: {error}"
                ) from error
        raise Interrupted(signum, f"Stopped at step {steps}; everything is saved.")

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to go the same way, and the clock."""
        return {
            "config": self.config,
            "spaces": self.spaces,
            "policy": self.algorithm.policy.state_dict(),
            "algorithm": {k: v for k, v in self.algorithm.state_dict().items() if k != "policy"},
            "frozen": list(self.frozen),
            "sampler": self.sampler.state_dict(),
            "progress": self.progress.state_dict(),
            "scores": self.scores.state_dict(),
            "log": self.log.state_dict(),
            "random": seeding.global_state(),
            "clock": self.clock.state_dict(),
            "machine": machine(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned; global random generators come last."""
        self.frozen = tuple(state.get("frozen", ()))
        initial.freeze(self.algorithm, self.frozen)
        self.algorithm.load_state_dict(state["algorithm"] | {"policy": state["policy"]})
        self.sampler.load_state_dict(state["sampler"])
        self.progress.load_state_dict(state["progress"])
        self.scores.load_state_dict(state["scores"])
        self.log.load_state_dict(state["log"])
        self.clock.load_state_dict(state["clock"])
        self._saved_at = self.progress.steps
        self._compare(state["machine"])
        seeding.set_global_state(state["random"])

    @staticmethod
    def _compare(saved: dict[str, Any]) -> None:
        other = {k: (v, machine().get(k)) for k, v in saved.items() if v != machine().get(k)}
        if other:
            changes = ", ".join(f"{name} {a} then, {b} now" for name, (a, b) in other.items())
            logger.warning("not the same machine (%s): equal to the last bit no more", changes)


def machine() -> dict[str, Any]:
    """What equality to the last bit depends on beside the state: versions and threads."""
    return {
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "gymnasium": gym.__version__,
        "threads": torch.get_num_threads(),
    }


def fingerprint(content: dict[str, Any]) -> str:
    """SHA-256 over a checkpoint's content, less the clock and what may differ by request."""
    return digest(
        {k: v for k, v in content.items() if k not in ("clock", "config", "machine", "spaces")}
    )
