"""Settings of a whole run: the root of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rltrain.core.errors import UserError
from rltrain.settings import registry
from rltrain.settings.augments import check_algorithm
from rltrain.settings.schema import build, convert, key


@dataclass(frozen=True)
class EnvSettings:
    id: str = key("Gymnasium id; module:Id imports the module first; pettingzoo:FAMILY/NAME.")
    kwargs: dict[str, Any] = key("Arguments of the environment's constructor.")
    num_envs: int = key("Environments stepped side by side.", min=1)
    max_episode_steps: int | None = key("Time limit; null keeps the registered one.", min=1)
    drop_keys: tuple[str, ...] = key("Parts of Dict observations that are left out, as camera.")
    batched: bool = key("Step environments at once where their physics is known (CartPole).")
    frame_stack: int = key("Newest observations that are seen together; 1 is one alone.", min=1)
    clip_reward: bool = key("Learn from the sign of rewards; scores are in the rewards themselves.")
    on_error: Literal["fail", "restart"] = key(
        "What an exception of an environment does: end the run, or rebuild the environment and drop"
        " its episode."
    )
    max_restarts: int = key("Rebuilds of each environment in a run, at most.", min=0)
    step_timeout: float | None = key(
        "Seconds after which a worker process is killed whose environment does not return; null:"
        " off.",
        above=0,
    )
    frame_skip: int = key("ALE: frames that an action is held for.", min=1)
    sticky_actions: float | None = key(
        "ALE: chance that a frame repeats the last action; null: the game's own.", min=0, max=1
    )
    grey: bool = key("ALE: grey screens.")
    screen_size: int | None = key("ALE: pixels a side; null keeps 210 × 160.", min=7)
    noop_max: int = key("ALE: most frames without an action at the start; 0: none.", min=0)
    fire_reset: bool = key("ALE: press FIRE where the game waits for it.")
    episodic_life: bool = key("ALE: a lost life ends the episode that is learned from.")


@dataclass(frozen=True)
class EvalSettings:
    every: int = key("Environment steps between evaluations; 0 turns them off.", min=0)
    episodes: int = key("Episodes of an evaluation.", min=1)
    stop_at: float | None = key("Mean reward of an evaluation that ends training; null: none.")
    deterministic: bool = key("Act greedily rather than by sampling.")
    max_episode_steps: int = key("Cut episodes here where the environment has no limit.", min=1)


@dataclass(frozen=True)
class CheckpointSettings:
    every: int = key("Environment steps between checkpoints; 0 keeps the last one only.", min=0)
    keep_last: int = key("Newest checkpoints that are kept, besides the best policy.", min=1)


@dataclass(frozen=True)
class LoggerSettings:
    every: int = key("Environment steps between rows of the log; 0 is every update.", min=0)
    tensorboard: bool = key("Write TensorBoard events.")
    csv: bool = key("Write progress.csv.")
    console: Literal["auto", "live", "plain", "off"] = key(
        "Live display, plain lines, nothing; auto asks whether there is a terminal."
    )


@dataclass(frozen=True)
class RunSettings:
    """Everything that decides a run.

    `algo`, `augment`, `exploration`, `intrinsic`, `network` and `optimizer` are of the class
    that their registry entry names.
    """

    algo: Any = key("Algorithm.")
    augment: Any = key("Augmentation.")
    exploration: Any = key("Exploration.")
    intrinsic: Any = key("Intrinsic reward.")
    network: Any = key("Network.")
    optimizer: Any = key("Optimiser.")
    env: EnvSettings = key("Environment.")
    eval: EvalSettings = key("Evaluation.")
    checkpoint: CheckpointSettings = key("Checkpoints.")
    logger: LoggerSettings = key("Logs.")
    total_timesteps: int = key("Environment steps to train for, however many agents act.", min=1)
    schedules: Literal["auto", "extend", "keep"] = key(
        "Schedules of a run that is resumed for longer: extend stretches them to the new total,"
        " keep leaves their end where it was; auto extends them where the run had ended."
    )
    dataset: str | None = key("Minari dataset to learn from; null: none.")
    dataset_share: float = key(
        "Share of each minibatch that is from it, of methods with replay.", above=0, max=1
    )
    init_from: str | None = key(
        "Run, latest, or checkpoint whose networks to begin with, where names and shapes fit."
    )
    init_freeze: bool | tuple[str, ...] = key(
        "Keep what was taken as it is: all of it, or what begins with these names."
    )
    seed: int = key("Seed of every random stream.", min=0, max=2**32 - 1)
    device: str = key("auto, cpu, cuda or cuda:1.")
    num_threads: int | Literal["auto"] = key("Torch threads; auto picks by network size.", min=1)
    kernels: Literal["auto", "numpy", "torch"] = key(
        "What small networks compute with on a CPU; auto takes NumPy where it is faster."
    )
    precision: Literal["fp32", "bf16"] = key(
        "What bodies of networks compute with; parameters, heads and losses stay fp32."
    )
    compile: Literal["auto", "on", "off"] = key(
        "Compile the bodies of networks; auto weighs the time against what is left of the run."
    )
    ema: float | None = key(
        "Decay a step of an average of the policy that is evaluated in its place; null: none.",
        above=0,
        below=1,
    )
    sampler: Literal["auto", "inline", "processes"] = key(
        "Where environments are stepped: here, or in worker processes; auto times a step."
    )
    num_workers: int | Literal["auto"] = key("Worker processes; auto takes one a core.", min=1)
    profile: bool = key("Print where time went, and write a trace of it.")
    output_dir: str = key("Where run folders are made.")
    run_name: str | None = key("Name of the run folder; null makes one up.")
    plugins: tuple[str, ...] = key("Modules that register algorithms, networks, optimisers.")
    tuned: str | None = key("Where the tuned values that were applied come from.")
    choices: dict[str, str] = key(
        "Name of the YAML that each group's values come from; set by rltrain."
    )


# The groups whose choices a run remembers, the most telling first.
CHOICES = ("algo", "env", *(group for group in registry.GROUPS if group != "algo"))

PARTS: dict[str, type] = {
    "env": EnvSettings,
    "eval": EvalSettings,
    "checkpoint": CheckpointSettings,
    "logger": LoggerSettings,
    "run": RunSettings,
}


def build_run(values: Mapping[str, Any]) -> RunSettings:
    """The checked settings of a composed configuration.

    Raises:
        UserError: a key is missing, unknown, of a wrong type or out of range, or two do not fit.
    """
    registry.load_plugins(convert(tuple[str, ...], values.get("plugins", ()), "plugins"))
    chosen = dict(values)
    for group in registry.GROUPS:
        part = chosen.get(group)
        if not isinstance(part, Mapping) or "name" not in part:
            raise UserError(f"{group}: nothing is chosen. See `rltrain list {group}s`.")
        entry = registry.entry(group, part["name"])
        chosen[group] = build(entry.settings, part, group)
    if isinstance(chosen.get("env"), Mapping) and not chosen["env"].get("id"):
        raise UserError("env: choose an environment, for example env=CartPole-v1.")
    run = build(RunSettings, chosen)
    _check_combination(run)
    return run


def _check_combination(run: RunSettings) -> None:
    check_algorithm(run.augment.name, run.algo.name)
    entry = registry.entry("algo", run.algo.name)
    for group in ("network", "optimizer"):
        chosen = getattr(run, group).name
        if entry.networks and chosen == "none":
            raise UserError(f"{group}=none: algo={run.algo.name} needs one.")
        if not entry.networks and chosen != "none":
            raise UserError(f"{group}={chosen}: algo={run.algo.name} is tabular and uses none.")
    recurrent = registry.entry("network", run.network.name).recurrent
    if recurrent and not entry.recurrent:
        able = sorted(e.name for e in registry.entries("algo").values() if e.recurrent)
        raise UserError(
            f"network={run.network.name}: algo={run.algo.name} learns from samples out of their"
            f" order in time. Algorithms with recurrent networks: {', '.join(able)}."
        )
    if recurrent and getattr(run.algo, "prioritized", False):
        raise UserError(
            "algo.prioritized=true: a recurrent network learns from sequences, which are drawn"
            " uniformly. Set algo.prioritized=false, or network=mlp_relu."
        )
    if recurrent and run.dataset is not None:
        raise UserError(
            f"dataset={run.dataset}: a recurrent network learns from sequences with the state that"
            " it had, which no dataset has. Set network=mlp_relu."
        )
    if entry.multi_agent and run.intrinsic.name != "none":
        raise UserError(
            f"intrinsic={run.intrinsic.name}: it is for one agent, and algo={run.algo.name} is for"
            " several."
        )
    if getattr(run.network, "shared", False) and not entry.shares:
        able = sorted(e.name for e in registry.entries("algo").values() if e.shares)
        raise UserError(
            f"network.shared=true: algo={run.algo.name} has no policy and value that could be one"
            f" network, as those of {', '.join(able)}."
        )
    if run.exploration.name not in entry.explorations:
        raise UserError(
            f"exploration={run.exploration.name} does not fit algo={run.algo.name}, which takes"
            f" {' or '.join(entry.explorations)}."
        )
    _check_noise(run)
    _check_restarts(run)
    if run.ema is not None and not entry.networks:
        raise UserError(f"ema={run.ema:g}: algo={run.algo.name} is tabular. Set ema=null.")
    if run.eval.stop_at is not None and not run.eval.every:
        raise UserError(
            f"eval.stop_at={run.eval.stop_at:g}: eval.every=0 turns evaluations off."
            " Set eval.every, or eval.stop_at=null."
        )
    _check_dataset(run, entry)
    _check_init(run, entry)
    check = getattr(entry.settings, "check", None)
    if check is not None:
        check(run)


def _check_restarts(run: RunSettings) -> None:
    """Memories of stacks have no row for a step that was not taken."""
    if run.env.on_error == "restart" and run.env.frame_stack > 1:
        raise UserError(
            f"env.on_error=restart does not fit env.frame_stack={run.env.frame_stack}. Set"
            " env.on_error=fail or env.frame_stack=1."
        )


def _check_noise(run: RunSettings) -> None:
    """Noisy layers draw noise in every pass: what passes a sample twice, or half of them."""
    if run.exploration.name != "noisy":
        return
    refused = {
        "optimizer.accumulation": getattr(run.optimizer, "accumulation", 1) > 1,
        "network.checkpointing": getattr(run.network, "checkpointing", False),
    }
    for name, asked in refused.items():
        if asked:
            raise UserError(
                f"{name} does not fit exploration=noisy: every pass through the network draws"
                " noise of its own. Set exploration=epsilon_greedy."
            )


def _check_dataset(run: RunSettings, entry: registry.Entry) -> None:
    if run.dataset == "" or (run.dataset is None and entry.data == "only"):
        raise UserError(
            "dataset: name one to learn from, as dataset=cartpole/expert-v0. `rltrain record`"
            " makes one."
        )
    if run.dataset is None:
        return
    if entry.data == "none":
        able = [e.name for e in registry.entries("algo").values() if e.data != "none"]
        raise UserError(
            f"dataset={run.dataset}: algo={entry.name} learns from its own steps alone."
            f" Algorithms that take a dataset: {', '.join(sorted(able))}."
        )
    if getattr(run.algo, "prioritized", False):
        raise UserError(
            f"dataset={run.dataset}: algo.prioritized=true gives a dataset no priorities. Set it"
            " to false."
        )
    if run.intrinsic.name != "none":
        raise UserError(
            f"intrinsic={run.intrinsic.name}: the rewards in dataset={run.dataset} have no such"
            " part. Set intrinsic=none."
        )


def _check_init(run: RunSettings, entry: registry.Entry) -> None:
    if run.init_from is None:
        if run.init_freeze:
            raise UserError("init_freeze keeps what init_from took, and there is no init_from.")
        return
    if not entry.networks:
        raise UserError(f"init_from={run.init_from}: algo={entry.name} has no networks.")
    if run.init_freeze and run.kernels == "numpy":
        raise UserError("kernels=numpy moves every parameter; init_freeze needs kernels=torch.")
