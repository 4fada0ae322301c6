"""Random streams: one seed in, an independent stream for every use out."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np


def derive(seed: int, *path: str | int) -> int:
    """A 32-bit seed for the use named by `path`, independent of that of every other path."""
    words = [p if isinstance(p, int) else zlib.crc32(p.encode()) for p in path]
    return int(np.random.SeedSequence([seed, len(path), *words]).generate_state(1)[0])


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """NumPy's generator for the use named by `path`."""
    return np.random.default_rng(derive(seed, *path))


def seed_everything(seed: int) -> None:
    """Seeds the global generators, for code of others that draws from them."""
    import torch

    random.seed(derive(seed, "python"))
    np.random.seed(derive(seed, "numpy"))
    torch.manual_seed(derive(seed, "torch"))


def global_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's global generators."""
    import torch

    version, words, gauss = random.getstate()
    state = {
        "python": [version, list(words), gauss],
        "numpy": np.random.get_state(legacy=False),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # else nobody drew
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_global_state(state: dict[str, Any]) -> None:
    """Puts back what `global_state` returned."""
    import torch

    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
