"""State of objects of other packages: emulators, simulations, tensors, windows.

No other package is imported for it: a type is known by its name.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import itertools
import pathlib
import sys
from typing import Any

import numpy as np

from rltrain.envs.emulator import Emulator

# What values of the standard library are rebuilt with.
STANDARD = (
    *(itertools.count, itertools.cycle, itertools.chain, itertools.repeat, itertools.islice),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone),
    *(decimal.Decimal, fractions.Fraction, pathlib.PosixPath, pathlib.PurePosixPath),
)
_ITERATORS: tuple[Any, ...] = (
    iter([]),
    iter(()),
    iter(range(0)),
    iter(range(2**70)),
    iter(""),
    iter("é"),
    iter(b""),
    iter({}),
    iter({}.values()),
    iter({}.items()),
    iter(set()),
    iter(collections.deque()),
    iter(np.empty(1)),
)
_KNOWN = (
    *map(type, _ITERATORS),
    *(reversed, enumerate, zip, map, filter, range, slice, complex, bytearray, frozenset),
    type(reversed([])),
    *STANDARD,
)
REDUCED = [[cls.__module__, cls.__qualname__] for cls in _KNOWN]
# Modules of threads, processes and connections, whose state is outside of their objects.
ALIVE = frozenset(("threading", "_thread", "subprocess", "socket", "multiprocessing", "_io", "io"))
# Packages that draw: what they hold is shown, and decides nothing.
_DRAW = frozenset(("pygame", "pyglet", "glfw", "matplotlib", "moderngl", "OpenGL", "tkinter"))
_MUJOCO_DRAWS = ("mujoco._render", "mujoco.renderer", "mujoco.viewer", "mujoco.gl_context")
# Arrays of MjData that each step makes anew: constraints, contacts, and islands of them.
_PER_STEP = (
    *("_", "efc_", "iefc", "contact", "arena", "island", "map_", "dof_island", "tree_island"),
    *("iacc", "ifrc_", "iM_", "iLD", "tendon_efcadr"),
)


def module_of(value: Any) -> str:
    """Return the name of the module of a class or function, which some do not have."""
    return getattr(value, "__module__", None) or "builtins"


def package_of(cls: type) -> str:
    """Return the name of the package of a class."""
    return module_of(cls).partition(".")[0]


def read(value: Any) -> dict[str, Any] | None:
    """Return the state of an object that `write` can restore; None of any other."""
    cls = type(value)
    module, package, name = module_of(cls), package_of(cls), cls.__name__
    if isinstance(value, Emulator):
        state = value.snapshot()
        return None if state is None else {"what": "ale", **state}
    if package == "mujoco" and name == "MjData":
        return {"what": "mujoco", "value": _arrays_of(value) | {"time": value.time}}
    if module == "torch" and name == "Tensor" and _is_data(value):
        array = value.detach().cpu().numpy().copy()
        return {"what": "tensor", "value": array, "device": str(value.device)}
    if module == "torch._C" and name == "Generator":
        return {"what": "torch_generator", "value": value.get_state().numpy().copy()}
    if package == "pygame" and name in ("Rect", "FRect", "Vector2", "Vector3"):
        return {"what": "pygame", "class": [module, name], "value": [*value]}
    if package == "pygame" and name == "Surface":
        data = np.frombuffer(value.get_buffer().raw, np.uint8).copy()
        return {"what": "surface", "size": list(value.get_size()), "value": data}
    if (package in _DRAW and not _has_attributes(cls)) or module.startswith(_MUJOCO_DRAWS):
        return {"what": "window", "value": None}
    return None


def read_changed(value: Any) -> dict[str, Any] | None:
    """Return the state of an object that most environments never change, as `read` does."""
    if package_of(type(value)) != "mujoco" or type(value).__name__ != "MjModel":
        return None
    options = {
        name: getattr(value.opt, name)
        for name in dir(value.opt)
        if not name.startswith("_") and isinstance(getattr(value.opt, name), int | float)
    }
    fields = {f"opt.{name}": field for name, field in (options | _arrays_of(value.opt)).items()}
    return {"what": "mujoco", "value": _arrays_of(value) | fields}


def write(state: dict[str, Any], current: Any) -> Any:
    """Restore what `read` returned, into `current` where it is of that kind.

    Raises:
        TypeError: a fresh environment has nothing of that kind.
        ValueError: a game cannot be played again.
    """
    what, value = state["what"], state["value"]
    if what == "window":
        return current
    if what == "tensor":
        torch: Any = sys.modules["torch"]
        return torch.from_numpy(value.copy()).to(state["device"])
    if what == "pygame":
        module, name = state["class"]
        return getattr(sys.modules[module], name)(*value)
    if current is None:
        raise TypeError(f"an object that a fresh environment does not have ({what})")
    if what == "ale":
        current.restore(state)
    elif what == "mujoco":
        for path, field in value.items():
            outer, _, name = path.rpartition(".")
            owner = getattr(current, outer) if outer else current
            if not isinstance(field, np.ndarray):
                setattr(owner, name, field)
            elif getattr(owner, name).shape == field.shape:  # else of this step's contacts only
                getattr(owner, name)[...] = field
    elif what == "torch_generator":
        current.set_state(sys.modules["torch"].from_numpy(value.copy()))
    elif list(current.get_size()) != state["size"]:
        raise TypeError("a surface of another size")
    else:
        current.get_buffer().write(value.tobytes(), 0)
    return current


def content(value: Any) -> bytes | None:
    """Return the content of an object that has it in bytes; None of any other."""
    cls = type(value)
    if package_of(cls) == "mujoco" and cls.__name__ == "MjModel":
        mujoco: Any = sys.modules["mujoco"]
        buffer = np.empty(mujoco.mj_sizeModel(value), np.uint8)
        mujoco.mj_saveModel(value, None, buffer)
        return buffer.tobytes()
    if module_of(cls) == "_thread" and hasattr(value, "acquire") and value.acquire(blocking=False):
        value.release()
        return b"free"
    return None


def _has_attributes(cls: type) -> bool:
    return any("__dict__" in vars(owner) for owner in cls.__mro__)


def _is_data(tensor: Any) -> bool:
    kinds = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
    plain = str(tensor.layout) == "torch.strided" and str(tensor.dtype).partition(".")[2] in kinds
    return plain and not tensor.requires_grad


def _arrays_of(data: Any) -> dict[str, Any]:
    """Return what MuJoCo's object carries from step to step: its arrays of fixed size."""
    fields: dict[str, Any] = {}
    for name in dir(data):
        if name.startswith(_PER_STEP):
            continue
        value = getattr(data, name)
        if isinstance(value, np.ndarray) and value.flags.writeable and value.size:
            fields[name] = value.copy()
    return fields
