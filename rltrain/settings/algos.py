"""Settings of the algorithms, and their entries in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rltrain.core.errors import UserError
from rltrain.settings.registry import Entry, register
from rltrain.settings.schema import key

# What encoders turn into numbers; inside Dict and Tuple it may be nested.
EVERY_KIND = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Text", "Dict", "Tuple")
Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class OnPolicySettings:
    """What methods that learn from rollouts judged by a critic have in common."""

    name: str = key("Registry name.")
    n_steps: int = key("Steps of each environment in a rollout.", min=1)
    learning_rate: float = key("Step size of the optimiser.", above=0)
    learning_rate_schedule: Schedule = key("Constant, or to 0 at the end of training.")
    gamma: float = key("Discount factor.", min=0, max=1)
    gae_lambda: float = key("λ of generalised advantage estimation.", min=0, max=1)
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")
    normalize_reward: bool = key("Scale rewards by the running deviation of returns.")
    log_std_init: float = key("First log σ of a continuous policy.", min=-20, max=2)


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
class A2CSettings(OnPolicySettings):
    vf_coef: float = key("Weight of the value loss.", min=0)
    max_grad_norm: float = key("Gradients are scaled down to this norm.", above=0)
    normalize_advantage: bool = key("Normalise the advantages of each rollout.")


@dataclass(frozen=True)
class REINFORCESettings:
    name: str = key("Registry name.")
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
    normalize_obs: bool = key("Scale observations by their running mean and deviation.")
    log_std_init: float = key("First log σ of a continuous policy.", min=-20, max=2)


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
class BCSettings:
    name: str = key("Registry name.")
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
    log_std_init: float = key("First log σ of a continuous policy.", min=-20, max=2)


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
    ent_coef: float | Literal["auto"] = key("Temperature α; auto learns it, from 1 on.", min=0)
    target_entropy: float | Literal["auto"] = key(
        "Entropy that α is learned for, of actions within ±1; auto is minus their dimensions."
    )
    target_entropy_share: float = key(
        "What auto takes of log A where actions are Discrete.", min=0, max=1
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
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
        shares=True,
        recurrent=True,
        explorations=("none", "entropy"),
    )
)
register(
    Entry(
        group="algo",
        name="a2c",
        settings=A2CSettings,
        target="rltrain.algos.a2c:A2C",
        doc="Advantage actor-critic (Mnih et al. 2016)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
        shares=True,
        recurrent=True,
        explorations=("none", "entropy"),
    )
)
register(
    Entry(
        group="algo",
        name="reinforce",
        settings=REINFORCESettings,
        target="rltrain.algos.reinforce:REINFORCE",
        doc="Monte-Carlo policy gradient, with or without a baseline (Williams 1992)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
        explorations=("none", "entropy"),
        shares=True,
    )
)
register(
    Entry(
        group="algo",
        name="trpo",
        settings=TRPOSettings,
        target="rltrain.algos.trpo:TRPO",
        doc="Trust region policy optimisation (Schulman et al. 2015)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
    )
)
register(
    Entry(
        group="algo",
        name="bc",
        settings=BCSettings,
        target="rltrain.algos.bc:BC",
        doc="Behaviour cloning of a dataset (Pomerleau 1989)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
        data="only",
    )
)
register(
    Entry(
        group="algo",
        name="dqn",
        settings=DQNSettings,
        target="rltrain.algos.dqn:DQN",
        explorations=("epsilon_greedy", "boltzmann", "noisy"),
        doc="Deep Q-network with replay and a target network (Mnih et al. 2015)",
        observations=EVERY_KIND,
        actions=("Discrete",),
        recurrent=True,
        data="beside",
    )
)
register(
    Entry(
        group="algo",
        name="pqn",
        settings=PQNSettings,
        target="rltrain.algos.pqn:PQN",
        doc="Parallelised Q-network: no replay, no target network (Gallici et al. 2024)",
        observations=EVERY_KIND,
        actions=("Discrete",),
        explorations=("epsilon_greedy", "boltzmann"),
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
        name="sac",
        settings=SACSettings,
        target="rltrain.algos.sac:SAC",
        doc="Soft actor-critic with a learned temperature (Haarnoja et al. 2018)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete"),
        data="beside",
    )
)
register(
    Entry(
        group="algo",
        name="td3",
        settings=TD3Settings,
        target="rltrain.algos.td3:TD3",
        doc="Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018)",
        observations=EVERY_KIND,
        actions=("Box",),
        explorations=("gaussian", "ornstein_uhlenbeck"),
        data="beside",
    )
)
register(
    Entry(
        group="algo",
        name="ddpg",
        settings=DDPGSettings,
        target="rltrain.algos.ddpg:DDPG",
        doc="Deep deterministic policy gradient (Lillicrap et al. 2016)",
        observations=EVERY_KIND,
        actions=("Box",),
        explorations=("gaussian", "ornstein_uhlenbeck"),
        data="beside",
    )
)
register(
    Entry(
        group="algo",
        name="iql",
        settings=IQLSettings,
        target="rltrain.algos.iql:IQL",
        doc="Independent deep Q-networks (Tampuu et al. 2015)",
        observations=EVERY_KIND,
        actions=("Discrete",),
        explorations=("epsilon_greedy", "boltzmann"),
        multi_agent=True,
        recurrent=True,
    )
)
register(
    Entry(
        group="algo",
        name="ippo",
        settings=IPPOSettings,
        target="rltrain.algos.ippo:IPPO",
        doc="Independent PPO (de Witt et al. 2020)",
        observations=EVERY_KIND,
        actions=("Box", "Discrete", "MultiDiscrete", "MultiBinary"),
        multi_agent=True,
        shares=True,
        recurrent=True,
        explorations=("none", "entropy"),
    )
)
