"""What was chosen for speed, and why: `grep performance run.log`."""

from __future__ import annotations

import logging

logger = logging.getLogger("rltrain")


class Performance:
    """Gathers the choices by name; each is a line of the log when it is made."""

    def __init__(self) -> None:
        self.choices: dict[str, str | int] = {}

    def chose(self, name: str, choice: str | int, why: str) -> None:
        self.choices[name] = choice
        logger.info("performance: %s %s (%s)", name, choice, why)
