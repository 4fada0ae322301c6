"""Import torch faster by deferring submodules that training does not use.

Both ways leave torch whole: what is deferred is imported by whatever needs it. One thing
does not ask for it, the constructor `torch.Generator`: `make_generator` stands in for it
here, and a run with code that is not rltrain's imports torch whole. A torch of another
version than the one that this was written for is imported whole as well.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_WRITTEN_FOR = "2.13."  # versions whose every use here is tested through the command
_PUT_OFF = "torch._meta_registrations"
_NEEDED_BY = (  # fake tensors, tracing and compilation begin with one of these
    "torch._decomp",
    "torch._dynamo",
    "torch._prims",
    "torch._refs",
    "torch.utils._content_store",
)


class _Later(MetaPathFinder):
    """Import what was deferred as soon as something that needs it is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in _NEEDED_BY:
            catch_up()
        return None


_later = _Later()


def import_torch(whole: bool = False) -> None:
    """Import torch, without its shape functions in Python unless it is to be `whole`.

    They take a quarter of the import and serve tensors without data, which only tracing and
    compilation make. Torch that is there already becomes whole where it is to be, and
    otherwise stays as it is.
    """
    if whole:
        catch_up()
    if "torch" in sys.modules:
        return
    if whole:
        importlib.import_module("torch")
        return
    stub = ModuleType(_PUT_OFF)
    sys.modules[_PUT_OFF] = stub
    sys.meta_path.insert(0, _later)
    import torch

    if (
        not torch.__version__.startswith(_WRITTEN_FOR)
        or getattr(torch, "_meta_registrations", stub) is not stub  # nothing asked for it
    ):
        catch_up()


def catch_up() -> None:
    """Import what `import_torch` deferred."""
    if _later in sys.meta_path:
        sys.meta_path.remove(_later)
        sys.modules.pop(_PUT_OFF, None)
        importlib.import_module(_PUT_OFF)


def make_generator(device: torch.device) -> torch.Generator:
    """Return a generator on a device, whose constructor is missing what was deferred."""
    import torch

    catch_up()
    return torch.Generator(device)


def spare_dynamo(optimizer: type[torch.optim.Optimizer]) -> None:
    """Keep an optimiser from importing the compiler, which takes as long as torch does.

    Methods of `Optimizer` are wrapped so that their first call imports `torch._dynamo` to
    exclude them from compilation: they are marked as excluded beforehand. A step imports it
    to end a graph: without a compiler there is none.
    """
    import torch

    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        method = getattr(optimizer, name)
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None and not hasattr(wrapped, "__dynamo_disable"):
            setattr(wrapped, "__dynamo_disable", wrapped)  # the name would be mangled
    step: Any = optimizer.step
    if getattr(step, "__code__", None) is None or step.__code__.co_name != "_use_grad":
        return

    @functools.wraps(step)
    def bare_step(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        if "torch._dynamo" in sys.modules:
            return step(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step.__wrapped__(self, *args, **kwargs)

    optimizer.step = bare_step  # type: ignore[method-assign]
