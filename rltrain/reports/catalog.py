"""`rltrain list` and `rltrain describe`: what there is, read from where it is used."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from rltrain.core.errors import OK, UserError, did_you_mean
from rltrain.core.paths import user_config_dir
from rltrain.settings import registry
from rltrain.settings.algos import EVERY_KIND as ENCODED
from rltrain.settings.defaults import choices, defaults, example_of, read, source
from rltrain.settings.registry import Entry
from rltrain.settings.run import PARTS
from rltrain.settings.schema import keys_of, show

LISTS = (
    "algos",
    "augments",
    "envs",
    "explorations",
    "intrinsics",
    "networks",
    "optimizers",
    "tuned",
)

# What others call the lists.
_LISTS = {
    **dict.fromkeys(("environment", "environments", "games", "gyms"), "envs"),
    **dict.fromkeys(("agents", "methods", "learners"), "algos"),
    **dict.fromkeys(("presets", "preset", "hyperparameters", "zoo"), "tuned"),
    **dict.fromkeys(("models", "policies", "nets"), "networks"),
}


def show_list(arguments: list[str]) -> int:
    """Prints one of the lists.

    Raises:
        UserError: there is no such list.
    """
    what = arguments[0] if arguments else ""
    if what not in LISTS:
        meant = _LISTS.get(what.lower(), what)
        wrong = f"Unknown list {what!r}.{did_you_mean(meant, LISTS)}" if what else ""
        raise UserError(wrong or f"Which list? rltrain list {'|'.join(LISTS)}")
    if what == "envs":
        from rltrain.envs import ids, zoo

        wanted = arguments[1].lower() if len(arguments) > 1 else ""
        own = [name for name in choices("env") if name != "none"]
        needed = dict.fromkeys(own) | {i: ids.lacking(i) for i in ids.registered()}
        needed |= {i: zoo.lacking(i) for i in zoo.ids()}
        for env_id, extra in needed.items():
            if wanted in env_id.lower():
                print(f'{env_id:<34} pip install "rltrain[{extra}]"' if extra else env_id)
    elif what == "tuned":
        for name in choices("tuned"):
            if name != "none":
                algo, _, env = name.partition("/")
                print(f"{name:<34} rltrain algo={algo} env={example_of(env)}")
    elif what == "algos":
        heads = ("algo", "what it is", "agents", "recurrent", "observations", "actions")
        print_table(algo_table(), *heads)
    else:
        group = what.removesuffix("s")
        rows = [(name, _doc(group, name)) for name in choices(group)]
        print_table(rows, group, "what it is")
    return OK


def algo_table() -> list[tuple[str, str, str, str, str, str]]:
    """Name, description, agents, recurrence, observations and actions of every algorithm.

    After those of the registry come YAML files with other values of one.
    """
    load_named_plugins()
    names = [*registry.entries("algo"), *choices("algo")]
    found = {name: _entry("algo", name) for name in names}
    return [
        (
            name,
            _doc("algo", name),
            agents_of(e),
            "yes" if e.recurrent else "no",
            observations_of(e),
            ", ".join(e.actions),
        )
        for name, e in found.items()
        if e is not None
    ]


def observations_of(algo: Entry) -> str:
    """The kinds of observation that an algorithm takes; `any` of those that encoders know."""
    return "any" if set(ENCODED) <= set(algo.observations) else ", ".join(algo.observations)


def agents_of(algo: Entry) -> str:
    """For how many agents an algorithm is."""
    return "several" if algo.multi_agent else "one"


def show_description(arguments: list[str]) -> int:
    """Prints every key of a choice or of a part of the configuration.

    Raises:
        UserError: nothing is called so.
    """
    if not arguments:
        names = ", ".join(sorted(describable()))
        raise UserError(f"Describe what? rltrain describe NAME, one of: {names}.")
    name = arguments[0]
    known = describable()
    if name not in known:
        from rltrain.envs import ids

        own = f" Its network: rltrain describe algo=ppo env={name}" if ids.can_make(name) else ""
        having = [n for n, (g, cls, _) in known.items() if name in _paths(g, cls)]
        if name in registry.GROUPS:
            own = f" One of its choices: {', '.join(c for c in choices(name) if c != 'none')}."
        elif having:
            own = f" It is a key that describe shows for {', '.join(sorted(having))}."
        near = own or did_you_mean(name, known) or " `rltrain describe` names all."
        raise UserError(f"There is nothing called {name!r} to describe.{near}")
    group, cls, doc = known[name]
    print(f"{name}: {doc}" if doc else name)
    print_table(key_rows(group, name, cls), "key", "type", "range", "default", "meaning")
    return OK


def _paths(group: str, cls: type) -> set[str]:
    """The keys of a settings class, with their group and without."""
    paths = {k.path for k in keys_of(cls)} - {"name"}
    return paths | {f"{group}.{path}" for path in paths}


def key_rows(group: str, name: str, cls: type) -> list[tuple[str, str, str, str, str]]:
    """Key, type, range, default and meaning of every key of a settings class."""
    values = defaults(group, name)
    prefix = "" if group == "run" else f"{group}."
    return [
        (
            prefix + k.path,
            k.type_name,
            k.range_name,
            show(values[k.path]) if k.path in values else "",
            k.doc,
        )
        for k in keys_of(cls)
        if k.path != "name" and not (group == "run" and k.path in (*registry.GROUPS, "choices"))
    ]


def describable() -> dict[str, tuple[str, type, str]]:
    load_named_plugins()
    known: dict[str, tuple[str, type, str]] = {}
    for group in registry.GROUPS:
        for choice in choices(group):
            e = _entry(group, choice)
            if e is not None and choice != "none":
                known[choice] = (group, e.settings, _doc(group, choice))
    return known | {name: (name, cls, "") for name, cls in PARTS.items()}


def _entry(group: str, choice: str) -> Entry | None:
    return registry.entries(group).get(defaults(group, choice).get("name", choice))


def _doc(group: str, choice: str) -> str:
    """The entry's documentation, or the comment at the head of a YAML with other values."""
    entry, path = _entry(group, choice), source(group, choice)
    if entry is None or entry.name == choice or path is None:
        return entry.doc if entry is not None else ""
    heads = (line for line in path.read_text().splitlines() if "@package" not in line)
    head = next(heads, "")
    what = head[1:].strip().rstrip(".") if head.startswith("#") else entry.doc
    return f"{what} ({entry.name} with other values)"


def load_named_plugins() -> None:
    """Loads the modules that YAML files of the working directory name under `plugins`."""
    folder = user_config_dir()
    for path in folder.rglob("*.yaml") if folder is not None else ():
        modules = read(path).get("plugins")
        if isinstance(modules, list):
            registry.load_plugins(tuple(map(str, modules)))


def print_table(rows: list[Any], *columns: str) -> None:
    """Prints rows under the heads of their columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    terminal = Console(highlight=False, markup=False)
    if not terminal.is_terminal:
        terminal.width = 200  # nothing is folded that somebody may search
    terminal.print(table)
