import dataclasses
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rltrain.settings
from rltrain.core.errors import UserError
from rltrain.core.spaces import KINDS
from rltrain.settings import registry
from rltrain.settings.networks import NoNetworkSettings
from rltrain.settings.registry import Entry
from rltrain.settings.schema import keys_of

ENTRIES = [entry for group in registry.GROUPS for entry in registry.entries(group).values()]
ALL = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.group}={e.name}")

PLUGIN = """
from rltrain.settings.networks import NoNetworkSettings
from rltrain.settings.registry import Entry, register

register(Entry("network", "from_plugin", NoNetworkSettings, "plugin_of_test:Net", "A plug-in"))

class Net: ...
"""


@pytest.fixture
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the registry: what a test registers is forgotten after it."""
    copies = {group: dict(known) for group, known in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)
    monkeypatch.setattr(registry, "_loaded", set(registry._loaded))


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _own_registry: None) -> Path:
    """An importable folder; modules imported from it are forgotten."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def new(name: str = "mine", target: str = "a:B") -> Entry:
    return Entry("network", name, NoNetworkSettings, target, "Of a test")


@pytest.mark.usefixtures("_own_registry")
def test_a_registered_entry_is_found() -> None:
    registry.register(new())
    assert registry.entry("network", "mine") == new()
    assert registry.entries("network")["mine"] == new()
    assert "mine" not in registry.entries("algo")


@pytest.mark.usefixtures("_own_registry")
def test_registering_the_same_entry_twice_is_harmless() -> None:
    registry.register(new())
    registry.register(new())
    assert registry.entry("network", "mine") == new()


@pytest.mark.usefixtures("_own_registry")
def test_registering_another_entry_of_the_same_name_is_an_error() -> None:
    registry.register(new())
    with pytest.raises(UserError, match="register network=mine: the name is taken by a:B"):
        registry.register(new(target="c:D"))
    assert registry.entry("network", "mine").target == "a:B"


@pytest.mark.parametrize(
    ("group", "name", "near"),
    [
        ("algo", "pppo", "ppo"),
        ("algo", "Q-Learning", "q_learning"),
        ("network", "mpl", "mlp"),
        ("optimizer", "adma", "adam"),
    ],
)
def test_an_unknown_entry_names_the_nearest(group: str, name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"{group}={name} is not known. Did you mean {near}"):
        registry.entry(group, name)


def test_an_unknown_entry_that_is_near_nothing_lists_the_choices() -> None:
    with pytest.raises(UserError, match=r"network=xyz is not known. Choose from: .*mlp, none"):
        registry.entry("network", "xyz")


def test_no_name_at_all_is_a_user_error() -> None:
    with pytest.raises(UserError, match="algo=None is not known"):
        registry.entry("algo", None)


def test_a_plugin_module_registers_entries(modules: Path) -> None:
    (modules / "plugin_of_test.py").write_text(PLUGIN)
    registry.load_plugins(("plugin_of_test",))
    found = registry.entry("network", "from_plugin")
    assert found.load().__name__ == "Net"


@pytest.mark.parametrize("name", ["no_such_module_here", "rltrain.no_such_module", "yaml.nothing"])
def test_a_plugin_that_is_not_there_is_a_user_error(name: str) -> None:
    with pytest.raises(UserError, match=f"plugins: there is no module {name} here"):
        registry.load_plugins((name,))
    assert name not in registry._loaded


def test_a_module_that_a_plugin_lacks_is_reported_as_it_is(modules: Path) -> None:
    (modules / "broken_of_test.py").write_text("import a_library_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_missing"):
        registry.load_plugins(("broken_of_test",))


def test_a_plugin_of_the_standard_library_is_refused() -> None:
    with pytest.raises(UserError, match=r"plugins: os.nothing is of Python's standard library"):
        registry.load_plugins(("os.nothing",))


