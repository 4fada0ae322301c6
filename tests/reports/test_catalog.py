"""Lists and descriptions hold everything that there is, with the values that YAML gives."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rltrain.core.errors import OK, UserError
from rltrain.core.paths import config_dir
from rltrain.reports.catalog import (
    algo_table,
    key_rows,
    observations_of,
    show_description,
    show_list,
)
from rltrain.settings import registry
from rltrain.settings.defaults import example_of
from rltrain.settings.run import PARTS
from rltrain.settings.schema import keys_of, show

ENTRIES = [
    (group, e)
    for group in registry.GROUPS
    for e in registry.entries(group).values()
    if e.name != "none"
]
EVERY_ENTRY = pytest.mark.parametrize(("group", "e"), ENTRIES, ids=[e.name for _, e in ENTRIES])


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command and returns what it printed."""

    def run(command: Callable[[list[str]], int], *arguments: str) -> str:
        assert command(list(arguments)) == OK
        return capsys.readouterr().out

    return run


def words(text: str) -> set[str]:
    return set(re.findall(r"\S+", text))


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line[:1].strip()]


@pytest.mark.parametrize(
    ("what", "group"), [("algos", "algo"), ("networks", "network"), ("optimizers", "optimizer")]
)
def test_a_list_holds_every_entry_of_the_registry_with_its_doc(
    what: str, group: str, out: Callable[..., str]
) -> None:
    text = out(show_list, what)
    for e in registry.entries(group).values():
        assert e.name in first_words(text)
        assert words(e.doc) <= words(text)


def test_the_list_of_algorithms_shows_what_they_take(out: Callable[..., str]) -> None:
    lines = out(show_list, "algos").splitlines()
    for e in registry.entries("algo").values():
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{e.name} "))
        row = [lines[at], *itertools.takewhile(lambda line: line.startswith(" "), lines[at + 1 :])]
        seen = observations_of(e)
        assert seen == ("any" if "Dict" in e.observations else ", ".join(e.observations))
        assert f" {seen} " in row[0]
        agents = "several" if e.multi_agent else "one"
        recurrent = "yes" if e.recurrent else "no"
        rest = re.split(rf" {agents} +{recurrent} +{seen} ", row[0])
        assert len(rest) == 2
        last = " ".join([rest[1], *row[1:]])  # a long list takes several lines
        assert words(", ".join(e.actions)) <= words(last)
        kinds = seen, ", ".join(e.actions)
        assert (e.name, e.doc, agents, recurrent, *kinds) in algo_table()


def test_the_list_of_environments_can_be_searched(out: Callable[..., str]) -> None:
    everything = [line.split()[0] for line in out(show_list, "envs").splitlines()]
    assert {"CartPole-v1", "FrozenLake-v1"} <= set(everything)
    found = [line.split()[0] for line in out(show_list, "envs", "LAKE").splitlines()]
    assert found == [i for i in everything if "lake" in i.lower()]
    assert 2 <= len(found) < len(everything)


def test_the_list_of_environments_names_an_extra_that_is_missing(
    out: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    lines = out(show_list, "envs", "cheetah-v5").splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["HalfCheetah-v5", 'pip install "rltrain[mujoco]"']
    ]


