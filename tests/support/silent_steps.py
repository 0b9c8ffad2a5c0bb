"""Steps that nobody watches."""

from __future__ import annotations

from rich.console import Console

from scripts.console.progress import StepList


class SilentSteps(StepList):
    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
