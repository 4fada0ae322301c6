"""Where Hydra finds configuration: a user's folders, rltrain's own, and every environment id."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hydra.core.config_search_path import ConfigSearchPath, SearchPathElement
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from rltrain.core.paths import user_config_dir
from rltrain.envs import ids
from rltrain.settings.defaults import family_of


class GymnasiumSource(ConfigSource):
    """Makes every environment id that Gymnasium can make a choice of the group `env`.

    It is asked after all folders, so that a YAML of the same name wins.
    """

    @staticmethod
    def scheme() -> str:
        return "gymnasium"

    @staticmethod
    def _id(config_path: str) -> str:
        group, _, name = config_path.partition("/")
        return name.removesuffix(".yaml") if group == "env" else ""

    def load_config(self, config_path: str) -> ConfigResult:
        env_id = self._id(config_path)
        values = {"defaults": [family_of(env_id) or "base", "_self_"], "id": env_id}
        return ConfigResult(
            provider=self.provider,
            path=f"{self.scheme()}://{config_path}",
            config=OmegaConf.create(values),
            header={"package": None},
        )

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        namespace = self._id(config_path)
        return config_path == "env" or (bool(namespace) and bool(ids.registered(namespace + "/")))

    def is_config(self, config_path: str) -> bool:
        name = self._id(config_path)
        return bool(name) and ids.can_make(name)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        prefix = "" if config_path == "env" else self._id(config_path) + "/"
        return [i.removeprefix(prefix) for i in ids.registered(prefix)]


class _UsersFirst(list[Any]):
    """A search path in which a user's folders stand before rltrain's, and ids come last."""

    def append(self, element: Any) -> None:
        if element.provider.startswith("hydra.searchpath"):
            self.insert(0, element)
        else:
            super().append(element)

    def insert(self, index: Any, element: Any) -> None:
        """A user's folder goes before rltrain's own, so that a file of the same name wins."""
        first = next(i for i, e in enumerate(self) if e.provider == "main")
        ours = next((i for i, e in enumerate(self) if e.path == "gymnasium://"), len(self))
        # A config.yaml of another project must not take the place of rltrain's root.
        root = Path(element.path.removeprefix("file://")) / "config.yaml"
        super().insert(ours if root.exists() else first, element)


class RltrainSearchPath(SearchPathPlugin):
    """Adds `./configs`, where there is one, and the environment ids."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        path = cast(Any, search_path)
        path.config_search_path = _UsersFirst(path.config_search_path)
        folder = user_config_dir()
        if folder is not None:
            path.config_search_path.insert(0, SearchPathElement("here", f"file://{folder}"))
        # Under this provider's name Hydra finds the place of `--config-dir`.
        search_path.append("schema", "gymnasium://")
