"""What a profiler sees of a few iterations: Python's functions, torch's operations."""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
from pathlib import Path
from typing import Any

import torch

TOP = 15
_OWN = ("profile.py", "trace.py", "windows.py")


class Functions:
    """Own time of functions, by cProfile, which makes Python about twice as slow."""

    name = "functions"
    seconds = 1.0  # how long it looks, in whole iterations

    def __init__(self) -> None:
        self._profile = cProfile.Profile()

    def enable(self) -> None:
        self._profile.enable()

    def disable(self) -> None:
        self._profile.disable()

    def close(self, folder: Path) -> list[str]:
        """Lines of a table, the function that took longest first."""
        stats: dict[Any, Any] = pstats.Stats(self._profile).stats  # type: ignore[attr-defined] # it has
        rows = [
            (own, calls, _function(*where))
            for where, (_, calls, own, _, _) in stats.items()
            if not (Path(where[0]).name in _OWN and Path(where[0]).parent.name == "training")
        ]
        total = sum(own for own, _, _ in rows) or 1.0
        rows.sort(key=lambda row: -row[0])
        return [
            f"{'own seconds':>11}{'share':>7}{'calls':>10}{'µs/call':>10}  function",
            *(
                f"{own:>11.3f}{own / total:>7.1%}{calls:>10,}{own / calls * 1e6:>10.1f}  {name}"
                for own, calls, name in rows[:TOP]
            ),
        ]


class Operations:
    """torch's operations and a GPU's kernels, by torch's profiler.

    The trace is Chrome's: TensorBoard's plug-in for those of torch is no more (kineto #1284).
    """

    name = "torch"
    seconds = 0.25  # some ten thousand operations

    def __init__(self) -> None:
        self._profile: Any = None

    def enable(self) -> None:
        if self._profile is None:
            os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it writes into the display
            kinds = torch.profiler.ProfilerActivity
            activities = [kinds.CPU] + ([kinds.CUDA] if torch.cuda.is_available() else [])
            self._profile = torch.profiler.profile(activities=activities)
            self._profile.start()

    def disable(self) -> None:
        """It looks on: to start it again would forget what it saw."""

    def close(self, folder: Path) -> list[str]:
        """Writes `torch.json`; returns lines of a table, the longest operation first."""
        if self._profile is None:
            return []
        self._profile.stop()
        self._profile.export_chrome_trace(str(folder / "torch.json"))
        rows = [
            (e.self_cpu_time_total, e.self_device_time_total, e.count, e.key)
            for e in self._profile.key_averages()
        ]
        rows.sort(key=lambda row: -(row[0] + row[1]))
        return [
            f"{'CPU ms':>11}{'GPU ms':>9}{'calls':>10}  operation",
            *(
                f"{cpu / 1000:>11.2f}{gpu / 1000:>9.2f}{count:>10,}  {key[:70]}"
                for cpu, gpu, count, key in rows[:TOP]
            ),
        ]


Window = Functions | Operations


def _function(file: str, line: int, name: str) -> str:
    """`rltrain/fast/mlp.py:42 forward`: a path from where Python would import it."""
    if file == "~":  # written in C
        return name.strip("<>")
    roots = sorted((r for r in sys.path if r and file.startswith(f"{r}/")), key=len)
    return f"{file.removeprefix(f'{roots[-1]}/') if roots else file}:{line} {name}"
