"""What can be spared when a process starts."""

from __future__ import annotations

import torch


def spare_dynamo() -> None:
    """Keeps torch's optimisers from importing the compiler, which takes as long as torch does.

    Methods of `Optimizer` are wrapped so that their first call imports `torch._dynamo` to
    exclude them from compilation. Nothing is compiled on the NumPy path, so they are marked
    as excluded beforehand. On a torch that does this otherwise, nothing changes.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        method = getattr(torch.optim.Optimizer, name)
        wrapped = getattr(method, "__wrapped__", None)
        if wrapped is not None and not hasattr(wrapped, "__dynamo_disable"):
            setattr(wrapped, "__dynamo_disable", wrapped)  # the name would be mangled
