"""Hydra's launcher for rltrain: the jobs of a sweep run several at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.conf import HydraConf
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rltrain.core import lean_torch
from rltrain.core.errors import JobError, UserError
from rltrain.sweeps import score_of

logger = logging.getLogger("rltrain")

# Hydra takes launchers of this package alone; on disk, every program of Hydra's would load it.
_MANY = 50  # jobs, whose composition takes some seconds
_NAME = "hydra_plugins.rltrain.ParallelLauncher"


def register() -> None:
    """Make `hydra/launcher=rltrain` a choice, and the default.

    An `override` in the root's defaults list would do as well, but outrank a file's that
    chooses another launcher.
    """
    Plugins.instance().class_name_to_class[_NAME] = ParallelLauncher
    store = ConfigStore.instance()
    node = {"_target_": _NAME, "jobs": "auto"}
    store.store("rltrain", node, group="hydra/launcher", provider="rltrain")
    root = HydraConf()
    root.defaults = [{"launcher": "rltrain"} if "launcher" in d else d for d in root.defaults]
    store.store("config", root, group="hydra", provider="hydra")


class ParallelLauncher(BasicLauncher):
    """Composes all jobs, then runs `jobs` of them at a time.

    One at a time is Hydra's own launcher: in this process, with a display for each job. With
    `shown` the jobs' configurations are printed instead.
    """

    shown = False

    def __init__(self, jobs: int | str) -> None:
        super().__init__()
        self._jobs = jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Checks the key.

        Raises:
            UserError: `jobs` is neither auto nor a whole number from 1 up.
        """
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        jobs = self._jobs
        if jobs != "auto" and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1):
            raise UserError(f"jobs={jobs} must be auto or a whole number from 1 up.")
        self._loader = _Loader(hydra_context.config_loader)
        cast(Any, hydra_context.config_loader).load_sweep_config = self._loader.check

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs the jobs.

        Raises:
            UserError: there is none.
            SystemExit: a signal asked the sweep to stop.
        """
        if not job_overrides:
            raise UserError("The sweep has no jobs: no choice matches its glob(…).")
        if len(job_overrides) > _MANY:
            logger.info("composing %d jobs", len(job_overrides))
        if type(self).shown:
            return [self._show(list(overrides)) for overrides in job_overrides]
        lean_torch.import_torch()
        from rltrain.training import jobs

        planned = [
            self._job(list(overrides), initial_job_idx + i)
            for i, overrides in enumerate(job_overrides)
        ]
        count = jobs.choose_count(self._jobs, [job.values for job in planned])
        if count == 1 or cast(Any, self.config).hydra.job.chdir:
            loader = cast(Any, self.hydra_context).config_loader
            loader.load_sweep_config = self._loader.compose
            try:
                return list(super().launch(job_overrides, initial_job_idx))
            finally:
                loader.load_sweep_config = self._loader.check
        jobs.run(planned, count)
        return [
            self._return(job.folder, list(overrides))
            for job, overrides in zip(planned, job_overrides, strict=True)
        ]

    def _show(self, overrides: list[str]) -> JobReturn:
        """Prints a job's configuration, as a document of a YAML file."""
        config: Any = self._loader.take(self.config, overrides)
        with read_write(config), open_dict(config):
            del config["hydra"]
        print(f"---  # {' '.join(overrides)}\n{OmegaConf.to_yaml(config)}", end="")
        return JobReturn(overrides, _return_value=None, status=JobStatus.COMPLETED)

    def _return(self, folder: Path, overrides: list[str]) -> JobReturn:
        """What the sweeper is told of a job that has ended."""
        try:
            score = score_of(folder, cast(Any, self.config).hydra.sweeper)
        except JobError as error:
            return JobReturn(overrides, _return_value=error, status=JobStatus.FAILED)
        return JobReturn(overrides, _return_value=score, status=JobStatus.COMPLETED)

    def _job(self, overrides: list[str], number: int) -> Any:
        """A job's values and folder, as Hydra's own launcher finds them."""
        from rltrain.training.job_process import Job

        config: Any = self._loader.take(self.config, overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        HydraConfig.instance().set_config(config)  # the folder's name asks for it
        folder = Path(config.hydra.sweep.dir, config.hydra.sweep.subdir).absolute()
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder)
        HydraConfig.instance().set_config(config)
        environ = dict(config.hydra.job.env_set)
        with read_write(config), open_dict(config):
            del config["hydra"]
        found: list[Job] = []
        task = cast(Callable[..., None], self.task_function)
        task(config, run=lambda values, path: found.append(Job(values, path, environ)))
        return found[0]


class _Loader:
    """Composes each job once: what the sweeper composed to check it is what is launched."""

    def __init__(self, loader: Any) -> None:
        self.compose = loader.load_sweep_config
        self._checked: dict[tuple[str, ...], Any] = {}

    def check(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        """Compose a job and keep it until it is taken."""
        composed = self.compose(master_config, sweep_overrides)
        self._checked[tuple(sweep_overrides)] = composed
        return composed

    def take(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        """Return a job's configuration, which belongs to the caller."""
        checked = self._checked.pop(tuple(sweep_overrides), None)
        return self.compose(master_config, sweep_overrides) if checked is None else checked
