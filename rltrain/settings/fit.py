"""Which algorithms fit which environments, read from the registry's entries."""

from __future__ import annotations

from collections.abc import Sequence

from gymnasium import Space

from rltrain.core.errors import UserError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import Agent, kind_of
from rltrain.settings.registry import Entry, entries


def check_fit(
    algo: Entry,
    env_id: str,
    observation_space: Space,
    action_space: Space,
    multi_agent: bool = False,
) -> None:
    """Checks an algorithm against an environment's spaces, and its number of agents.

    Raises:
        UserError: they do not fit; the message names the algorithms that do. Or a part of the
            observations is of a kind that nothing here takes.
    """
    found = kind_of(observation_space), kind_of(action_space)
    fitting = [e.name for e in entries("algo").values() if fits(e, *found, multi_agent)]
    if algo.name in fitting:
        layout_of(observation_space)  # its parts are of known kinds too
        return
    if algo.multi_agent != multi_agent:
        reason = "it is for several agents, and here is one"
        if multi_agent:
            reason = "it is for one agent, and here are several"
    else:
        kind, declared = ("observations", algo.observations)
        if found[0] in declared:
            kind, declared = ("actions", algo.actions)
        reason = (
            f"it takes {kind} of {' or '.join(declared)}, and these are {found[kind == 'actions']}"
        )
    advice = (
        f" Algorithms that fit: {', '.join(sorted(fitting))}."
        if fitting
        else " No algorithm here takes these yet; `rltrain list algos` shows what each takes."
    )
    raise UserError(f"algo={algo.name} does not fit env={env_id}: {reason}.{advice}")


def check_team(algo: Entry, env_id: str, agents: Sequence[Agent], share_parameters: bool) -> None:
    """Checks an algorithm against an environment of several agents.

    Raises:
        UserError: it does not fit an agent's spaces, or agents that differ are to share one policy.
    """
    for agent in agents:
        check_fit(algo, env_id, agent.observation_space, agent.action_space, multi_agent=True)
    first = agents[0]
    for other in agents[1:] if share_parameters else ():
        for what, mine, theirs in (
            ("observes", first.observation_space, other.observation_space),
            ("acts in", first.action_space, other.action_space),
        ):
            if mine != theirs:
                raise UserError(
                    f"algo.share_parameters=true: one policy for all needs equal spaces, but in"
                    f" env={env_id} {first.name} {what} {mine}, and {other.name} {what} {theirs}."
                    " Set algo.share_parameters=false."
                )


def fits(algo: Entry, observations: str, actions: str, multi_agent: bool = False) -> bool:
    """Whether an algorithm takes spaces of these kinds, of one agent or of several."""
    return (
        algo.multi_agent == multi_agent
        and observations in algo.observations
        and actions in algo.actions
    )
