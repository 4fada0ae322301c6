"""Imports go down only, and what must stay light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rltrain

PACKAGE = Path(rltrain.__file__).parent
LAYERS = [
    "core",
    "settings",
    "functional",
    "optimizers",
    "exploration",
    "networks",
    "fast",
    "memory",
    "augment",
    "envs",
    "algos",
    "intrinsic",
    "training",
    "reports",
    "sources",
    "overrides",
    "sweeps",
    "launcher",
    "explain",
    "config",
    "corrections",
    "completion",
    "usage",
    "cli",
]
FILES = sorted(p for p in PACKAGE.rglob("*.py") if p.name not in ("__init__.py", "__main__.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imported(path):
        if module.startswith("rltrain.") and layer(module) in LAYERS:
            assert LAYERS.index(layer(module)) <= LAYERS.index(own), module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_six_files_know_hydra(path: Path) -> None:
    here = ("sources", "sweeps", "launcher", "overrides", "explain", "config")
    if path.stem in here:
        return
    assert not [m for m in imported(path) if m.split(".")[0] in ("hydra", "omegaconf")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list", "algos"],
        ["list", "envs"],
        ["describe", "ppo"],
        ["env=CartPole-v1", "algo.gama=1"],
        ["env=CartPole-v1", "algo.gamma=2"],
        ["algo=q_learning", "env=CartPole-v1"],
        ["env=CartPole-v1", "-sc", "query=bash"],
        ["eval", "no_such_run"],
        ["record", "no_such_run", "dataset=cartpole/expert-v0"],
        ["resume=no_such_run"],
        ["plot", "no_such_run"],
        ["table", "no_such_run"],
    ],
    ids=" ".join,
)
def test_no_torch_before_training(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['rltrain', *sys.argv[1:]]\n"
        "from rltrain import cli\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    print('code', end.code)\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'tensorboard' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "code" in done.stdout
