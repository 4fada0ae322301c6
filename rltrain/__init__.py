"""rltrain: reinforcement learning from one line in a shell."""

__version__ = "0.1.0"
