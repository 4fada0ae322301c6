"""TD3's learner in NumPy, its gradients worked out by hand.

Legend: N transitions of a minibatch, D numbers of an observation, A action dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from rltrain.fast.continuous import NumpyActor, NumpyCritics, check, halves, layers_of
from rltrain.fast.mlp import BufferedMLP, Floats, flatten
from rltrain.fast.pair import Pair
from rltrain.functional.td import one_step_target
from rltrain.networks.critics import Critics
from rltrain.settings.off_policy import TD3Settings


class NumpyTD3Learner:
    """`rltrain.algos.td3.TD3Learner`."""

    def __init__(
        self,
        actor: nn.Module,
        target_actor: nn.Module,
        critics: Critics,
        targets: Critics,
        actor_optimizer: torch.optim.Optimizer,
        critic_optimizer: torch.optim.Optimizer,
        settings: TD3Settings,
        threads: int = 1,
    ) -> None:
        self.settings = settings
        self.actor = NumpyActor(actor, actor_optimizer)
        self.critics = NumpyCritics(critics, targets, critic_optimizer, settings.tau)
        self.flat_target_actor = flatten(target_actor)
        layers = layers_of(target_actor)
        self.target_actor = [BufferedMLP(layers, self.flat_target_actor) for _ in range(2)]
        # The first critic again, for each half of the minibatch.
        first = layers_of(critics.members[0])
        self.judges = [BufferedMLP(first, self.critics.flat) for _ in range(2)]
        self.both = Pair(threads)

    def begin(self) -> None:
        self.actor.optimizer.bind()
        self.critics.optimizer.bind()

    def evaluate(
        self,
        x: Floats,
        action: Floats,
        reward: Floats,
        terminated: Floats,
        successor: Floats,
        noise: Floats,
    ) -> tuple[float, float]:
        s, n, d, critics = self.settings, len(x), x.shape[1], self.critics
        rows = halves(n)
        taken = np.concatenate([x, action], 1)
        following = np.empty_like(taken)
        following[:, :d] = successor
        smoothing = s.target_noise * noise
        smoothing = np.minimum(np.maximum(smoothing, -s.target_noise_clip), s.target_noise_clip)
        values: list[Any] = [None, None]
        next_values: list[Any] = [None, None]

        def act(k: int) -> None:
            r = rows[k]
            proposed = np.tanh(self.target_actor[k].forward(successor[r]))
            proposed += smoothing[r]
            following[r, d:] = np.minimum(np.maximum(proposed, -1), 1)

        def look(k: int) -> None:
            next_values[k] = critics.target_value(k, following)
            values[k] = critics.value(k, taken)

        self.both(act)
        self.both(look)
        target = one_step_target(reward, terminated, np.minimum(*next_values), s.gamma)
        errors = [value - target for value in values]
        loss = 0.5 * sum(float(e.dot(e)) for e in errors) / n
        check(loss, "train/critic_loss")
        mean = float(np.add.reduce(values[0])) / n
        critics.optimizer.count += 1
        self.both(lambda k: critics.step(k, errors[k] / n))
        return loss, mean

    def improve(self, x: Floats) -> float:
        n, d = len(x), x.shape[1]
        rows, sums = halves(n), [0.0, 0.0]
        actor = self.actor
        gradients: list[Any] = [None, None]

        def judge(k: int) -> None:
            own = x[rows[k]]
            action = np.tanh(actor.learning[k].forward(own))
            value = self.judges[k].forward(np.concatenate([own, action], 1))
            sums[k] = float(np.add.reduce(value[:, 0]))
            scale = np.full((len(own), 1), -1 / n, np.float32)
            by_action = self.judges[k].input_gradient(scale, d)
            gradients[k] = by_action * (1 - np.square(action))

        self.both(judge)
        loss = -sum(sums) / n
        check(loss, "train/actor_loss")
        self.both(lambda k: actor.learning[k].backward(gradients[k]))
        self.both(actor.add)
        actor.optimizer.check(slice(None), "train/actor_loss")
        actor.optimizer.count += 1

        def move(k: int) -> None:
            actor.move(k)
            self.critics.follow(k)
            part = actor.parts[k]
            slow = self.flat_target_actor.values[part]
            slow += self.settings.tau * (actor.flat.values[part] - slow)

        self.both(move)
        return loss
