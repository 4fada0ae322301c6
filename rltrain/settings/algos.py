"""Settings of the algorithms, and their entries in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key

Schedule = Literal["constant", "linear"]


@dataclass(frozen=True)
class PPOSettings:
    name: str = key("Registry name.")
    n_steps: int = key("Steps of each environment in a rollout.", min=1)
    batch_size: int = key("Samples in a minibatch.", min=1)
    n_epochs: int = key("Passes over each rollout.", min=1)
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or linear to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    gae_lambda: float = key("λ of generalised advantage estimation.", min=0, max=1)
    clip_range: float = key("ε of the clipped surrogate objective.", above=0)
    clip_range_schedule: Schedule = key("Constant, or linear to 0 at the end of training.")
    ent_coef: float = key("Weight of the entropy bonus.", min=0)
    vf_coef: float = key("Weight of the value loss.", min=0)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_advantage: bool = key("Normalise advantages in each minibatch.")
    target_kl: float | None = key("Stop a rollout's epochs past 1.5 times this KL.", above=0)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")
    normalize_reward: bool = key("Scale rewards by the running deviation of returns.")
    log_std_init: float = key("First log σ of a continuous policy.", min=-20, max=2)


@dataclass(frozen=True)
class DQNSettings:
    name: str = key("Registry name.")
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or linear to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    buffer_size: int = key("Transitions that the replay buffer holds.", min=1)
    batch_size: int = key("Transitions in a minibatch.", min=1)
    learning_starts: int = key("Environment steps before the first update.", min=0)
    train_freq: int = key("Environment steps between trainings.", min=1)
    gradient_steps: int = key("Updates in a training.", min=1)
    target_update_interval: int = key("Environment steps between target updates.", min=1)
    tau: float = key("Share of the online network in a target update; 1 copies.", above=0, max=1)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")


@dataclass(frozen=True)
class QLearningSettings:
    name: str = key("Registry name.")
    learning_rate: float = key("Step size α.", above=0, max=1)
    learning_rate_schedule: Schedule = key("Constant, or linear to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    initial_value: float = key("First value of every state and action; high is optimistic.")


@dataclass(frozen=True)
class IQLSettings(DQNSettings):
    share_parameters: bool = key("One learner for all agents, which must have equal spaces.")
    agent_id: bool = key("Append to observations who acts (one-hot), where one learner is shared.")


@dataclass(frozen=True)
class IPPOSettings(PPOSettings):
    share_parameters: bool = key("One learner for all agents, which must have equal spaces.")
    agent_id: bool = key("Append to observations who acts (one-hot), where one learner is shared.")


register(
    Entry(
        group="algo",
        name="ppo",
        settings=PPOSettings,
        target="rltrain.algos.ppo:PPO",
        doc="Proximal policy optimisation (Schulman et al. 2017)",
        observations=("Box", "Discrete"),
        actions=("Box", "Discrete"),
    )
)
register(
    Entry(
        group="algo",
        name="dqn",
        settings=DQNSettings,
        target="rltrain.algos.dqn:DQN",
        explorations=("epsilon_greedy", "boltzmann"),
        doc="Deep Q-network with replay and a target network (Mnih et al. 2015)",
        observations=("Box", "Discrete"),
        actions=("Discrete",),
    )
)
register(
    Entry(
        group="algo",
        name="q_learning",
        settings=QLearningSettings,
        target="rltrain.algos.q_learning:QLearning",
        explorations=("epsilon_greedy", "boltzmann"),
        doc="Tabular Q-learning (Watkins 1989)",
        observations=("Discrete",),
        actions=("Discrete",),
        networks=False,
    )
)
register(
    Entry(
        group="algo",
        name="iql",
        settings=IQLSettings,
        target="rltrain.algos.iql:IQL",
        doc="Independent deep Q-networks (Tampuu et al. 2015)",
        observations=("Box", "Discrete"),
        actions=("Discrete",),
        explorations=("epsilon_greedy", "boltzmann"),
        multi_agent=True,
    )
)
register(
    Entry(
        group="algo",
        name="ippo",
        settings=IPPOSettings,
        target="rltrain.algos.ippo:IPPO",
        doc="Independent PPO (de Witt et al. 2020)",
        observations=("Box", "Discrete"),
        actions=("Box", "Discrete"),
        multi_agent=True,
    )
)
