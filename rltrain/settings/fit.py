"""Which algorithms fit which spaces, read from the registry's entries."""

from __future__ import annotations

from gymnasium import Space

from rltrain.core.errors import UserError
from rltrain.core.layout import layout_of
from rltrain.core.spaces import kind_of
from rltrain.settings.registry import Entry, entries


def check_fit(algo: Entry, env_id: str, observation_space: Space, action_space: Space) -> None:
    """Checks an algorithm against an environment's spaces.

    Raises:
        UserError: they do not fit; the message names the algorithms that do. Or a part of the
            observations is of a kind that nothing here takes.
    """
    found = kind_of(observation_space), kind_of(action_space)
    fitting = [e.name for e in entries("algo").values() if fits(e, *found)]
    if algo.name in fitting:
        layout_of(observation_space)  # its parts are of known kinds too
        return
    kind, declared = ("observations", algo.observations)
    if found[0] in declared:
        kind, declared = ("actions", algo.actions)
    advice = (
        f" Algorithms that fit: {', '.join(sorted(fitting))}."
        if fitting
        else " No algorithm here takes these yet; `rltrain list algos` shows what each takes."
    )
    raise UserError(
        f"algo={algo.name} does not fit env={env_id}: it takes {kind} of {' or '.join(declared)},"
        f" and these are {found[kind == 'actions']}.{advice}"
    )


def fits(algo: Entry, observations: str, actions: str) -> bool:
    """Whether an algorithm takes spaces of these kinds."""
    return observations in algo.observations and actions in algo.actions
