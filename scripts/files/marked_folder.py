"""Folders that QSlice empties or removes: only those that bear its own mark, whatever name somebody gave."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import EnvironmentLacks

MARK = ".made-by-qslice"


class NotOurs(EnvironmentLacks):
    """The folder holds what QSlice did not put there."""


@dataclass(frozen=True)
class MarkedFolder:
    """A folder whose content may be thrown away when a file named ``mark`` stands in it."""

    path: Path
    mark: str = MARK

    @property
    def is_ours(self) -> bool:
        """Whether it bears the mark: a regular file, not a link that somebody made to one."""
        mark = self.path / self.mark
        return mark.is_file() and not mark.is_symlink()

    def claim(self) -> None:
        """Make the folder, or take an empty one, and mark it. NotOurs where other things are in it.

        OSError when it cannot be made or read.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_ours:
            return
        found = next(self.path.iterdir(), None)
        if found is not None:
            raise NotOurs(
                f"{self.path} holds things that QSlice did not make ({found.name}) and is left as it is: "
                "name an empty or a new folder, or move them away"
            )
        (self.path / self.mark).touch()

    def empty(self) -> None:
        """Claim it and remove everything but the mark. A link is removed, not what it leads to."""
        self.claim()
        for entry in list(self.path.iterdir()):
            if entry.name == self.mark:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def remove(self) -> None:
        """Remove the folder, the mark last, so that an interrupted removal is taken up again. NotOurs: not marked."""
        self.empty()
        shutil.rmtree(self.path)
