"""PettingZoo's ids: which there are, what is said of others, and that they run."""

from __future__ import annotations

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
    with pytest.raises(UserError, match=r'pip install "rltrain\[pettingzoo\]"'):
        make_env(settings(SPREAD))


def test_a_module_that_lacks_what_it_imports_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lacking_v0.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(zoo, "modules", lambda: {SPREAD: "lacking_v0"})
    with pytest.raises(UserError, match=r"rltrain\[pettingzoo\].*not_there_at_all"):
        make_env(settings(SPREAD))


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
    assert original.why_not_saved() is None
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
