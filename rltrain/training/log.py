"""What a run reports of itself, row by row."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from rltrain.algos.base import Metrics
from rltrain.core.state import Stateful
from rltrain.core.types import Progress
from rltrain.envs.vector import Episode
from rltrain.training.tables import CSVTable, Row, TensorBoardTable

logger = logging.getLogger("rltrain")
WINDOW = 100  # episodes that rollout/ep_rew_mean is over, as in Stable-Baselines3


class MetricLog(Stateful):
    """Gathers metrics and episodes between rows, and writes rows to CSV and TensorBoard.

    Tensors are summed where they are and read once a row.
    """

    _state = ("sums", "counts", "latest", "episodes", "num_episodes")

    def __init__(
        self, csv: CSVTable | None = None, tensorboard: TensorBoardTable | None = None
    ) -> None:
        self.csv = csv
        self.tensorboard = tensorboard
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        self.latest: dict[str, float] = {}
        self.episodes: list[tuple[float, int]] = []  # (return, length), the newest WINDOW
        self.num_episodes = 0
        self._recent: deque[tuple[float, int]] = deque(maxlen=WINDOW)
        self._warned = False

    def add(self, metrics: Metrics, episodes: Iterable[Episode]) -> None:
        """Takes in an update's metrics and the episodes that finished."""
        for name, value in metrics.items():
            if isinstance(value, torch.Tensor | np.ndarray):
                value = value.detach() if isinstance(value, torch.Tensor) else value
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0) + 1
            else:
                self.latest[name] = value
        for episode in episodes:
            self._recent.append((episode.ret, episode.length))
            self.num_episodes += 1

    def row(self, progress: Progress, clock: Clock) -> dict[str, float]:
        """The row since the last one; time stands in the columns that begin with `time/`."""
        row: dict[str, float] = {}
        if self._recent:
            row["rollout/ep_rew_mean"] = sum(r for r, _ in self._recent) / len(self._recent)
            row["rollout/ep_len_mean"] = sum(n for _, n in self._recent) / len(self._recent)
        row["rollout/episodes"] = self.num_episodes
        row |= self.latest
        row |= {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        row["train/n_updates"] = progress.updates
        self.sums, self.counts = {}, {}
        return row | clock.columns(progress.steps)

    def write(self, step: int, row: Row, csv: CSVTable | None = None) -> None:
        """Writes a row, to `csv` in place of the progress table where one is given.

        A full disk costs rows and one warning, not the run.
        """
        finite = {k: v for k, v in row.items() if not math.isnan(v)}
        for table in (csv or self.csv, self.tensorboard):
            if table is None:
                continue
            try:
                table.write(step, finite)
            except OSError as error:
                if not self._warned:
                    logger.warning("logs cannot be written (%s); training goes on.", error)
                self._warned = True

    def close(self) -> None:
        try:
            if self.tensorboard is not None:
                self.tensorboard.close()
        except OSError as error:  # what is left in its buffer
            logger.warning("the last log rows cannot be written (%s).", error)

    def state_dict(self) -> dict[str, Any]:
        self.episodes = list(self._recent)
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._recent.clear()
        self._recent.extend((r, n) for r, n in self.episodes)


class Clock(Stateful):
    """Where time goes, by a clock that never steps back; it goes on over a resume."""

    _state = ("seconds",)

    def __init__(self) -> None:
        self.seconds = {"env": 0.0, "act": 0.0, "learn": 0.0, "eval": 0.0, "other": 0.0}
        self._last = time.perf_counter()

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    def lap(self, name: str, **parts: float) -> None:
        """Books the time since the last lap under `name`, less that of `parts`, under theirs."""
        now = time.perf_counter()
        self.seconds[name] += now - self._last - sum(parts.values())
        self._last = now
        for part, seconds in parts.items():
            self.seconds[part] += seconds

    def columns(self, steps: int) -> dict[str, float]:
        """Time columns of a row; `time/fps` is over the whole run, evaluation left out."""
        training = self.total - self.seconds["eval"]
        columns = {f"time/{name}_seconds": s for name, s in self.seconds.items()}
        columns["time/time_elapsed"] = self.total
        columns["time/fps"] = steps / training if training > 0 else 0.0
        return columns
