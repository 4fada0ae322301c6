"""PettingZoo's ids: which there are, what is said of others, and that they run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltrain.core.errors import UserError
from rltrain.envs import zoo
from rltrain.envs.make import make_env
from rltrain.envs.team import Team
from rltrain.envs.team_vector import vector_env
from rltrain.training import session
from tests.conftest import SMALL
from tests.envs.test_make import settings
from tests.training.test_resume import newest, same

SPREAD = "pettingzoo:mpe/simple_spread_v3"


@pytest.fixture
def mpe() -> None:
    pytest.importorskip("pettingzoo")
    pytest.importorskip("mpe2")


@pytest.mark.usefixtures("mpe")
def test_ids_are_those_of_the_packages_that_are_there() -> None:
    assert zoo.modules()[SPREAD] == "mpe2.simple_spread_v3"
    assert zoo.modules()["pettingzoo:sisl/pursuit_v5"] == "pettingzoo.sisl.pursuit_v5"
    assert all(i.startswith("pettingzoo:") for i in zoo.modules())


@pytest.mark.usefixtures("mpe")
@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("pettingzoo:mpe/simple_spred_v3", "no such environment. Did you mean .*simple_spread_v3"),
        ("pettingzoo:mpe/simple_spread_v9", f"Did you mean {SPREAD}"),
        ("pettingzoo:simple_spread_v3", f"Did you mean {SPREAD}"),
        ("pettingzoo:classic/connect_four_v3", "agents take turns|package that is missing"),
    ],
)
def test_an_id_that_there_is_not_is_explained(env_id: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_env(settings(env_id))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "modules", dict)
    monkeypatch.setitem(sys.modules, "mpe2", None)
    with pytest.raises(UserError, match=r'pip install "rltrain\[pettingzoo\]"'):
        make_env(settings(SPREAD))


def test_a_module_that_lacks_what_it_imports_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lacking_v0.py").write_text("import not_there_at_all as parallel_env")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(zoo, "modules", lambda: {SPREAD: "lacking_v0"})
    with pytest.raises(UserError) as error:
        make_env(settings(SPREAD))
    assert str(error.value) == (
        f"env={SPREAD} needs the package not_there_at_all, which is not installed."
    )


# Modules as PettingZoo has them: what each imports, and whether agents act at the same time.
FAKE = {
    "sisl/walk_v9": ("Box2D", "parallel_env", "pettingzoo"),
    "butterfly/ball_v6": ("pymunk", "parallel_env", "pettingzoo"),
    "atari/pong_v3": ("multi_agent_ale_py", "parallel_env", "pettingzoo-atari"),
    "atari/tennis_v3": ("ale_py", "parallel_env", "pettingzoo-atari"),
    "classic/chess_v6": ("chess", "env", ""),
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A package pettingzoo that lacks what it imports."""
    for name in [n for n in sys.modules if n.partition(".")[0] in ("pettingzoo", "mpe2")]:
        monkeypatch.delitem(sys.modules, name)
    for env_id, (module, function, _) in FAKE.items():
        path = tmp_path / f"pettingzoo/{env_id}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        late = env_id == "atari/tennis_v3"  # it is the ROMs that are missing
        path.write_text(f"{function} = print\n" if late else f"import {module} as {function}\n")
        monkeypatch.setitem(sys.modules, module, None)
    for folder in (tmp_path / "pettingzoo", *(tmp_path / "pettingzoo").iterdir()):
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(zoo, "modules", zoo.modules.__wrapped__)
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "pettingzoo"]:
        del sys.modules[name]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("env_id", [i for i in FAKE if FAKE[i][2]])
def test_a_missing_package_is_named_as_it_is_imported(env_id: str) -> None:
    module, _, extra = FAKE[env_id]
    assert f"pettingzoo:{env_id}" in zoo.ids()
    assert zoo.lacking(f"pettingzoo:{env_id}") == extra
    with pytest.raises(UserError) as error:
        make_env(settings(f"pettingzoo:{env_id}"))
    assert str(error.value) == (
        f"env=pettingzoo:{env_id} needs the package {module}, which is not installed:"
        f' pip install "rltrain[{extra}]"'
    )


@pytest.mark.usefixtures("fake")
def test_agents_that_take_turns_are_refused_before_their_packages_are_missed() -> None:
    assert "pettingzoo:classic/chess_v6" not in zoo.ids()
    with pytest.raises(UserError, match=r"chess_v6: its agents take turns"):
        make_env(settings("pettingzoo:classic/chess_v6"))


@pytest.mark.usefixtures("mpe")
def test_arguments_reach_the_constructor_or_are_refused() -> None:
    team = make_env(settings(SPREAD, N=2)).unwrapped
    assert isinstance(team, Team)
    assert [a.name for a in team.agents] == ["agent_0", "agent_1"]
    with pytest.raises(UserError, match=r"env.kwargs: .*'M'"):
        make_env(settings(SPREAD, M=2))


@pytest.mark.usefixtures("mpe")
@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        (SPREAD, {}),
        (SPREAD, {"continuous_actions": True}),
        ("pettingzoo:mpe/simple_tag_v3", {}),
    ],
)
def test_its_state_is_put_back_in_mid_episode(env_id: str, kwargs: dict[str, Any]) -> None:
    def make() -> Any:
        return make_env(settings(env_id, **kwargs))

    original, resumed = vector_env(make, 2, 3, "test"), vector_env(make, 2, 3, "test")
    assert original.begin().why_not is None
    original.restart()
    resumed.restart(4)
    shape = (60, original.num_rows, *(original.action_space.shape or ()))
    rng = np.random.default_rng(0)
    actions = rng.random(shape, np.float32) if kwargs else rng.integers(3, size=shape)
    for row in actions[:31]:
        original.step(row)
    resumed.load_state_dict(original.state_dict())
    for row in actions[31:]:
        for x, y in zip(original.step(row), resumed.step(row), strict=True):
            assert np.array_equal(x, y)


@pytest.mark.usefixtures("mpe")
@pytest.mark.parametrize(
    "choice",
    [
        ["algo=iql", *SMALL["iql"]],
        ["algo=iql", *SMALL["iql"], "algo.share_parameters=true", "algo.agent_id=true"],
        ["algo=ippo", *SMALL["ippo"]],
        ["algo=ippo", *SMALL["ippo"], "env.kwargs.continuous_actions=true"],
    ],
)
def test_simple_spread_trains_and_resumes(compose: Any, in_tmp: Path, choice: list[str]) -> None:
    command = [
        *choice,
        f"env={SPREAD}",
        "total_timesteps=192",
        "checkpoint.every=96",
        "eval.every=96",
        "eval.episodes=2",
        "logger.console=off",
        "sampler=inline",
    ]
    whole = session.start(compose(*command, "run_name=whole")).folder
    other = session.start(compose(*command, "run_name=other")).folder
    assert newest(whole).step == 192
    session.resume(other, sorted((other / "checkpoints").glob("step_*"))[0], {})
    same(whole, other)
