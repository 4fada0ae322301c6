"""What Hydra is told of a sweep: its folder, the names of its jobs, and their scores.

A sweep is typed (`-m seed=0,1`) or defined in a file (`hydra.sweeper.params`); both are named
and continued in the same way.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rltrain.core.errors import JobError, UserError
from rltrain.overrides import open_kwargs
from rltrain.training import run as folders

logger = logging.getLogger("rltrain")

_PARAMS = "hydra.sweeper.params."
# Through the environment, so that the worker processes of a launcher know them too.
_SWEEP, _SWEPT = "RLTRAIN_SWEEP", "RLTRAIN_SWEPT"


class SweepFolder(Callback):
    """Remembers where Hydra puts a sweep's jobs, and which keys vary between them.

    `within` is the nearest folder that was there before.
    """

    path: Path | None = None
    within: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        cls = type(self)
        cls.path = Path(config.hydra.sweep.dir)
        cls.within = next((p for p in cls.path.absolute().parents if p.exists()), None)
        words = [*_open_params(config.hydra.sweeper), *typed_words(config.hydra)]
        os.environ[_SWEPT] = ",".join(_swept_keys(words))
        _check_direction(config.hydra.sweeper)


def strip_sign(override: str) -> str:
    """Return the override without the `+` or `++` that it begins with."""
    return override.lstrip("+")


def typed_words(hydra_values: Any) -> list[str]:
    """Return the overrides of a run or a job, in which interpolations stay as they are."""
    words = OmegaConf.to_container(hydra_values.overrides.task, resolve=False)
    assert isinstance(words, list)
    return [str(word) for word in words]


def name_sweep(arguments: list[str]) -> None:
    """Set the name of the folder of the sweep that these arguments of a command line define."""
    words = (a.removeprefix(_PARAMS) for a in arguments if "=" in a)
    os.environ[_SWEEP] = slug(sorted(strip_sign(w) for w in words if not w.startswith("hydra")))


def optimizes(sweeper: Any) -> bool:
    """Whether a sweeper chooses jobs by the scores of earlier ones; Hydra's own does not."""
    return not str(sweeper.get("_target_", "")).endswith(".BasicSweeper")


def check_scored(values: dict[str, Any], sweeper: Any) -> None:
    """Check that a job has a score, where the sweeper goes by it.

    Raises:
        UserError: evaluation is off.
    """
    if optimizes(sweeper) and not values["eval"]["every"]:
        raise UserError("eval.every=0: this sweeper goes by scores, which evaluations give.")


def score_of(folder: Path, sweeper: Any) -> float | None:
    """Return the final score of a job, or None where it failed or was not evaluated.

    Raises:
        JobError: it failed, and the sweeper goes by scores.
    """
    result = folders.read_result(folder)
    if result.get("state") == "finished" and not (folder / folders.ERROR).exists():
        score: float | None = result.get("score")
        return score
    if optimizes(sweeper):
        raise JobError(f"{folder.name}: {result.get('error', 'not finished')}")
    return None


def slug(words: list[str]) -> str:
    """A folder name for overrides: readable, the same for the same words, never too long."""
    text = ",".join(words)
    name = re.sub(r"[^\w.,=+-]+", "-", text).strip("-")
    if name == text and len(name) <= 100:
        return name or "default"
    return f"{name[:91]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _open_params(sweeper: DictConfig) -> list[str]:
    """Return a file's parameters as overrides, and let their free-form keys be new."""
    params = sweeper.get("params")
    if not isinstance(params, DictConfig):
        return []
    opened = {open_kwargs(f"{key!s}=")[:-1]: value for key, value in params.items_ex(resolve=False)}
    with read_write(sweeper), open_dict(sweeper):
        sweeper.params = opened
    return [f"{key!s}={value!s}" for key, value in opened.items()]


def _swept_keys(words: list[str]) -> Iterator[str]:
    """The keys of overrides that have several values, or that only their sweeper can read."""
    for word in words:
        key, equals, _ = word.partition("=")
        try:
            override = OverridesParser.create().parse_override(word)
        except HydraException:
            if equals:
                yield strip_sign(key)
            continue
        if override.is_sweep_override():
            yield strip_sign(override.get_key_element())


def _check_direction(sweeper: Any) -> None:
    """Warn of a sweeper that looks for the lowest score: a score is a return."""
    lowest = {
        "hydra.sweeper.direction": ("minimize", sweeper.get("direction")),
        "hydra.sweeper.optim.maximize": (False, (sweeper.get("optim") or {}).get("maximize")),
    }
    for key, (value, found) in lowest.items():
        if found is not None and getattr(found, "name", found) == value:
            better = "maximize" if value == "minimize" else "true"
            logger.warning(
                "the sweeper looks for the lowest return; %s=%s for the highest", key, better
            )


def _job_name() -> str:
    """What tells a job from the others of its sweep: its values of the keys that vary."""
    words = sorted(strip_sign(o) for o in typed_words(HydraConfig.get()))
    swept = os.environ.get(_SWEPT, "").split(",")
    return slug([w for w in words if w.partition("=")[0] in swept] or words)


OmegaConf.register_new_resolver("rltrain_sweep", lambda: os.environ[_SWEEP], replace=True)
OmegaConf.register_new_resolver("rltrain_job", _job_name, replace=True)
