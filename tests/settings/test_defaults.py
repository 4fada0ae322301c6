"""Defaults are those that a run gets, and the working directory's come before rltrain's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.paths import config_dir
from rltrain.settings import registry
from rltrain.settings.defaults import choices, defaults, folders, source

ENTRIES = [
    (group, e)
    for group in registry.GROUPS
    for e in registry.entries(group).values()
    if e.name != "none"
]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`configs/network/mlp.yaml` and `wide.yaml` of a working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs" / "network"
    folder.mkdir(parents=True)
    (folder / "mlp.yaml").write_text("name: mlp\nhidden_sizes: [7]\n")
    (folder / "wide.yaml").write_text("defaults: [simba]\nwidth: 9\n")
    return tmp_path / "configs"


@pytest.mark.parametrize(("group", "e"), ENTRIES, ids=[e.name for _, e in ENTRIES])
def test_defaults_are_those_that_a_run_gets(
    group: str, e: registry.Entry, compose: Callable[..., dict[str, Any]]
) -> None:
    env = "FrozenLake-v1" if "Discrete" in e.observations[:1] else "CartPole-v1"
    values = compose(f"{group}={e.name}", f"env={env}", "tuned=none")[group]
    assert defaults(group, e.name) == values


def test_a_file_of_the_working_directory_wins_unless_rltrains_own_is_asked_first(
    own: Path,
) -> None:
    assert folders() == [own, config_dir()]
    assert source("network", "mlp") == own / "network" / "mlp.yaml"
    assert defaults("network", "mlp") == {"name": "mlp", "hidden_sizes": [7]}
    first = defaults("network", "mlp", [config_dir(), own])
    assert first["hidden_sizes"] == [64, 64]
    assert first["shared"] is False


def test_a_choice_has_the_values_of_what_it_starts_from(own: Path) -> None:
    assert defaults("network", "wide") == defaults("network", "simba") | {"width": 9}


def test_a_choice_that_there_is_not_has_no_values() -> None:
    assert defaults("network", "nonsense") == {}
    assert source("network", "nonsense") is None


def test_choices_are_those_of_both_folders_without_what_others_start_from(own: Path) -> None:
    assert {"wide", "mlp", "simba"} <= set(choices("network"))
    assert "base" not in choices("network")
    assert "atari" not in choices("env")
