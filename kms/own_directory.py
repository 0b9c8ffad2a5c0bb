"""A directory held open while secrets are written into it: no link planted by others leads a key elsewhere.

Names are looked up in the open directory, not by path again. A file is written under a random name that must be new
(O_EXCL, which follows no link), and then put in the place of what had its name. A link there is replaced, not followed.
"""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kms.errors import PkiError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 40  # as the kernel follows


@dataclass(frozen=True)
class Owner:
    """Whom new files and directories belong to."""

    uid: int
    gid: int


class OwnDirectory:
    """Use it as a context manager: it closes what it holds."""

    def __init__(self, path: Path, descriptor: int, owner: Owner | None = None) -> None:
        self.path, self._fd, self._owner = path, descriptor, owner

    @classmethod
    def make(cls, path: Path) -> OwnDirectory:
        """One among our own, made where it is missing. OSError where that cannot be."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    @classmethod
    def make_trusted(cls, path: Path, owner: Owner | None) -> OwnDirectory:
        """One that somebody named: PkiError where anybody but root, us and ``owner`` may write to it, or may put
        another into its place. What is missing is made and, like the files, belongs to ``owner``."""
        trusted = {0, os.geteuid(), *(() if owner is None else (owner.uid,))}
        return cls(path, _open_trusted(Path(os.path.abspath(path)), trusted, owner), owner)

    def write(self, name: str, content: bytes, mode: int) -> None:
        """Replace a file as a whole; readers see the old one or the new one."""
        self._put(name, content, mode, os.replace)

    def write_new(self, name: str, content: bytes, mode: int) -> None:
        """Write a file unless there is one. It is there whole or not at all, whoever is killed meanwhile."""

        def link(temporary: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
            with suppress(FileExistsError):
                os.link(temporary, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)
            os.unlink(temporary, dir_fd=src_dir_fd)

        self._put(name, content, mode, link)

    def _put(self, name: str, content: bytes, mode: int, settle: Callable[..., None]) -> None:
        temporary = f".{name}.{secrets.token_hex(8)}"
        handle = os.open(temporary, _NEW_FILE, 0o600, dir_fd=self._fd)
        try:
            with os.fdopen(handle, "wb") as file:
                if self._owner is not None:
                    os.fchown(file.fileno(), self._owner.uid, self._owner.gid)
                os.fchmod(file.fileno(), mode)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            settle(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException as error:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._fd)
            if isinstance(error, OSError):
                error.filename = str(self.path / name)
            raise

    def close(self) -> None:
        os.close(self._fd)

    def __enter__(self) -> OwnDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Replace a file in a directory of our own."""
    with OwnDirectory.make(path.parent) as own:
        own.write(path.name, content, mode)


def _open_trusted(path: Path, trusted: set[int], owner: Owner | None) -> int:
    """Walk from the root, one open directory at a time: what was looked at is what is used."""
    pending, links = list(path.parts[1:]), 0
    at = os.open("/", _DIRECTORY)
    try:
        while pending:
            name = pending.pop(0)
            _make_if_missing(name, at, owner)
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                links += 1
                if found.st_uid not in trusted or links > _MOST_LINKS:
                    raise PkiError(f"{path}: {name} is a link that belongs to {_user(found.st_uid)}")
                target = os.readlink(name, dir_fd=at)
                if target.startswith("/"):
                    at = _step(at, "/")
                pending = [*(part for part in target.split("/") if part), *pending]
                continue
            at = _step(at, name)
            _require_trusted(path, name, os.fstat(at), trusted, is_last=not pending)
    except BaseException:  # Ctrl-C too: nobody else knows of the descriptor
        os.close(at)
        raise
    return at


def _step(at: int, name: str) -> int:
    further = os.open(name, _DIRECTORY, dir_fd=at)
    os.close(at)
    return further


def _make_if_missing(name: str, at: int, owner: Owner | None) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=at)
    except FileExistsError:
        return
    if owner is not None:
        os.chown(name, owner.uid, owner.gid, dir_fd=at, follow_symlinks=False)


def _require_trusted(path: Path, name: str, found: os.stat_result, trusted: set[int], is_last: bool) -> None:
    remedy = "keys are written to a directory that nobody else may write to"
    if found.st_uid not in trusted:
        raise PkiError(f"{path}: {name} belongs to {_user(found.st_uid)}; {remedy}")
    others = found.st_mode & _OTHERS_MAY_WRITE
    if others == stat.S_IWGRP and _is_private_group(found):
        others = 0
    # In a sticky directory (/tmp) others make new names, but cannot replace what is not theirs: the next step looks.
    if others and (is_last or not found.st_mode & stat.S_ISVTX):
        raise PkiError(f"{path}: others may write to {name}; {remedy}")


def _is_private_group(found: os.stat_result) -> bool:
    """Whether the group is the owner's alone, as Debian makes one for each user."""
    try:
        group, user = grp.getgrgid(found.st_gid), pwd.getpwuid(found.st_uid)
    except KeyError:
        return False
    return user.pw_gid == group.gr_gid and group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
