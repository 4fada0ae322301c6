"""The algorithms' entries in the registry."""

from __future__ import annotations

from rltrain.settings.off_policy import (
    BCSettings,
    DDPGSettings,
    DQNSettings,
    IQLSettings,
    QLearningSettings,
    SACSettings,
    TD3Settings,
)
from rltrain.settings.on_policy import (
    A2CSettings,
    IPPOSettings,
    PPOSettings,
    PQNSettings,
    REINFORCESettings,
    TRPOSettings,
)
from rltrain.settings.registry import Entry, register

# What encoders turn into numbers; inside Dict and Tuple it may be nested.
EVERY_KIND = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Text", "Dict", "Tuple")

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
