"""Named points at which the tests make things fail.

`RLTRAIN_FAULT=point:action[:nth]` arms one: at the nth time the point is passed
(default the first) the process is killed (`kill`), is sent SIGTERM or SIGINT
(`sigterm`, `sigint`), or an `OSError` for a full disk is raised (`enospc`).
"""

from __future__ import annotations

import errno
import os
import signal

_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Marks a place where a fault can be injected; costs one look-up when none is armed."""
    armed = os.environ.get("RLTRAIN_FAULT")
    if not armed:
        return
    target, action, *nth = armed.split(":")
    if target != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] != int(nth[0] if nth else 1):
        return
    if action == "enospc":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
    signals = {"kill": signal.SIGKILL, "sigterm": signal.SIGTERM, "sigint": signal.SIGINT}
    os.kill(os.getpid(), signals[action])
