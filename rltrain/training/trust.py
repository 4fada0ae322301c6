"""Which runs may have code imported that their configuration names.

A run that this user started is known by a keyed digest in its folder, over all that names code
(`env.id`, `env.kwargs`, `plugins`) and over where the modules were found. SECURITY.md says what
that promises.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from rltrain.core import modules, secret
from rltrain.core.errors import UserError
from rltrain.core.modules import Origin
from rltrain.envs import zoo
from rltrain.settings.schema import convert

logger = logging.getLogger("rltrain")

SIGNATURE = "signature.json"
_INSTALLED = ("rltrain.plugins", "gymnasium.envs")  # groups of entry points


def wanted(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the modules that a configuration names besides registered ones, each with its key.

    Raises:
        UserError: `plugins` is not a list of names.
    """
    found: dict[str, str] = {}
    for module in convert(tuple[str, ...], values.get("plugins", ()), "plugins"):
        found.setdefault(module, f"plugins: {module}")
    env = values.get("env")
    env_id = str(env.get("id")) if isinstance(env, Mapping) else ""
    module, colon, _ = env_id.partition(":")
    if colon and not zoo.is_id(env_id):
        found.setdefault(module, f"env.id: {env_id}")
    registered = {p.module for group in _INSTALLED for p in metadata.entry_points(group=group)}
    return {module: key for module, key in found.items() if module not in registered}


def sign(folder: Path, values: Mapping[str, Any]) -> None:
    """Keep in a run's folder that this user started it, where its configuration names code.

    Raises:
        OSError: the folder cannot be written.
    """
    names = wanted(values)
    if not names:
        return
    found = {_top(name): modules.origin(_top(name)) for name in names}
    origins = {name: list(origin) for name, origin in sorted(found.items()) if origin is not None}
    try:
        signature = secret.sign(_text(values, origins))
    except secret.NoKeyError as error:
        logger.warning(
            "no key to sign the run with (%s): to open it again, say trust=true. A key is kept in"
            " $XDG_STATE_HOME/rltrain or ~/.local/state/rltrain.",
            error,
        )
        return
    temporary = folder / f".{SIGNATURE}.tmp"
    temporary.write_text(json.dumps({"modules": origins, "hmac": signature}, indent=2) + "\n")
    os.replace(temporary, folder / SIGNATURE)


def check(folder: Path, values: Mapping[str, Any], trusted: bool = False) -> None:
    """Refuse to open a run that names modules, unless this user started it or says to trust it.

    Nothing is imported.

    Raises:
        UserError: it would import what this user did not name.
    """
    names = wanted(values)
    if not names or trusted:
        return
    reason = _why_not(folder, values, names)
    if reason is None:
        return
    raise UserError(
        f"{folder} {reason}. Opening it imports, and so runs, {', '.join(names.values())}."
        " If you trust that code: trust=true"
    )


def check_within(inner: Mapping[str, Any], outer: Mapping[str, Any], where: object) -> None:
    """Refuse a configuration that names modules which one that is trusted does not.

    Raises:
        UserError: `inner`, which is in `where`, names others than `outer`.
    """
    known = wanted(outer)
    others = [key for module, key in wanted(inner).items() if module not in known]
    if others:
        raise UserError(
            f"{where} is of another run: it names {', '.join(others)}, which this one does not."
        )


def _why_not(folder: Path, values: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """Return why a run is not known to be this user's own, after its folder; None where it is."""
    try:
        kept = json.loads((folder / SIGNATURE).read_text())
        origins, signature = kept["modules"], kept["hmac"]
        then = {str(name): Origin(*origin) for name, origin in origins.items()}
        signed = secret.verify(_text(values, origins), str(signature))
    except FileNotFoundError:
        return "was not started here by this user"
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"has a {SIGNATURE} that cannot be read"
    if not signed:
        return "was not started here by this user, or names other code than it did then"
    for top in sorted(set(map(_top, names))):
        now = modules.origin(top)
        if now is not None and (top not in then or not now.same(then[top])):
            before = f", and was {then[top].file} then" if top in then else ""
            return f"would import another {top} than when it was started: {now.file}{before}"
    return None


def _text(values: Mapping[str, Any], origins: Any) -> bytes:
    """All that names code, as it is signed."""
    env = values.get("env")
    env = env if isinstance(env, Mapping) else {}
    named = [env.get("id"), env.get("kwargs") or {}, list(values.get("plugins") or ()), origins]
    return json.dumps(named, sort_keys=True, default=repr).encode()


def _top(module: str) -> str:
    return module.partition(".")[0]
