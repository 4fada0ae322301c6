"""States as they come back from a checkpoint, without one."""

from __future__ import annotations

import io
from typing import Any

from rltrain.core import tensor_file, tree


def through_file(state: Any) -> Any:
    """What a checkpoint's file would give back for `state`."""
    file = io.BytesIO()
    tensor_file.write(file, {}, tree.flatten(state))
    file.seek(0)
    return tree.unflatten(tensor_file.read(file)[1])
