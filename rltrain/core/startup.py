"""Where a process's time goes before it trains: a few marks, whoever asks for them."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Startup:
    """Books the time between marks; what was booked is taken once training begins."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last: float | None = None

    def begin(self) -> None:
        """Counts from when this process was made, or from now where that is not known."""
        self._last = time.perf_counter() - process_age()

    def mark(self, name: str) -> None:
        """Books the time since the last mark under `name`; where there was none, begins here."""
        now = time.perf_counter()
        if self._last is not None:
            self._seconds[name] = self._seconds.get(name, 0.0) + now - self._last
        self._last = now

    def take(self) -> dict[str, float]:
        """Seconds by name; the next job of this process begins with nothing."""
        seconds, self._seconds, self._last = self._seconds, {}, None
        return seconds


def process_age() -> float:
    """Seconds since this process was made; 0 where /proc does not say."""
    try:
        stat = Path("/proc/self/stat").read_text()
        ticks = int(stat.rpartition(")")[2].split()[19])  # field 22, of boot time
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return max(age, 0.0)


startup = Startup()