def test_the_list_of_tuned_values_can_be_typed_in(out: Callable[..., str]) -> None:
    text = out(show_list, "tuned")
    folder = config_dir() / "tuned"
    pairs = [f.relative_to(folder).with_suffix("").parts for f in folder.rglob("*/**/*.yaml")]
    expected = {f"rltrain algo={a} env={example_of('/'.join(env))}" for a, *env in pairs}
    assert {line.partition(" ")[2].strip() for line in text.splitlines()} == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Which list? rltrain list algos|augments|envs"),
        (["algo"], "algos"),
        (["x"], "Unknown list 'x'. Choose from: algos, "),
    ],
)
def test_a_list_that_there_is_not_is_answered_with_those_that_there_are(
    arguments: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        show_list(arguments)


@EVERY_ENTRY
def test_a_description_holds_every_key_with_its_doc(
    group: str, e: registry.Entry, out: Callable[..., str]
) -> None:
    text = out(show_description, e.name)
    assert text.startswith(f"{e.name}: {e.doc}\n")
    for key in keys_of(e.settings):
        if key.path != "name":
            assert f"{group}.{key.path}" in first_words(text)
            assert words(key.doc) <= words(text)
    assert f"{group}.name" not in first_words(text)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_configuration_is_described_too(name: str, out: Callable[..., str]) -> None:
    text = out(show_description, name)
    prefix = "" if name == "run" else f"{name}."
    for key in keys_of(PARTS[name]):
        if key.path not in (*registry.GROUPS, "choices"):  # a record, not a key to set
            assert prefix + key.path in first_words(text)
            assert words(key.doc) <= words(text)


@pytest.mark.parametrize(("group", "e"), ENTRIES, ids=[e.name for _, e in ENTRIES])
def test_every_key_of_a_choice_has_a_default_and_a_doc(group: str, e: registry.Entry) -> None:
    rows = key_rows(group, e.name, e.settings)
    assert [row[0] for row in rows] == [
        f"{group}.{k.path}" for k in keys_of(e.settings) if k.path != "name"
    ]
    for path, kind, _, default, meaning in rows:
        assert kind, path
        assert default, path
        assert meaning, path


@pytest.mark.parametrize("name", ["eval", "checkpoint", "logger", "run"])
def test_defaults_of_the_parts_are_those_that_a_run_gets(
    name: str, compose: Callable[..., dict[str, Any]]
) -> None:
    values = compose("env=CartPole-v1", "tuned=none")
    if name != "run":
        values = values[name]
    shown = {row[0].removeprefix(f"{name}."): row[3] for row in key_rows(name, name, PARTS[name])}
    assert len(shown) >= 2
    assert shown == {key: show(values[key]) for key in shown}


def test_a_default_that_changes_in_yaml_changes_in_the_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    folder = tmp_path / "configs"
    shutil.copytree(config_dir(), folder)
    file = folder / "algo" / "q_learning.yaml"
    values = yaml.safe_load(file.read_text())
    values["algo"]["gamma"] = 0.4375
    file.write_text("# @package _global_\n" + yaml.safe_dump(values))
    monkeypatch.setattr("rltrain.settings.defaults.config_dir", lambda: folder)
    settings = registry.entry("algo", "q_learning").settings
    rows = {row[0]: row for row in key_rows("algo", "q_learning", settings)}
    assert rows["algo.gamma"] == ("algo.gamma", "number", "≥ 0, ≤ 1", "0.4375", "Discount factor.")
    assert "0.4375" in out(show_description, "q_learning")


def test_choices_of_the_working_directory_are_listed_with_what_they_are(
    in_tmp: Path, out: Callable[..., str]
) -> None:
    (in_tmp / "configs" / "network").mkdir(parents=True)
    (in_tmp / "configs" / "network" / "wide.yaml").write_text("name: mlp\nhidden_sizes: [512]\n")
    line = next(x for x in out(show_list, "networks").splitlines() if x.startswith("wide "))
    assert "Fully connected layers (mlp with other values)" in line


def test_values_of_another_algorithm_are_listed_and_described(out: Callable[..., str]) -> None:
    rows = {row[0]: row for row in algo_table()}
    what = "Rainbow: DQN with all of its extensions at once (Hessel et al. 2018)"
    dqn = registry.entry("algo", "dqn")
    spaces = ("any", ", ".join(dqn.actions))
    assert rows["rainbow"] == ("rainbow", f"{what} (dqn with other values)", "one", "yes", *spaces)
    assert rows["dqn"][1] == dqn.doc
    assert list(rows)[: len(registry.entries("algo"))] == list(registry.entries("algo"))
    text = out(show_description, "rainbow")
    line = next(x for x in text.splitlines() if x.startswith("algo.n_steps "))
    assert " 3 " in line


def test_a_description_of_nothing_names_what_can_be_described() -> None:
    with pytest.raises(UserError) as error:
        show_description([])
    for _, e in ENTRIES:
        assert e.name in str(error.value)
    for name in PARTS:
        assert name in str(error.value)


def test_a_description_of_what_there_is_not_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"nothing called 'ppoo'.* Did you mean ppo( or ippo)?\?"):
        show_description(["ppoo"])
