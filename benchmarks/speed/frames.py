"""`python -m benchmarks.speed.frames`: how many pictures a second encoders take.

Four stacked frames of 84 × 84 bytes (Atari's) through Nature CNN and IMPALA with the heads
of PPO, by the very classes that runs use: acting for so many environments, and learning
(forward, backward, Adam) from so many samples. Batches take turns, so that a machine that
drifts slows all alike; of a batch's rates the median counts. Writes `FRAMES.md`.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces

from rltrain import config
from rltrain.core.layout import layout_of
from rltrain.networks.actor_critic import ActorCritic
from rltrain.networks.encoders import with_encoder
from rltrain.settings import registry
from rltrain.settings.run import build_run
from rltrain.training import run as folders

NETWORKS = ("nature_cnn", "impala")
ACTING, LEARNING = (1, 8, 32), (32, 256)
FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
ROUNDS, SECONDS = 5, 1.0
TABLE = Path(__file__).parent / "FRAMES.md"


def actor_critic(name: str, device: torch.device) -> ActorCritic:
    """Nature CNN or IMPALA under the heads of a policy of six actions and of a value."""
    values = config.compose(
        ["algo=ppo", "env=ALE/Pong-v5", f"network={name}", "network.shared=true"]
    )
    settings = build_run(values).network
    body = functools.partial(registry.entry("network", settings.name).load(), settings)
    network = functools.partial(with_encoder, settings, body=body)
    made = ActorCritic(network, layout_of(FRAMES), spaces.Discrete(6), 0.0, shared=True)
    return made.to(device)


def act(networks: ActorCritic, batch: int, device: torch.device) -> Callable[[], None]:
    frames = np.random.default_rng(0).integers(0, 256, (batch, *FRAMES.shape), np.uint8)
    noise = torch.rand(batch)

    @torch.inference_mode()
    def step() -> None:
        action, _, _ = networks.sample(torch.from_numpy(frames).to(device), noise.to(device))
        action.cpu()

    return step


def learn(networks: ActorCritic, batch: int, device: torch.device) -> Callable[[], None]:
    frames = np.random.default_rng(0).integers(0, 256, (batch, *FRAMES.shape), np.uint8)
    action = torch.zeros(batch, dtype=torch.long, device=device)
    optimizer = torch.optim.Adam(networks.parameters(), 1e-4)

    def step() -> None:
        log_prob, entropy, value = networks.evaluate(torch.from_numpy(frames).to(device), action)
        optimizer.zero_grad()
        (value.square().mean() - log_prob.mean() - entropy.mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def rate(step: Callable[[], None], batch: int) -> float:
    """Frames a second, over about `SECONDS`."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        step()
        count += 1
    return count * batch / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.frames", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    steps = {}
    for name in NETWORKS:
        networks = actor_critic(name, device)
        for what, batches, make in (("acting", ACTING, act), ("learning", LEARNING, learn)):
            for batch in batches:
                steps[name, what, batch] = make(networks, batch, device)
    for step in steps.values():
        step()  # what is made once
    rates: dict[tuple[str, str, int], list[float]] = {key: [] for key in steps}
    for _ in range(ROUNDS):
        for key, step in steps.items():
            rates[key].append(rate(step, key[2]))
    v = folders.versions()
    lines = [
        "# Frames a second",
        "",
        f"Written by `python -m benchmarks.speed.frames` on {time.strftime('%Y-%m-%d')}: device"
        f" {arguments.device}, {arguments.threads} threads, torch {v['torch']}, Python"
        f" {v['python']}; 4 × 84 × 84 bytes a frame, {ROUNDS} rounds of {SECONDS:g} s each in"
        " turn; median (lowest … highest).",
        "",
        "| network | what | batch | frames/s |",
        "|---|---|---|---|",
    ]
    for (name, what, batch), found in rates.items():
        spread = f"{min(found):,.0f} … {max(found):,.0f}"
        median = statistics.median(found)
        lines.append(f"| `{name}` | {what} | {batch} | {median:,.0f} ({spread}) |")
    TABLE.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
