"""A user's own YAML counts, or one line says which file, which key, and what to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rltrain.core.errors import UserError
from rltrain.settings import registry
from rltrain.settings.run import build_run

Compose = Callable[..., dict[str, Any]]
CARTPOLE = "env=CartPole-v1"
PRESET = "tuned/ppo/CartPole-v1"
TOP = "`# @package _global_`"


@pytest.fixture(autouse=True)
def _own_registry(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = {group: dict(known) for group, known in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)
    monkeypatch.setattr(registry, "_loaded", set(registry._loaded))


def own(name: str, text: str) -> None:
    path = Path("configs", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            PRESET,
            "algo: {gamma: 0.5}",
            rf"algo.gamma sets nothing, .* lands in tuned.algo.gamma. Add the line {TOP} at the",
        ),
        (
            PRESET,
            "# Mine.\n# @package _global_\nalgo: {gamma: 0.5}",
            rf"algo.gamma sets nothing, .* Move the line {TOP} to the top",
        ),
        (PRESET, "", "says nothing"),
        (PRESET, "# only a comment\n", "says nothing"),
        (PRESET, "- algo", "must have lines `key: value`, and is a list"),
        (
            PRESET,
            "# @package _global_\nalgo: {gama: 0.5}",
            r"algo.gama\. Did you mean algo.gamma\?",
        ),
        (PRESET, "# @package _global_\ngamma: 0.5", "Unknown key gamma. It belongs under `algo:`"),
        (PRESET, "# @package _global_\nsead: 1", r"Unknown key sead\. Did you mean seed "),
        (
            PRESET,
            "# @package algo\nalgo: {gamma: 0.5}",
            rf"lands in algo.algo.gamma. Add the line {TOP}",
        ),
        ("network/own", "", "says nothing"),
        (
            "network/own",
            "hidden_sizes: [3]",
            r"Missing key network.name. Add it, or the line `defaults: \[mlp, _self_\]`",
        ),
        (
            "network/own",
            "name: simba\nwidth: 3",
            r"Missing key network\.\w+. Add the line `defaults: \[simba, _self_\]`",
        ),
        (
            "network/own",
            "defaults: [mlp]\nhiden_sizes: [3]",
            r"Unknown key network.hiden_sizes. Did you mean network.hidden_sizes",
        ),
        (
            "network/own",
            "network: {hidden_sizes: [3]}\ndefaults: [mlp]",
            "Write hidden_sizes without `network:`",
        ),
        (
            "network/own",
            "# @package _global_\ndefaults: [mlp]\nhidden_sizes: [3]",
            "@package. Remove it",
        ),
        (
            "network/own",
            "defaults: mlp\nhidden_sizes: [3]",
            r"must be a list: defaults: \[mlp, _self_\]",
        ),
        ("network/own", "defaults: [mpl]", r"there is no network/mpl. Did you mean mlp"),
        (
            "network/own",
            "defaults: [own, mlp]",
            "own is this file again. Give the file another name",
        ),
        ("network/own", "defaults: [mlp]\n hidden_sizes: [3]", ", line 2: "),
        ("network/own", "name: mlpp", r"network.name=mlpp is not registered. Did you mean mlp\?"),
        (
            "optimizer/own",
            "name: adam",
            r"Missing key optimizer\.\w+. .*`defaults: \[adam, _self_\]`",
        ),
        (
            "env/own",
            "id: CartPole-v1",
            r"Missing key env.kwargs. Add the line `defaults: \[base, _self_\]`",
        ),
        ("env/own", "defaults: [base]", "Missing key env.id"),
        (
            "env/own",
            "defaults: [base]\nid: X-v0\nnum_env: 3",
            r"Unknown key env.num_env\. Did you mean env.num_envs",
        ),
        (
            "algo/own",
            "defaults: [ppo]\nalgo: {gamma: 0.5}",
            rf"lands in algo.algo.gamma. Add the line {TOP}",
        ),
        (
            "algo/own",
            "# @package _global_\nalgo: {name: own}",
            r"needs the line `plugins: \[MODULE\]`",
        ),
        ("experiment/own", "seed: 3", rf"lands in experiment.seed. Add the line {TOP} at the top"),
        (
            "experiment/own",
            "hydra: {mode: MULTIRUN}",
            rf"lands in experiment.hydra.mode. Add the line {TOP}",
        ),
    ],
)
def test_what_would_set_nothing_is_one_line(
    name: str, text: str, said: str, compose: Compose
) -> None:
    own(name, text)
    group = name.partition("/")[0]
    word = {"tuned": CARTPOLE, "experiment": "+experiment=own"}.get(group, f"{group}=own")
    with pytest.raises(UserError, match=rf"^configs/{name}\.yaml.*{said}") as error:
        compose(CARTPOLE, word)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        (PRESET, "# @package _global_\nalgo: {gamma: 0.5}", "algo.gamma", 0.5),
        (PRESET, "# @package _global_\nseed: 7", "seed", 7),
        (PRESET, "# @package algo\ngamma: 0.5", "algo.gamma", 0.5),
        ("network/own", "defaults: [mlp]\nhidden_sizes: [3]", "network.hidden_sizes", (3,)),
        ("network/own", "defaults: [lstm, _self_]\nstate_size: 3", "network.state_size", 3),
        (
            "network/own",
            "defaults: [mlp]\nencoders: {camera: impala}",
            "network.encoders",
            {"camera": "impala"},
        ),
        (
            "env/own",
            "defaults: [base]\nid: CartPole-v1\nkwargs: {any: 3}",
            "env.kwargs",
            {"any": 3},
        ),
        ("algo/own", "defaults: [ppo]\ngamma: 0.5", "algo.gamma", 0.5),
        ("algo/own", "# @package _global_\ndefaults: [ppo]\nalgo: {gamma: 0.5}", "algo.gamma", 0.5),
        ("experiment/own", "# @package _global_\nalgo: {gamma: 0.5}", "algo.gamma", 0.5),
    ],
)
def test_what_lands_where_it_is_read_counts(
    name: str, text: str, key: str, value: Any, compose: Compose
) -> None:
    own(name, text)
    group = name.partition("/")[0]
    word = {"tuned": CARTPOLE, "experiment": "+experiment=own"}.get(group, f"{group}=own")
    run = build_run(compose(*dict.fromkeys(["env=CartPole-v1", word]), "eval.every=0"))
    found: Any = run
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_a_preset_may_name_what_another_choice_of_a_part_has(compose: Compose) -> None:
    """It is made for one network, and the command line chooses another."""
    own(PRESET, "# @package _global_\nnetwork: {hidden_sizes: [3]}\nalgo: {gamma: 0.5}")
    run = build_run(compose(CARTPOLE, "network=transformer"))
    assert (run.network.name, run.algo.gamma) == ("transformer", 0.5)


def test_a_file_that_others_start_from_is_checked_too(compose: Compose) -> None:
    own("network/start", "defaults: [mlp]\nhiden_sizes: [3]")
    own("network/own", "defaults: [start]\nactivation: relu")
    with pytest.raises(UserError, match=r"^configs/network/start.yaml: Unknown key network.hiden"):
        compose(CARTPOLE, "network=own")


def test_files_that_are_not_chosen_are_left_alone(compose: Compose) -> None:
    own("network/own", "")
    own("tuned/dqn/CartPole-v1", "algo: {gamma: 0.5}")
    assert compose(CARTPOLE)["network"]["name"] == "mlp"


NETWORK = """
from dataclasses import dataclass
from rltrain.settings.registry import Entry, entry, register
from rltrain.settings.schema import key
@dataclass(frozen=True)
class OwnSettings(entry("network", "mlp").settings):
    extra: float = key("Of a test.", min=0)
