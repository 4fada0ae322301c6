"""One job of a sweep in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from rltrain.core.processes import SHARE, die_with_parent
from rltrain.training import session
from rltrain.training.changes import Values
from rltrain.training.session import Ending
from rltrain.training.signals import Interrupted

CONSOLE = "console.log"
ORPHAN_SECONDS = 10  # to save in, once the sweep's own process is gone
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Job:
    """What a job is: its values, its folder, and variables of the environment set for it."""

    values: Values
    folder: Path
    environ: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.folder.name


class JobProcess:
    """The parent's side: a job that runs."""

    def __init__(self, context: BaseContext, job: Job, threads: int) -> None:
        self.job = job
        self.connection, theirs = context.Pipe(duplex=False)
        self.stopped = False
        self._ending: Ending | None = None
        # Not daemonic: a job may have processes of its own that step its environments.
        self.process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_run, args=(job, threads, os.getpid(), theirs), name=job.name, daemon=False
        )
        # Until the child has handlers of its own, signals wait.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def messages(self) -> list[str]:
        """What the job has had to say since the last call."""
        texts = []
        with suppress(EOFError, OSError):  # it ended
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Ending):
                    self._ending = message
                else:
                    texts.append(message)
        return texts

    def ended(self) -> bool:
        return self.process.exitcode is not None

    def ending(self, stopping: bool) -> Ending:
        """How the job ended, once it has; a death that it could not report is written down."""
        code = self.process.exitcode or 0
        self.connection.close()
        self.process.close()
        self.stopped = code in (-signal.SIGTERM, 128 + signal.SIGTERM) or (stopping and code != 0)
        if self._ending is not None or self.stopped:
            return self._ending or Ending(note="stopped")
        return session.failed(self.job.folder, _death(code))

    def stop(self) -> None:
        """Asks the job to save and stop; the third time, to give up."""
        if not self.ended():
            self.process.terminate()

    def kill(self) -> None:
        self.process.kill()


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed by signal 9 (SIGKILL), perhaps out of memory; fewer jobs at once need less"
    if code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name}); see {CONSOLE}"
    return f"ended with exit code {code}; see {CONSOLE}"


def _run(job: Job, threads: int, parent: int, connection: Connection) -> None:
    """The child's side."""
    _handle_signals(parent)
    os.environ.update(job.environ)
    os.environ[SHARE] = str(threads)
    # More threads than cores would wait for each other; `num_threads=auto` looks here.
    limit = os.environ.get("OMP_NUM_THREADS", "")
    os.environ["OMP_NUM_THREADS"] = str(min(threads, int(limit)) if limit.isdigit() else threads)
    logging.getLogger("rltrain").handlers[:] = [_ToParent(connection)]
    try:
        _redirect(job.folder)
        _send(connection, session.attempt(job.values, job.folder))
    except Interrupted as error:
        _send(connection, Ending(note=str(error)))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # the third signal
        sys.exit(128 + signal.SIGTERM)
    except OSError as error:  # of the redirection
        _send(connection, session.failed(job.folder, str(error)))


def _handle_signals(parent: int) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            signal.alarm(ORPHAN_SECONDS)  # nobody is left to give up on a step that hangs
        if signal.getsignal(number) is stop:  # else a run that trains is about to save
            sys.exit(128 + number)

    # Ctrl-C reaches every process of the terminal, and a `kill` the parent alone. So that
    # neither is counted twice, the parent tells its jobs, by SIGTERM, and they hear no other.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    die_with_parent(parent, signal.SIGTERM)  # which saves what was learned


def _redirect(folder: Path) -> None:
    """Sends what the job and its libraries print to a file: jobs at once would be mixed."""
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / CONSOLE, "a", buffering=1)  # noqa: SIM115  open as long as the process
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    sys.stdout = sys.stderr = file


class _ToParent(logging.Handler):
    """Warnings are shown by the parent; everything else is in `run.log`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        _send(self._connection, f"{record.levelname.lower()}: {record.getMessage()}"[:1000])


def _send(connection: Connection, message: str | Ending) -> None:
    with suppress(OSError):  # the parent is gone
        connection.send(message)
