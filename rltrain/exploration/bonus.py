"""Exploration by what is learned, not by what is done."""

from __future__ import annotations

from rltrain.exploration.base import Exploration, level
from rltrain.settings.explorations import EntropySettings


class Entropy(Exploration):
    """A policy gradient method's loss gains −c_H E[H(π)] (Williams & Peng 1991)."""

    settings: EntropySettings

    def __init__(self, settings: EntropySettings) -> None:
        super().__init__(settings)
        self.ent_coef = settings.ent_coef

    def advance(self, fraction: float) -> dict[str, float]:
        s = self.settings
        self.ent_coef = level(s, s.ent_coef, s.final_ent_coef, fraction)
        return {"train/ent_coef": self.ent_coef}