register(Entry("network", "own_net", OwnSettings, "own_plugin_of_test:Own", "Of a test"))
"""


def test_any_groups_yaml_may_name_the_plugins_that_it_needs(
    compose: Compose, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "own_plugin_of_test.py").write_text(NETWORK)
    text = "defaults: [mlp, _self_]\nname: own_net\nextra: 3\nplugins: [own_plugin_of_test]\n"
    own("network/own", text)
    run = build_run(compose(CARTPOLE, "network=own", "plugins=[rltrain.settings.algos]"))
    assert run.network.extra == 3
    assert run.plugins == ("rltrain.settings.algos", "own_plugin_of_test")
    for line, said in {
        "name: own_net\n": r"Unknown key network.extra. It is a key of network=own_net, and this",
        "plugins: [own_plugin_of_test]\n": None,
    }.items():
        own("network/own", text.replace(line, ""))
        if said:
            with pytest.raises(UserError, match=rf"^configs/network/own.yaml: {said}"):
                compose(CARTPOLE, "network=own")
    own("network/own", text.replace("[own_plugin_of_test]", "own_plugin_of_test"))
    with pytest.raises(UserError, match=r"plugins must be a list of modules: plugins: \[own_pl"):
        compose(CARTPOLE, "network=own")
    own("network/own", text.replace("[own_plugin_of_test]", "[own_plugin_of_tset]"))
    with pytest.raises(UserError, match=r"^configs/network/own.yaml: .*Did you mean own_plugin_of"):
        compose(CARTPOLE, "network=own")


def test_a_missing_line_of_plugins_is_named_with_the_module_that_lies_here(
    compose: Compose, in_tmp: Path
) -> None:
    (in_tmp / "own_net.py").write_text("")
    own("network/own", "defaults: [mlp, _self_]\nname: own_net\n")
    with pytest.raises(UserError, match=r"own_net is not registered.*`plugins: \[own_net\]`"):
        compose(CARTPOLE, "network=own")
