"""Every command of the README runs, every file in it works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import rltrain
from rltrain import cli

README = Path(rltrain.__file__).parents[1] / "README.md"
DATA = README.parent / "docs" / "data.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="the README is no part of the wheel")

TINY = [
    "total_timesteps=64",
    "eval.episodes=1",
    "eval.max_episode_steps=20",
    "env.max_episode_steps=20",
    "logger.console=off",
]


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(page: Path = README) -> list[str]:
    return [line for block in blocks("sh", page) for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's files and the run that its commands speak of."""
    folder = tmp_path_factory.mktemp("readme")
    for block in blocks("python") + blocks("yaml"):
        name = next(line for line in block.splitlines() if "@package" not in line)
        path = folder / name.removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    done = run(folder, "rltrain", "algo=ppo", "env=CartPole-v1", "run_name=my_run", *TINY)
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = ["-m", "tensorboard.main"] if words[0] == "tensorboard" else ["-m", "rltrain"]
    return subprocess.run(
        [sys.executable, *program, *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("rltrain")])
def test_command(folder: Path, command: str) -> None:
    words = shlex.split(command)
    if words[1] == "plot":
        pytest.importorskip("matplotlib")
    if words[1].startswith("resume="):
        longer = 2000 if "latest" in words[1] else 4000  # in the order of the README
        words = ["rltrain", "resume=outputs/my_run", f"total_timesteps={longer}"]
        words += ["logger.console=off", "eval.episodes=1"]
    elif words[1] in ("eval", "record"):
        words = [w for w in words if not w.startswith("episodes=")] + ["episodes=2"]
    elif "=" in words[1] or words[1] == "-m":
        words += TINY
    done = run(folder, *words)
    assert done.returncode == 0, done.stderr


def test_commands_of_learning_from_data(in_tmp: Path) -> None:
    """In the order of the page: each needs what those before it left.

    One process has them all: what a process of its own takes to begin is most of the time.
    """
    found = commands(DATA)
    assert len(found) == 8
    for command in found:
        words = shlex.split(command)
        more = ["algo.gradient_steps=1"] if "algo=rlpd" in words else []
        assert cli.run([*words[1:], *(more + TINY if words[1] != "record" else [])]) == 0, command


PAGES = sorted((README.parent / "docs").rglob("*.md"))


@pytest.mark.parametrize(
    ("page", "command"),
    [(page.name, command) for page in PAGES if page != DATA for command in commands(page)],
)
def test_command_of_another_page(folder: Path, page: str, command: str) -> None:
    """A page of the documentation has no command that is not run here, or in the test above."""
    words = shlex.split(command.replace("SEED", "0"))
    assert words[0] == "rltrain", page
    done = run(folder, *words, *(TINY if "=" in words[1] or words[1] == "-m" else []))
    assert done.returncode == 0, done.stderr


def test_tensorboard_reads_the_runs(folder: Path) -> None:
    (command,) = [c for c in commands() if c.startswith("tensorboard")]
    done = run(folder, *shlex.split(command), "--inspect")
    assert done.returncode == 0, done.stderr
    assert "rollout/" in done.stdout


def test_every_other_command_is_known() -> None:
    others = [c for c in commands() if not c.startswith(("rltrain", "tensorboard"))]
    assert sum("pip install -c constraints.txt" in c for c in others) == 2
    assert len(others) == 3
    assert "rltrain -sc install=bash" in others[-1]


def test_installing_completion(folder: Path) -> None:
    done = run(folder, "rltrain", "-sc", "install=bash")
    assert done.returncode == 0
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0


def test_the_table_of_algorithms_is_the_registry() -> None:
    from rltrain.reports.catalog import algo_table

    text = README.read_text()
    for name, _, *rest in algo_table():
        assert f"| `{name}` | {' | '.join(rest)} |" in text


def test_pictures_and_links_are_there() -> None:
    for page in (README, *(README.parent / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            name, _, part = target.partition("#")
            if target.startswith("http"):
                continue
            there = page.parent / name
            assert there.exists(), f"{page.name}: {target}"
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.M) if part else []
            assert not part or part in [h.lower().replace(" ", "-") for h in headings], target


def test_commands_mean_the_same_in_zsh() -> None:
    """Brackets and the like begin a pattern there, and one that matches no file is an error."""
    for page in (README, *(README.parent / "docs").rglob("*.md")):
        for command in commands(page):
            bare = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", command)
            assert not set(bare) & set("[]()*?^{}<>"), f"{page.name}: {command}"


def test_help_means_the_same_in_zsh() -> None:
    from rltrain import usage

    for text in (usage.HELP, *usage.COMMANDS.values()):
        typed = [line for line in text.splitlines() if line.startswith("  rltrain ")]
        assert typed
        for line in typed:
            words = line.strip().split("   ")[0].partition("[")[0]  # what may be left out
            assert not set(words) & set("()*?^{}<>"), line
