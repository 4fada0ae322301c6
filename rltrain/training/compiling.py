"""Whether the bodies of networks are compiled (torch.compile), and the compilation."""

from __future__ import annotations

import os
import shutil
from typing import Any

from torch import nn

from rltrain.core.errors import UserError
from rltrain.networks.encoders import Encoded
from rltrain.settings import registry
from rltrain.settings.run import RunSettings
from rltrain.training.footprint import owners_of
from rltrain.training.performance import Performance

# Seconds for a body with its gradient and without. Measured on two slow cores for simba of
# width 256 with two blocks: 47 to 57, and 8 to 13 for each of two sizes of acting.
SECONDS = 75.0
SMALL = 500_000  # parameters of a body below which calls cost more than what they compute
SAVED = 0.2  # share of learning that compilation saves: a guess, no GPU was measured
SPEED = 20e12  # operations a second of a GPU that learns: the same
BACKEND = "inductor"


def choose(run: RunSettings, algorithm: Any, done: int, performance: Performance) -> bool:
    """Compiles the bodies where it was asked for, or pays for a run that is at step `done`.

    Numbers then differ from those without in the last bits.

    Raises:
        UserError: it was asked for, and cannot be.
    """
    if run.compile == "off":
        performance.chose("compile", "off", "asked for")
        return False
    bodies = bodies_of(run, algorithm)
    obstacle = _obstacle(run, bodies)
    if run.compile == "on":
        if obstacle:
            raise UserError(f"compile=on: {obstacle}. Set compile=auto.")
        use, why = True, "asked for"
    elif obstacle:
        use, why = False, f"auto: {obstacle}"
    else:
        device = next(bodies[0].parameters()).device.type
        parameters = sum(p.numel() for p in bodies[0].parameters())
        use, why = pays(device, parameters, len(bodies), samples_left(run, done))
    performance.chose("compile", "on" if use else "off", why)
    if use:
        import torch._dynamo  # a second that runs without compilation are spared

        # Bodies of one class share a limit: each is compiled with gradient, without, and for one.
        limit = torch._dynamo.config.recompile_limit
        torch._dynamo.config.recompile_limit = max(limit, 6 * len(bodies))
        for body in bodies:
            body.compile(backend=BACKEND, dynamic=True)
    return use


def pays(device: str, parameters: int, bodies: int, samples: float) -> tuple[bool, str]:
    """Whether compiling so many bodies saves more time than it takes, and why.

    Learning takes 6 operations for each parameter and sample (Kaplan et al. 2020, section 2.1).
    """
    if device == "cpu":
        return False, "auto: on a CPU it saves little"
    if parameters < SMALL:
        return False, f"auto: a body of {parameters:,} parameters"
    cost, left = SECONDS * bodies, 6 * parameters * bodies * samples / SPEED
    why = f"auto: about {cost:,.0f} s to compile, and {SAVED * left:,.0f} s to save of the run"
    return SAVED * left > cost, why


def samples_left(run: RunSettings, done: int) -> float:
    """Samples that gradients are still to be computed of."""
    s, steps = run.algo, max(0, run.total_timesteps - done)
    if hasattr(s, "train_freq"):
        return float(steps / s.train_freq * s.gradient_steps * s.batch_size)
    return float(steps * getattr(s, "n_epochs", 1))


def bodies_of(run: RunSettings, algorithm: Any) -> list[nn.Module]:
    """Return the bodies of an algorithm's networks, target networks included.

    A body without parameters (`network.hidden_sizes=[]`) is left out: there is nothing to compile.
    """
    entry = registry.entry("network", run.network.name)
    if not entry.target:
        return []
    kinds = (Encoded, entry.load())
    values = [v for owner in owners_of(algorithm) for v in vars(owner).values()]
    found: dict[int, nn.Module] = {}
    for network in (v for v in values if isinstance(v, nn.Module)):
        own = [m for m in network.modules() if isinstance(m, kinds)]
        inside = {id(part) for m in own for part in m.modules() if part is not m}
        outer = [m for m in own if id(m) not in inside]
        found |= {id(m): m for m in outer if any(True for _ in m.parameters())}
    return list(found.values())


def _obstacle(run: RunSettings, bodies: list[nn.Module]) -> str:
    """What keeps networks from being compiled; empty where nothing does."""
    if not bodies:
        return "there is no network with hidden layers"
    if registry.entry("network", run.network.name).recurrent:
        return "sequences of recurrent networks have ever other lengths"
    if run.exploration.name == "noisy":
        return "noisy layers draw their noise outside of torch"
    if run.augment.name != "none":
        return "augmentations draw their chance outside of torch"
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"it needs a C++ compiler, and there is no {compiler}"
    return ""
