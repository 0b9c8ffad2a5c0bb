"""The guest at work: QEMU with the kernel given directly, no network, and nothing that outlives it."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scripts.errors import DidNotHold, EnvironmentLacks
from scripts.vm.image import Image

QEMU = "qemu-system-x86_64"
PROCESSORS = 2
MEMORY_MB = 4096
RESULTS_BYTES = 256 << 20
LIFE_LIMIT_S = {"kvm": 20.0, "tcg": 300.0}
"""Without a line of the kernel's for so long after its start, the guest does not live."""
BOOT_LIMIT_S = {"kvm": 120.0, "tcg": 1200.0}
"""By then it must have come to its first step. Computed processors on a busy machine take minutes."""
TOTAL_LIMIT_S = {"kvm": 7200.0, "tcg": 43_200.0}
"""The latter for networks of a hundred sites."""
_LOOK_S = 1.0

_KVM_CREATE_VM = 0xAE01
_VIRTUALISATION = re.compile(r"^flags\s*:.*\b(vmx|svm)\b", re.MULTILINE)

OnMessage = Callable[[dict[str, Any]], None]


class BootFailed(DidNotHold):
    """The guest has said nothing; with another accelerator it may."""


@dataclass(frozen=True)
class Guest:
    """One run: which disk, which archives, where its console goes."""

    image: Image
    tree: Path
    results: Path
    console: Path


def has_kvm() -> bool:
    """Whether the processor's virtualisation is to be had: a device file alone does not say so."""
    if not _VIRTUALISATION.search(Path("/proc/cpuinfo").read_text()):
        return False
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.close(fcntl.ioctl(device, _KVM_CREATE_VM, 0))
    except OSError:
        return False
    finally:
        os.close(device)
    return True


def command(guest: Guest, accelerator: str) -> list[str]:
    """QEMU's command line. The disk is not written to: what the guest changes goes with it."""
    # Computed processors get every instruction there is: AES and GCM in hardware are what makes them bearable.
    processor = "host" if accelerator == "kvm" else "max"
    kernel = "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off systemd.show_status=false"
    if accelerator == "tcg":
        # They all count by one clock of QEMU's; the kernel measures them while they stand still, believes that they do
        # not, and would leave the system for each look at the time, which costs three times as much.
        # On a busy machine the clock that the kernel tries first may stand still for as long as it looks at it.
        kernel += " tsc=reliable no_timer_check"
    argv = [QEMU, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"]
    argv += ["-accel", f"{accelerator},thread=multi" if accelerator == "tcg" else accelerator, "-cpu", processor]
    argv += ["-smp", str(PROCESSORS), "-m", str(MEMORY_MB), "-device", "virtio-rng-pci"]
    argv += ["-kernel", str(guest.image.kernel), "-initrd", str(guest.image.initrd), "-append", kernel]
    for name, path, option in (
        ("qslice-root", guest.image.disk, "snapshot=on"),
        ("qslice-tree", guest.tree, "read-only=on"),
        ("qslice-results", guest.results, "cache=unsafe"),
    ):
        argv += ["-drive", f"if=none,id={name},file={_escaped(path)},format=raw,{option}"]
        argv += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
    argv += ["-serial", f"file:{guest.console}", "-serial", "stdio"]
    # If this program is ended by force, the guest ends with it.
    return ["setpriv", "--pdeathsig", "KILL", *argv]


def run_guest(guest: Guest, accelerator: str, on_message: OnMessage) -> None:
    """Boot, hand on what it says, return when it has switched itself off. BootFailed, DidNotHold, EnvironmentLacks."""
    if shutil.which(QEMU) is None:
        raise EnvironmentLacks(f"{QEMU} is missing: apt-get install qemu-system-x86")
    guest.results.unlink(missing_ok=True)
    with guest.results.open("wb") as file:
        os.truncate(file.fileno(), RESULTS_BYTES)
    process = subprocess.Popen(
        command(guest, accelerator),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(guest.results.parent)},  # where QEMU keeps what the guest writes
    )
    said: list[str] = []
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        collector = threading.Thread(target=_collect, args=(process.stderr, said), daemon=True)
        collector.start()
        _follow(process, guest.console, accelerator, on_message)
        status = process.wait(60.0)
        collector.join(5.0)
    except subprocess.TimeoutExpired:
        raise DidNotHold("the guest has not switched itself off") from None
    finally:
        process.kill()
        process.wait()
    if status != 0:
        raise BootFailed(f"QEMU ended with status {status}: {' '.join(said).strip() or 'it said nothing'}")


def _follow(process: subprocess.Popen[bytes], console: Path, accelerator: str, on_message: OnMessage) -> None:
    assert process.stdout is not None
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_enqueue, args=(process.stdout, lines), daemon=True).start()
    started, has_booted = time.monotonic(), False
    while True:
        try:
            line = lines.get(timeout=_LOOK_S)
        except queue.Empty:
            _check_patience(time.monotonic() - started, console, accelerator, has_booted=has_booted)
            continue
        if line is None:
            return
        with suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict):
                has_booted = True
                on_message(message)


def _check_patience(elapsed_s: float, console: Path, accelerator: str, *, has_booted: bool) -> None:
    if elapsed_s > TOTAL_LIMIT_S[accelerator]:
        raise DidNotHold(f"the guest has not finished after {TOTAL_LIMIT_S[accelerator]:.0f} s")
    if has_booted:
        return
    is_alive = console.exists() and console.stat().st_size > 0
    if elapsed_s > BOOT_LIMIT_S[accelerator] or (elapsed_s > LIFE_LIMIT_S[accelerator] and not is_alive):
        raise BootFailed(f"the guest has not come up after {elapsed_s:.0f} s")


def _enqueue(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _collect(stream: IO[bytes], said: list[str]) -> None:
    for line in stream:
        said.append(line.decode(errors="replace").strip())


def _escaped(path: Path) -> str:
    """A comma would end the option (QEMU doubles it)."""
    return str(path).replace(",", ",,")
