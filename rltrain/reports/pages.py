"""`python -m rltrain.reports.pages`: the generated part of each algorithm's page.

A page in docs/algorithms is written by hand (when to choose it, equation, source, what was
measured), down to a mark; what follows is written by this file, from the code.
"""

from __future__ import annotations

from pathlib import Path

from rltrain.core.paths import config_dir
from rltrain.reports.catalog import key_rows
from rltrain.settings import registry
from rltrain.settings.defaults import FAMILIES, choices, example_of

MARK = "<!-- Below this line: python -m rltrain.reports.pages -->"
FOLDER = config_dir().parent / "docs" / "algorithms"

_DATA = {"beside": "may be drawn from beside its own steps", "only": "what it learns from"}


def generated(name: str) -> str:
    """What an algorithm takes, its keys with their defaults, and its presets."""
    entry = registry.entry("algo", name)
    lines = [
        "## What it takes",
        "",
        f"- observations: {', '.join(entry.observations)}",
        f"- actions: {', '.join(entry.actions)}",
        f"- exploration: {', '.join(entry.explorations)}",
        f"- recurrent networks: {'yes' if entry.recurrent else 'no'};"
        f" several agents: {'yes' if entry.multi_agent else 'no'}",
        *([f"- a dataset (`dataset=`): {_DATA[entry.data]}"] if entry.data != "none" else []),
        "",
        "## Keys",
        "",
        "| key | type | range | default | meaning |",
        "|---|---|---|---|---|",
    ]
    for row in key_rows("algo", name, entry.settings):
        lines.append("| " + " | ".join(_cell(cell) for cell in row) + " |")
    presets = [c.partition("/")[2] for c in choices("tuned") if c.startswith(f"{name}/")]
    lines += ["", "## Presets", ""]
    for env in presets:
        example = example_of(env)
        every = f", and every `{FAMILIES[env][0]}`" if env in FAMILIES else ""
        lines.append(f"- `rltrain algo={name} env={example}`{every}")
    lines += [] if presets else ["None yet."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or " "


def page(path: Path) -> str:
    """A page with its generated part anew."""
    written, mark, _ = path.read_text().partition(MARK)
    if not mark:
        raise ValueError(f"{path} has no line {MARK!r}.")
    return f"{written}{MARK}\n\n{generated(path.stem)}"


def main() -> None:
    for path in sorted(FOLDER.glob("*.md")):
        path.write_text(page(path))


if __name__ == "__main__":
    main()
