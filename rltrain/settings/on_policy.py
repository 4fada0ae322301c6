"""Settings of methods that learn from rollouts of their own policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rltrain.settings.schema import Schedule, key


@dataclass(frozen=True)
class PolicySettings:
    """What policies that are sampled from have in common."""

    name: str = key("Registry name.")
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")
    log_std_init: float = key("First log σ of a continuous policy.", min=-20, max=2)
    scale_actions: bool = key(
        "Act in a box of ±1 that is scaled to finite bounds of a Box; false acts in its units."
    )


@dataclass(frozen=True)
class OnPolicySettings(PolicySettings):
    """What methods that learn from rollouts judged by a critic have in common."""

    n_steps: int = key("Steps of each environment in a rollout.", min=1)
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    gae_lambda: float = key("λ of generalised advantage estimation.", min=0, max=1)
    normalize_reward: bool = key("Scale rewards by the running deviation of returns.")


@dataclass(frozen=True)
class PPOSettings(OnPolicySettings):
    batch_size: int = key("Samples in a minibatch.", min=1)
    n_epochs: int = key("Passes over each rollout.", min=1)
    objective: Literal["clip", "kl_penalty"] = key(
        "What holds a step back: clipping, or a penalty."
    )
    clip_range: float = key("ε of the clipped surrogate objective.", above=0)
    clip_range_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    clip_range_vf: float | None = key(
        "The value stays this close to the old one; null: free.", above=0
    )
    kl_coef: float = key("First β of the KL penalty.", above=0)
    kl_coef_target: float | None = key(
        "KL of an update that β is doubled or halved for; null keeps β.", above=0
    )
    vf_coef: float = key("Weight of the value loss.", min=0)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_advantage: bool = key("Normalise advantages in each minibatch.")
    target_kl: float | None = key("Stop a rollout's epochs past 1.5 times this KL.", above=0)


@dataclass(frozen=True)
class IPPOSettings(PPOSettings):
    share_parameters: bool = key("One learner for all agents, which must have equal spaces.")
    agent_id: bool = key("Append to observations who acts (one-hot), where one learner is shared.")


@dataclass(frozen=True)
class A2CSettings(OnPolicySettings):
    vf_coef: float = key("Weight of the value loss.", min=0)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_advantage: bool = key("Normalise the advantages of each rollout.")


@dataclass(frozen=True)
class REINFORCESettings(PolicySettings):
    n_steps: int = key("Steps of each environment between looks for finished episodes.", min=1)
    n_episodes: int = key("Finished episodes that an update waits for.", min=1)
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    baseline: bool = key("Learn V(s) and subtract it from returns; false has no critic.")
    normalize_returns: Literal["none", "center", "standardize"] = key(
        "What an update's returns less the baseline are freed of: mean, or mean and deviation."
    )
    vf_coef: float = key("Weight of the baseline's loss.", min=0)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)


@dataclass(frozen=True)
class TRPOSettings(OnPolicySettings):
    normalize_advantage: bool = key("Normalise the advantages of each rollout.")
    target_kl: float = key("δ: the mean KL that a step may not exceed.", above=0)
    cg_max_steps: int = key("Iterations of conjugate gradient.", min=1)
    cg_damping: float = key("Added to the diagonal of the Fisher matrix.", min=0)
    line_search_max_iter: int = key("Steps that are tried before the policy stays.", min=1)
    line_search_shrink: float = key(
        "Length of a tried step, in that of the one before.", above=0, below=1
    )
    n_critic_updates: int = key("Passes of the critic over each rollout.", min=1)
    batch_size: int = key("Samples in a minibatch of the critic.", min=1)


@dataclass(frozen=True)
class PQNSettings:
    name: str = key("Registry name.")
    n_steps: int = key("Steps of each environment in a rollout.", min=1)
    batch_size: int = key("Samples in a minibatch.", min=1)
    n_epochs: int = key("Passes over each rollout.", min=1)
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    q_lambda: float = key("λ of the returns: 0 is one step, 1 all of the rollout.", min=0, max=1)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")
