"""Who called sudo: what a command makes for that person belongs to that person."""

from __future__ import annotations

import os


def who_called_sudo() -> tuple[int, int] | None:
    """The ids of user and group; None where root itself, or somebody who is not root, runs the command."""
    uid, gid = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.geteuid() != 0 or not (uid.isdecimal() and gid.isdecimal()) or int(uid) == 0:
        return None
    return int(uid), int(gid)