def test_a_plugin_that_is_nearly_there_is_named(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(modules)
    (modules / "expected_sarsa.py").write_text("")
    with pytest.raises(UserError, match=r"no module expected_sarso .* mean expected_sarsa\?"):
        registry.load_plugins(("expected_sarso",))


def test_an_error_of_a_plugins_own_is_not_said_to_be_a_missing_module(modules: Path) -> None:
    (modules / "raising_of_test.py").write_text("raise ValueError('its own')")
    with pytest.raises(ValueError, match="its own"):
        registry.load_plugins(("raising_of_test",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('Entry("network"', 'Entry("netwrok"', r"no group 'netwrok'\. Did you mean network\?"),
        ("plugin_of_test:Net", "plugin_of_test.Net", r"must be of the form module:Class"),
        ("NoNetworkSettings,", "int,", r"need the line `@dataclass\(frozen=True\)`"),
        ('"from_plugin"', '"mlp"', r" network=mlp: the name is taken by rltrain\."),
    ],
)
def test_a_typo_of_a_plugin_is_one_line_with_its_module(
    old: str, new: str, message: str, modules: Path
) -> None:
    (modules / "plugin_of_test.py").write_text(PLUGIN.replace(old, new))
    with pytest.raises(UserError, match=f"plugins: plugin_of_test: register.*{message}") as error:
        registry.load_plugins(("plugin_of_test",))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("plugin_of_test:Nett", r"plugin_of_test\.py has no class Nett\. Did you mean Net\?"),
        ("plugin_of_tset:Net", r"no module plugin_of_tset\. Did you mean plugin_of_test\?"),
    ],
)
def test_a_typo_in_a_target_names_the_nearest(
    target: str, message: str, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(modules)
    (modules / "plugin_of_test.py").write_text(PLUGIN.replace("plugin_of_test:Net", target))
    registry.load_plugins(("plugin_of_test",))
    with pytest.raises(UserError, match=f"network=from_plugin: target={target}: .*{message}"):
        registry.entry("network", "from_plugin").load()


def test_a_module_that_a_target_lacks_is_reported_as_it_is(modules: Path) -> None:
    (modules / "lacking_of_test.py").write_text("import a_library_that_is_missing")
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_missing"):
        new(target="lacking_of_test:Net").load()


def test_load_returns_what_the_target_names() -> None:
    assert new(target="collections:OrderedDict").load().__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("algo", {"ppo", "dqn", "q_learning"}),
        ("network", {"mlp", "none"}),
        ("optimizer", {"adam", "adamw", "rmsprop", "sgd", "none"}),
    ],
)
def test_the_built_in_entries_are_there(group: str, names: set[str]) -> None:
    assert names <= registry.entries(group).keys()


@ALL
def test_an_entry_is_filed_under_its_own_name(entry: Entry) -> None:
    assert registry.entry(entry.group, entry.name) is entry


@ALL
def test_a_target_can_be_loaded(entry: Entry) -> None:
    if entry.target:
        assert isinstance(entry.load(), type)
    else:
        assert entry.name == "none"


@ALL
def test_settings_have_no_defaults_and_every_key_is_documented(entry: Entry) -> None:
    fields = dataclasses.fields(entry.settings)
    assert fields[0].name == "name"
    for field in fields:
        assert field.default is dataclasses.MISSING, field.name
        assert field.default_factory is dataclasses.MISSING, field.name
    assert all(len(k.doc) > 5 and k.doc.endswith((".", ")")) for k in keys_of(entry.settings))


@ALL
def test_entries_are_documented(entry: Entry) -> None:
    assert len(entry.doc) > 5


@ALL
def test_spaces_are_declared_by_algorithms_and_known(entry: Entry) -> None:
    assert set(entry.observations) | set(entry.actions) <= KINDS.keys()
    assert bool(entry.observations) == bool(entry.actions) == (entry.group == "algo")


def test_no_settings_module_imports_torch() -> None:
    names = [f"rltrain.settings.{m.name}" for m in pkgutil.iter_modules(rltrain.settings.__path__)]
    assert {"rltrain.settings.schema", "rltrain.settings.fit"} <= set(names)
    code = (
        f"import sys, importlib\nfor name in {names}:\n    importlib.import_module(name)\n"
        "from rltrain.settings import registry\nregistry.entries('algo')\n"
        "print('torch' in sys.modules, 'rltrain.settings.run' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
