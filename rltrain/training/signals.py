"""Signals: a request to stop is noted, and obeyed at the next safe point."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from rltrain.core.errors import RltrainError


class Interrupted(RltrainError):  # it is no error of anybody's
    """The run was asked to stop, and did: the exit code is 128 plus the signal's number."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class _Startup:
    """Whether Ctrl-C came before training. As an exception alone it can be lost: Python drops
    one that is raised in a finalizer or a callback."""

    interrupted = False


def watch_startup() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, as it does, and be remembered.

    It stays ignored where it is, as in a job that a shell has put into the background.
    """
    _Startup.interrupted = False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt_startup)


def check_startup() -> None:
    """End a start-up that Ctrl-C was to end.

    Raises:
        KeyboardInterrupt: it came, and was lost.
    """
    if _Startup.interrupted:
        raise KeyboardInterrupt


def _interrupt_startup(number: int, frame: FrameType | None) -> None:
    _Startup.interrupted = True
    raise KeyboardInterrupt


class StopSignals:
    """While it is entered, SIGINT and SIGTERM set `received` instead of ending the process.

    A second one changes nothing: the checkpoint that the first asked for is completed. The
    third ends a run that does not come to a safe point, unless it is `shielded` by a save.
    Handlers that stood before are called too (a scheduler's, which re-queues the job, for
    one), Python's own KeyboardInterrupt excepted.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.count = 0  # of signals
        self._shield = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """In here no signal ends the process."""
        self._shield = True
        try:
            yield
        finally:
            self._shield = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 2 and not self._shield:
            raise KeyboardInterrupt
        if self.count == 2:
            print("Stopping at the next safe point; once more to give up.", file=sys.stderr)
        first = self.received is None
        self.received = self.received or number
        previous = self._previous.get(number)
        ours = (signal.default_int_handler, _interrupt_startup)
        if first and callable(previous) and previous not in ours:
            previous(number, frame)

    def requested(self) -> bool:
        return self.received is not None
