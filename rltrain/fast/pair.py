"""Two halves of a computation, side by side."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Work = Callable[[int], None]


class Pair:
    """Does `work(0)` and `work(1)`, which must not touch each other's arrays.

    With two threads they run at once: NumPy lets go of the interpreter in every product and
    every longer loop. Which thread does what changes no number.
    """

    def __init__(self, threads: int) -> None:
        self.parallel = threads > 1
        self._tasks: SimpleQueue[Work | None] = SimpleQueue()
        self._ends: SimpleQueue[BaseException | None] = SimpleQueue()
        self._started = False

    def __call__(self, work: Work) -> None:
        if not self.parallel:
            work(0)
            work(1)
            return
        if not self._started:
            self._start()
        self._tasks.put(work)
        try:
            work(0)
        finally:
            error = self._ends.get()
        if error is not None:
            raise error

    def _start(self) -> None:
        queues: Any = (self._tasks, self._ends)
        threading.Thread(target=_serve, args=queues, name="rltrain-pair", daemon=True).start()
        weakref.finalize(self, self._tasks.put, None)
        self._started = True


def _serve(tasks: SimpleQueue[Work | None], ends: SimpleQueue[BaseException | None]) -> None:
    while (work := tasks.get()) is not None:
        try:
            work(1)
        except BaseException as error:
            ends.put(error)
        else:
            ends.put(None)
        del work  # what it holds may end the pair
