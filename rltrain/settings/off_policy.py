"""Settings of methods that learn from what other policies did too: replayed, or recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rltrain.core.errors import UserError
from rltrain.settings.on_policy import PolicySettings
from rltrain.settings.schema import Schedule, key, show


@dataclass(frozen=True)
class DQNSettings:
    name: str = key("Registry name.")
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    buffer_size: int = key("Transitions that the replay buffer holds.", min=1)
    batch_size: int = key("Transitions in a minibatch.", min=1)
    learning_starts: int = key("Environment steps before the first update.", min=0)
    train_freq: int = key("Environment steps between trainings.", min=1)
    gradient_steps: int = key("Updates in a training.", min=1)
    target_update_interval: int = key("Environment steps between target updates.", min=1)
    tau: float = key("Share of the online network in a target update; 1 copies.", above=0, max=1)
    double: bool = key("The online network picks the action that the target network values.")
    dueling: bool = key("Separate streams for the state's value and the actions' advantages.")
    n_steps: int = key("Steps of a transition before its target bootstraps.", min=1)
    prioritized: bool = key("Replay in proportion to the last error instead of uniformly.")
    priority_alpha: float = key("How much priorities count; 0 is uniform.", min=0, max=1)
    priority_beta: float = key("Correction of the bias at the start; 1 at the end.", min=0, max=1)
    distribution: Literal["none", "c51", "qr"] = key(
        "What is learned of returns: their mean, a categorical distribution, or quantiles."
    )
    n_atoms: int = key("Atoms of c51.", min=2)
    v_min: float = key("Lowest atom of c51: no return should be below.")
    v_max: float = key("Highest atom of c51.")
    n_quantiles: int = key("Quantiles of qr.", min=1)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")

    @staticmethod
    def check(run: Any) -> None:
        """Raises a UserError where keys that are each in range do not fit together."""
        if run.algo.v_min >= run.algo.v_max:
            raise UserError(
                f"algo.v_min={run.algo.v_min:g} must be below algo.v_max={run.algo.v_max:g}."
            )


@dataclass(frozen=True)
class IQLSettings(DQNSettings):
    share_parameters: bool = key("One learner for all agents, which must have equal spaces.")
    agent_id: bool = key("Append to observations who acts (one-hot), where one learner is shared.")


@dataclass(frozen=True)
class QLearningSettings:
    name: str = key("Registry name.")
    learning_rate: float = key("Step size α.", above=0, max=1)
    learning_rate_schedule: Literal["constant", "linear", "cosine", "inverse"] = key(
        "Constant, to 0 at the end, or α over the visits of the state and action."
    )
    gamma: float = key("Discount factor.", min=0, max=1)
    initial_value: float = key("First value of every state and action; high is optimistic.")


@dataclass(frozen=True)
class ActorReplaySettings:
    """What actor-critic methods with replay have in common."""

    name: str = key("Registry name.")
    learning_rate: float = key("Step size of the optimisers.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    buffer_size: int = key("Transitions that the replay buffer holds.", min=1)
    batch_size: int = key("Transitions in a minibatch.", min=1)
    learning_starts: int = key("Environment steps of uniform actions before updates.", min=0)
    train_freq: int = key("Environment steps between trainings.", min=1)
    gradient_steps: int = key("Updates of the critics in a training.", min=1)
    tau: float = key("Share of the networks in each target update; 1 copies.", above=0, max=1)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")


@dataclass(frozen=True)
class SACSettings(ActorReplaySettings):
    policy_delay: int = key("Updates of the critics for each of actor and temperature.", min=1)
    n_critics: int = key("Critics that learn.", min=1)
    n_target_critics: int = key(
        "Critics, drawn anew for each update, whose least value makes the target.", min=1
    )
    actor_value: Literal["min", "mean"] = key(
        "What the actor maximises of all critics: the least value, or the mean."
    )
    backup_entropy: bool = key("Targets have the entropy of the next action in them.")
    ent_coef: float | Literal["auto"] = key("Temperature α; auto learns it, from 1 on.", min=0)
    target_entropy: float | Literal["auto"] = key(
        "Entropy that α is learned for, of actions within ±1; auto is minus their dimensions."
    )
    target_entropy_share: float = key(
        "What auto takes of log A where actions are Discrete.", min=0, max=1
    )

    @property
    def torch_only(self) -> str:
        """Why NumPy's kernels, of two critics and the least, cannot learn so; or empty."""
        known = {
            "policy_delay": 1,
            "n_critics": 2,
            "n_target_critics": 2,
            "actor_value": "min",
            "backup_entropy": True,
        }
        other = [name for name, value in known.items() if getattr(self, name) != value]
        return f"algo.{other[0]}={show(getattr(self, other[0]))} is torch's" if other else ""

    @staticmethod
    def check(run: Any) -> None:
        """Raises a UserError where keys that are each in range do not fit together."""
        drawn, there = run.algo.n_target_critics, run.algo.n_critics
        if drawn > there:
            raise UserError(
                f"algo.n_target_critics={drawn} must be at most algo.n_critics={there}."
            )


@dataclass(frozen=True)
class TD3Settings(ActorReplaySettings):
    policy_delay: int = key("Updates of the critics for each of actor and targets.", min=1)
    target_noise: float = key("Deviation of the noise on target actions, within ±1.", min=0)
    target_noise_clip: float = key("Where that noise is cut off.", min=0)


@dataclass(frozen=True)
class DDPGSettings(ActorReplaySettings):
    pass


@dataclass(frozen=True)
class BCSettings(PolicySettings):
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or linear to 0 at the end of training.")
    batch_size: int = key("Samples in a minibatch.", min=1)
    loss: Literal["log_prob", "mse"] = key(
        "Minus the log-probability of the actions; or, of a Box, the squared error of the mean."
    )
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    validation_share: float = key("Share of the episodes that is held out.", min=0, below=1)
    validation_every: int = key(
        "Samples between looks at what is held out; 0 is at the end alone.", min=0
    )
    normalize_obs: bool = key("Scale observations by their mean and deviation in the dataset.")
