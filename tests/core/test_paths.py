from pathlib import Path

import pytest

from rltrain.core import paths


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own: `site/rltrain`, without any configs yet."""
    folder = tmp_path / "site" / "rltrain"
    (folder / "core").mkdir(parents=True)
    monkeypatch.setattr(paths, "__file__", str(folder / "core" / "paths.py"))
    return folder


def make_configs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.yaml").touch()
    return folder


def test_the_real_configs_are_found() -> None:
    assert (paths.config_dir() / "algo" / "ppo.yaml").is_file()


def test_configs_beside_the_package_are_found(package: Path) -> None:
    beside = make_configs(package.parent / "configs")
    assert paths.config_dir() == beside


def test_configs_inside_the_package_come_first(package: Path) -> None:
    make_configs(package.parent / "configs")
    inside = make_configs(package / "configs")
    assert paths.config_dir() == inside


def test_a_folder_without_the_root_file_is_passed_over(package: Path) -> None:
    (package / "configs").mkdir()
    beside = make_configs(package.parent / "configs")
    assert paths.config_dir() == beside


def test_no_configs_at_all_is_an_error(package: Path) -> None:
    with pytest.raises(FileNotFoundError, match="installation is broken"):
        paths.config_dir()


def test_user_configs_are_those_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.user_config_dir() is None
    (tmp_path / "configs").mkdir()
    assert paths.user_config_dir() == tmp_path / "configs"


def test_a_file_called_configs_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").touch()
    assert paths.user_config_dir() is None


def test_rltrains_own_configs_are_not_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(paths.config_dir())
    assert paths.user_config_dir() is None
