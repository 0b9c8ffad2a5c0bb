"""The guest's disk: made once for each set of packages, by debootstrap and the project's own set-up in a chroot.

The set-up runs at the host's speed, not at that of computed processors, and the guest needs no network. mke2fs copies
the finished directory into a file system image, so there is no loop device and nothing to unmount.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.files.marked_folder import MARK, MarkedFolder
from scripts.vm.host_settings import HostSettings, builder_environment
from scripts.vm.tree import INGREDIENTS, image_key

Tell = Callable[[str], None]

DISK = "root.img"
"""Its presence says that a folder is an image that was finished."""

SPARE_BYTES = 3 << 30
"""Room in the guest beyond what is installed; the image file has holes there."""
NEEDED_BYTES = 7 << 30
"""Directory and image stand side by side while the image is made."""


@dataclass(frozen=True)
class Image:
    """What QEMU boots."""

    disk: Path
    kernel: Path
    initrd: Path
    is_new: bool = False
    """Made by this call, and not found in the cache."""

    @staticmethod
    def at(directory: Path, *, is_new: bool = False) -> Image:
        return Image(directory / DISK, directory / "vmlinuz", directory / "initrd.img", is_new)


def ensure_image(root: Path, cache: Path, settings: Callable[[], HostSettings], tell: Tell, *, rebuild: bool) -> Image:
    """The image for the checkout at ``root``, from ``cache`` or made now. Others in the cache are removed.

    EnvironmentLacks when there is no room; DidNotHold when a step of making it failed (the log is named).
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = cache / image_key(root)
    with _locked(cache / "lock", tell):
        if wanted.is_dir() and not rebuild:
            tell("taking the guest's image from the cache")
            return Image.at(wanted)
        for old in cache.iterdir():
            if old.is_dir():
                _sweep(old, tell)  # of other packages, or left by somebody who was interrupted
        free = shutil.disk_usage(cache).free
        if free < NEEDED_BYTES:
            message = (
                f"{cache} has {free / 1e9:.1f} GB free; making the guest's image takes {NEEDED_BYTES / 1e9:.1f} GB"
            )
            raise EnvironmentLacks(message)
        with tempfile.TemporaryDirectory(prefix="making-", dir=cache) as folder:
            making = Path(folder)
            MarkedFolder(making).claim()
            _build_root(root, making, settings(), cache / "image.log", tell)
            _extract_kernel(making)
            tell("writing the image")
            _write_image(making, cache / "image.log")
            finished = making / "image"
            finished.rename(wanted)
    return Image.at(wanted, is_new=True)


def _sweep(old: Path, tell: Tell) -> None:
    if any(MarkedFolder(old, mark).is_ours for mark in (DISK, MARK)):
        shutil.rmtree(old)
    else:
        tell(f"leaving {old}, which is no image of QSlice's")


@contextmanager
def _locked(path: Path, tell: Tell) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another call that makes the image")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_root(root: Path, making: Path, settings: HostSettings, log: Path, tell: Tell) -> None:
    tree = making / "tree"
    for name in INGREDIENTS:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, tree / name)
    told = making / "settings"
    told.mkdir(mode=0o700)
    for name, lines in (
        ("sources.list", settings.sources),
        ("apt.conf", settings.apt_options),
        ("directories", tuple(str(path) for path in settings.directories)),
        ("file-directories", tuple(str(path) for path in settings.file_directories)),
    ):
        (told / name).write_text("".join(f"{line}\n" for line in lines))
    target = making / "root"
    target.mkdir(mode=0o755)
    # The namespaces end with the builder, and the builder with us: no mount, no process is left, whatever happens.
    command = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    command += ["bash", str(root / "scripts/vm/build_root.sh"), *map(str, (target, tree)), settings.mirror, str(told)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=builder_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.write(line)
                output.flush()
                if line.startswith(("== ", "qslice: [")):
                    tell(line.removeprefix("== ").partition("s] ")[2].strip() or line.removeprefix("== ").strip())
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    if status != 0:
        setup_log = target / "vagrant/.state/setup.log"
        if setup_log.exists():
            with log.open("a") as output:
                output.write(setup_log.read_text(errors="replace"))
        raise DidNotHold(f"the guest's file system could not be made (exit status {status}); see {log}:\n{_end(log)}")


def _extract_kernel(making: Path) -> None:
    boot, image = making / "root/boot", making / "image"
    image.mkdir()
    for prefix, name in (("vmlinuz-", "vmlinuz"), ("initrd.img-", "initrd.img")):
        shutil.copy2(max(boot.glob(f"{prefix}*")), image / name)


def _write_image(making: Path, log: Path) -> None:
    target, disk = making / "root", making / "image" / DISK
    used = sum(path.lstat().st_blocks * 512 for path in target.rglob("*") if not path.is_mount())
    with disk.open("wb") as file:
        os.truncate(file.fileno(), used * 5 // 4 + SPARE_BYTES)
    command = ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", "qslice", "-d", str(target), str(disk)]
    with log.open("a") as output:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        raise DidNotHold(f"mke2fs failed (exit status {done.returncode}); see {log}:\n{_end(log)}")


def _end(log: Path) -> str:
    return "\n".join("    " + line for line in log.read_text(errors="replace").splitlines()[-15:])
