"""Independent Q-learning (Tan 1993) with deep Q-networks (Tampuu et al. 2015, arXiv 1511.08779).

The equations are DQN's: each agent moves its Q(o, a) towards r + γ max_a' Q⁻(o', a') of its
own observations, actions and rewards, as if it were alone.
"""

from __future__ import annotations

from rltrain.algos.dqn import DQN
from rltrain.algos.independent import Independent


class IQL(Independent):
    """DQN for every agent, or one for all."""

    kind = DQN
    in_environment_steps = ("learning_starts", "train_freq", "target_update_interval")
