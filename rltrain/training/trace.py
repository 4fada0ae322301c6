"""Spans of time, in the Chrome trace event format (Perfetto and chrome://tracing open it)."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from pathlib import Path
from typing import Any

LIMIT = 20_000  # spans that are kept, the newest; about 2 MB


class Trace:
    """The newest spans, by the clock of `time.perf_counter`."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._spans: deque[tuple[str, float, float, int | None]] = deque(maxlen=limit)
        self.dropped = False
        self._limit = limit

    def __len__(self) -> int:
        return len(self._spans)

    def span(self, name: str, began: float, ended: float, step: int | None = None) -> None:
        """Adds a span in seconds, with the environment step that the run was at."""
        self.dropped = self.dropped or len(self._spans) == self._limit
        self._spans.append((name, began, ended, step))

    def write(self, path: Path, title: str) -> None:
        """Writes JSON, times in microseconds.

        Raises:
            OSError: it could not be written.
        """
        where = {"pid": os.getpid(), "tid": threading.get_native_id()}
        events: list[dict[str, Any]] = [
            {"name": kind, "ph": "M", "ts": 0, **where, "args": {"name": name}}
            for kind, name in (("process_name", f"rltrain: {title}"), ("thread_name", "training"))
        ]
        for name, began, ended, step in sorted(self._spans, key=lambda s: (s[1], -s[2])):
            times = {"ts": round(began * 1e6, 3), "dur": round((ended - began) * 1e6, 3)}
            event = {"name": name, "cat": "phase", "ph": "X", **times, **where}
            events.append(event if step is None else {**event, "args": {"step": step}})
        path.write_text(json.dumps({"displayTimeUnit": "ms", "traceEvents": events}))
