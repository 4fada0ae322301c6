"""What every peer's script reports, in the same way; imported before anything heavy."""

import json
import resource
import sys
import time


def arguments():
    """The work, as JSON in the first argument."""
    return json.loads(sys.argv[1])


class Report:
    """Moments on the system's monotonic clock, which the parent reads too."""

    def __init__(self):
        self.began = None
        self.updates = 0

    def first_step(self):
        self.began = time.monotonic()

    def count_updates(self, optimizer):
        def count(*_):
            self.updates += 1

        optimizer.register_step_post_hook(count)

    def write(self, **figures):
        ended = time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures |= {
            "updates": self.updates,
            "seconds": ended - self.began,
            "peak_mib": peak,
            "ended": ended,
        }
        print("REPORT " + json.dumps(figures), flush=True)
