"""What every peer's script reports, in the same way; imported before anything heavy.

Work is counted by hooks at the outside of a peer: its environments' step, and torch's own
hook behind every optimiser step. None of them costs more than a call.
"""

import json
import resource
import sys
import time
from collections import deque


def arguments():
    """The work, as JSON in the first argument."""
    return json.loads(sys.argv[1])


class Unable(Exception):
    """A peer has no way to do a row; the text says why."""


class Solved(BaseException):
    """Ends a training loop that has no way out of its own, and is nobody's error."""


class Report:
    """Moments on the system's monotonic clock, which the parent reads too."""

    def __init__(self, work):
        self.work = work
        self.began = None
        self.first_update = None
        self.ended = None
        self.steps = 0
        self.batch_size = None
        self.returns = deque(maxlen=100)
        self.after_update = None  # called with the number of optimiser steps so far
        self._optimizers = {}  # how many numbers each moves, and how often it did
        self._seen = None

    def first_step(self):
        self.began = self.began or time.monotonic()

    @property
    def parameters(self):
        return sum(size for size, _ in self._optimizers.values())

    @property
    def updates(self):
        """Optimiser steps; where there are several optimisers, of the one that moves most."""
        return max(self._optimizers.values(), default=(0, 0))[1]

    def watch_optimizers(self):
        """Counts optimiser steps of the whole process, and what they move."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(self._updated)

    def _updated(self, optimizer, *_):
        self.ended = time.monotonic()
        first = not self._optimizers
        if optimizer not in self._optimizers:
            groups = optimizer.param_groups
            size = sum(p.numel() for g in groups for p in g["params"])
            self._optimizers[optimizer] = (size, 0)
        size, steps = self._optimizers[optimizer]
        self._optimizers[optimizer] = (size, steps + 1)
        if first:
            self.first_update = self.ended
            self._look_at_batches()
        elif self._seen is not None:
            self._handle.remove()
            self.batch_size, self._seen = self._seen, None
        if self.after_update is not None:
            self.after_update(self.updates)

    def _look_at_batches(self):
        """Takes the rows of the last matrix that a layer sees before the second step."""
        from torch import nn

        def look(module, inputs):
            if isinstance(module, nn.Linear):
                self._seen = inputs[0].shape[:-1].numel()

        self._handle = nn.modules.module.register_module_forward_pre_hook(look)

    def watch_steps(self, vector_env, number, name="step"):
        """Counts `number(env)` environment steps for each call of a vector environment's step."""
        original = getattr(vector_env, name)

        def step(env, *args, **kwargs):
            self.began = self.began or time.monotonic()
            self.steps += number(env)
            return original(env, *args, **kwargs)

        setattr(vector_env, name, step)

    def watch_returns(self, wrapper):
        """Lets every RecordEpisodeStatistics in the process append to the same queue."""
        original = wrapper.__init__

        def init(env, *args, **kwargs):
            original(env, *args, **kwargs)
            env.return_queue = self.returns

        wrapper.__init__ = init

    def write(self, **figures):
        self_, children = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
        returns = [float(r) for r in self.returns]
        ended = self.ended or time.monotonic()
        found = {
            "steps": self.steps,
            "updates": self.updates,
            "batch_size": self.batch_size or self.work.get("batch_size"),
            "parameters": self.parameters,
            "mean_return": sum(returns) / len(returns) if returns else None,
            "began": self.began,
            "first_update": self.first_update,
            "ended": ended,
            "seconds": ended - self.began,
            "peak_mib": resource.getrusage(self_).ru_maxrss / 1024,
            "children_peak_mib": resource.getrusage(children).ru_maxrss / 1024,
        }
        print("REPORT " + json.dumps(found | figures), flush=True)


def run(train):
    """Runs `train(work, report)`; what a peer cannot do is a report too."""
    work = arguments()
    report = Report(work)
    try:
        figures = train(work, report) or {}
    except Unable as error:
        print("REPORT " + json.dumps({"reason": str(error)}), flush=True)
    else:
        report.write(**figures)
