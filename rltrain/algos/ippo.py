"""Independent PPO (de Witt et al. 2020, arXiv 2011.09533).

The equations are PPO's: each agent's actor and critic see its own observations only, and
learn from its own rewards. In the paper all agents share parameters: share_parameters=true.
"""

from __future__ import annotations

from rltrain.algos.independent import Independent
from rltrain.algos.ppo import PPO


class IPPO(Independent):
    """PPO for every agent, or one for all."""

    kind = PPO
