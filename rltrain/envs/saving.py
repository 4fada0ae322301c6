"""Save and restore the environments of a vector, and remember whether that is exact."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rltrain.envs import snapshot
from rltrain.envs.snapshot import Digests, Env
from rltrain.envs.trial import SECONDS, try_out

logger = logging.getLogger("rltrain")


class Verdict(NamedTuple):
    """Why the state of environments cannot be saved exactly; None where it can be.

    `environment` is the `identity_of` those that were tried.
    """

    why_not: str | None
    environment: str


def verdict_of(envs: Sequence[Env], known: Verdict | None) -> tuple[Verdict, bool]:
    """Return the verdict on environments of one making, and whether they are as before.

    The first is played, unless the verdict is `known` of environments like these.
    """
    identity = identity_of(envs[0])
    if known is not None and known.environment == identity:
        return known, True
    trial = try_out(envs[0], envs[1:])
    if trial.seconds > SECONDS:
        logger.info(
            "saving the environments' state was tried for %.1f s: %d steps, %d resets, with"
            " random actions",
            trial.seconds,
            trial.steps,
            trial.resets,
        )
    return Verdict(trial.why_not, identity), trial.clean


class EnvStates:
    """Saves environments of one making, with what they had before they were stepped in mind."""

    def __init__(self) -> None:
        self._fresh: Sequence[Digests | None] | None = None
        self._shared: set[int] = set()
        self._last: tuple[Any, list[Any]] | None = None

    def note_fresh(self, envs: Sequence[Env]) -> None:
        """Note what cannot be saved, or need not be, of environments that were just reset."""
        self._fresh, self._shared = snapshot.read_fresh(envs)
        self._last = None

    def capture(self, envs: Sequence[Env], obs: Any) -> list[Any]:
        """Return the state of each environment; `obs` is what they show in this state.

        Raises:
            NotExactError: that is not all of it.
        """
        if self._last is not None and self._last[0] is obs:  # asked, and now saved
            captured, self._last = self._last[1], None
            return captured
        fresh = self._fresh or [None] * len(envs)
        captured = [
            snapshot.capture(env, digests, self._shared)
            for env, digests in zip(envs, fresh, strict=True)
        ]
        self._last = obs, captured
        return captured

    def restore(self, envs: Sequence[Env], saved: Sequence[Any]) -> None:
        """Put the state of each environment back."""
        self._last = None
        fresh = self._fresh or [None] * len(envs)
        for env, state, digests in zip(envs, saved, fresh, strict=True):
            snapshot.restore(env, state, digests)


def identity_of(env: Env) -> str:
    """Return a digest of what an environment's behaviour follows from: classes and versions."""
    classes = {cls for layer in snapshot.layers_of(env) for cls in type(layer).__mro__[:-1]}
    lines = [f"{c.__module__}.{c.__qualname__} {_version_of(c.__module__)}" for c in classes]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _version_of(module: str) -> str:
    """Return the version of a module's package; a digest of its source where there is none."""
    version = getattr(sys.modules.get(module.partition(".")[0]), "__version__", None)
    if version is not None:
        return str(version)
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""
