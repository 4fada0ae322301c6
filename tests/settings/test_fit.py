import pytest
from gymnasium import Space, spaces

from rltrain.core.errors import UserError
from rltrain.core.spaces import Agent
from rltrain.settings.fit import check_fit, check_team, fits
from rltrain.settings.registry import entry

BOX = spaces.Box(-1, 1, (3,))
DISCRETE = spaces.Discrete(4)
DICT = spaces.Dict({"a": BOX})


@pytest.mark.parametrize(
    ("algo", "observations", "actions", "expected"),
    [
        ("ppo", "Box", "Box", True),
        ("ppo", "Discrete", "Discrete", True),
        ("ppo", "Dict", "Box", True),
        ("ppo", "Box", "MultiDiscrete", True),
        ("a2c", "Discrete", "MultiBinary", True),
        ("dqn", "Box", "MultiDiscrete", False),
        ("ppo", "MultiBinary", "Discrete", True),
        ("sac", "Text", "Box", True),
        ("q_learning", "MultiBinary", "Discrete", False),
        ("ppo", "Graph", "Box", False),
        ("ppo", "OneOf", "Box", False),
        ("dqn", "Box", "Discrete", True),
        ("dqn", "Box", "Box", False),
        ("q_learning", "Discrete", "Discrete", True),
        ("q_learning", "Box", "Discrete", False),
    ],
)
def test_fits(algo: str, observations: str, actions: str, expected: bool) -> None:
    assert fits(entry("algo", algo), observations, actions) is expected


@pytest.mark.parametrize(
    ("algo", "observations", "actions"),
    [("ppo", BOX, BOX), ("dqn", DISCRETE, DISCRETE), ("q_learning", DISCRETE, DISCRETE)],
)
def test_what_fits_is_let_through(algo: str, observations: Space, actions: Space) -> None:
    check_fit(entry("algo", algo), "Some-v0", observations, actions)


@pytest.mark.parametrize(
    ("algo", "observations", "actions", "reason", "named"),
    [
        ("dqn", BOX, BOX, "takes actions of Discrete, and these are Box", {"ppo"}),
        (
            "q_learning",
            BOX,
            DISCRETE,
            "takes observations of Discrete, and these are Box",
            {"dqn", "ppo"},
        ),
        ("q_learning", BOX, BOX, "takes observations of Discrete, and these are Box", {"ppo"}),
        ("q_learning", DISCRETE, BOX, "takes actions of Discrete, and these are Box", {"ppo"}),
    ],
)
def test_the_message_says_why_and_names_those_that_fit(
    algo: str, observations: Space, actions: Space, reason: str, named: set[str]
) -> None:
    with pytest.raises(UserError) as caught:
        check_fit(entry("algo", algo), "Some-v0", observations, actions)
    said = str(caught.value)
    assert said.startswith(f"algo={algo} does not fit env=Some-v0: it {reason}.")
    _, _, fitting = said.partition("Algorithms that fit: ")
    fitting_names = fitting.rstrip(".").split(", ")
    assert named <= set(fitting_names)
    assert fitting_names == sorted(fitting_names)
    assert algo not in fitting_names


@pytest.mark.parametrize(
    ("observations", "actions", "reason"),
    [
        (
            spaces.Sequence(BOX),
            BOX,
            "observations of Box or Discrete or MultiDiscrete or MultiBinary or Text or Dict or"
            " Tuple, and these are Sequence",
        ),
        (
            BOX,
            DICT,
            "actions of Box or Discrete or MultiDiscrete or MultiBinary, and these are Dict",
        ),
    ],
)
def test_where_nothing_fits_it_says_so(observations: Space, actions: Space, reason: str) -> None:
    with pytest.raises(UserError, match=f"takes {reason}. No algorithm here takes these"):
        check_fit(entry("algo", "ppo"), "Some-v0", observations, actions)


def test_a_part_that_nothing_takes_is_named_with_the_way_out() -> None:
    inside = spaces.Dict({"robot": DICT, "map": spaces.Graph(BOX, None)})
    with pytest.raises(UserError, match=r"map, a Graph, are not supported.*env.drop_keys=\[map\]"):
        check_fit(entry("algo", "ppo"), "Some-v0", inside, BOX)


def team(*spaces_of_agents: tuple[Space, Space]) -> list[Agent]:
    return [Agent(f"agent_{i}", *own) for i, own in enumerate(spaces_of_agents)]


def test_an_algorithm_of_one_agent_does_not_fit_several_nor_the_reverse() -> None:
    with pytest.raises(UserError) as caught:
        check_team(entry("algo", "dqn"), "X", team((BOX, DISCRETE), (BOX, DISCRETE)), False)
    said = str(caught.value)
    assert said.startswith("algo=dqn does not fit env=X: it is for one agent, and here are several")
    assert said.endswith("Algorithms that fit: ippo, iql.")
    with pytest.raises(UserError) as caught:
        check_fit(entry("algo", "iql"), "X", BOX, DISCRETE)
    said = str(caught.value)
    assert said.startswith("algo=iql does not fit env=X: it is for several agents, and here is one")
    fitting = said.partition("Algorithms that fit: ")[2].rstrip(".").split(", ")
    assert {"dqn", "ppo"} <= set(fitting)
    assert not {"iql", "ippo"} & set(fitting)


def test_every_agents_spaces_are_looked_at() -> None:
    check_team(entry("algo", "iql"), "X", team((BOX, DISCRETE), (DISCRETE, DISCRETE)), False)
    with pytest.raises(UserError, match=r"takes actions of Discrete, and these are Box.*: ippo\."):
        check_team(entry("algo", "iql"), "X", team((BOX, DISCRETE), (BOX, BOX)), False)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            (spaces.Box(-1, 1, (4,)), DISCRETE),
            r"agent_0 observes Box.*agent_1 observes .*\(4,\)",
        ),
        ((BOX, spaces.Discrete(5)), r"agent_0 acts in Discrete\(4\), and agent_1 .*\(5\)"),
    ],
)
def test_agents_that_share_parameters_must_have_equal_spaces(
    other: tuple[Space, Space], said: str
) -> None:
    agents = team((BOX, DISCRETE), other)
    check_team(entry("algo", "iql"), "X", agents, share_parameters=False)
    check_team(entry("algo", "iql"), "X", team((BOX, DISCRETE), (BOX, DISCRETE)), True)
    with pytest.raises(UserError, match=f"{said}.*Set algo.share_parameters=false"):
        check_team(entry("algo", "iql"), "X", agents, share_parameters=True)
