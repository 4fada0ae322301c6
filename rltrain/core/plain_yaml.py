"""YAML of files that somebody else may have written: plain values, of bounded size and depth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rltrain.core.errors import UserError

MOST_BYTES = 2**20
_DEEPEST = 100


class _Loader(yaml.SafeLoader):
    """Refuses aliases, which let a short file stand for an endless one, and deep nesting."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(None, None, "values are written out here, without *", mark)
        if self._depth >= _DEEPEST:
            raise _Refused(None, None, f"more than {_DEEPEST} levels", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Refused(yaml.MarkedYAMLError):
    pass


class _Dumper(yaml.SafeDumper):
    """Writes values that are one object twice, as `read` wants them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def read(path: Path) -> dict[str, Any]:
    """Return the mapping in a file.

    Raises:
        UserError: it cannot be read, or is not plain YAML of a mapping; the message is one line.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise UserError(f"{path} is larger than a configuration can be ({MOST_BYTES:,} bytes).")
        loaded = yaml.load(raw.decode(), _Loader)  # of a safe loader's kind
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} cannot be read: it is not text.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise UserError(f"{path}{where} cannot be read: {error.problem}.") from error
    except (yaml.YAMLError, ValueError, RecursionError, ArithmeticError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is nested too deeply"
        raise UserError(f"{path} cannot be read: {reason}.") from error
    if not isinstance(loaded, dict):
        found = "is empty" if loaded is None else f"is a {type(loaded).__name__}"
        raise UserError(f"{path} {found}, and not a mapping of keys.")
    return loaded


def write(values: Mapping[str, Any]) -> str:
    """Return values as text that `read` takes."""
    return str(yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True))
