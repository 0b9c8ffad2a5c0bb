"""`qslice test --vm`: make or take the guest's image, run the guest, say what was proved.

Exit status: 0 everything held, 1 something did not, 2 the request was wrong, 3 this machine lacks something.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.console.output import tell_early_end
from scripts.console.progress import Progress
from scripts.console.streams import INTERRUPTED
from scripts.errors import CommandError, WrongRequest
from scripts.files.marked_folder import MarkedFolder, NotOurs
from scripts.files.results import give_to_caller, make_results_folder, write_result
from scripts.testbed.interrupts import end_on_signals
from scripts.testbed.paths import REPOSITORY
from scripts.vm.host_settings import read_host_settings
from scripts.vm.image import Image, ensure_image
from scripts.vm.qemu import BootFailed, Guest, has_kvm, run_guest
from scripts.vm.report import GuestReport, as_text, read_results
from scripts.vm.tree import pack

PATIENCE = {"kvm": 3, "tcg": 20}
"""How many times as long as on a machine of their own the tests may wait; more where the guest finds itself slower."""
SLOWNESS = {"kvm": 1, "tcg": 10}
"""How many times thinner the demo's loads are, and longer its limits of time; the same holds."""

SITES: dict[str, tuple[int, ...]] = {"kvm": (5, 48), "tcg": ()}
"""Networks of `bench scale` where nobody asks for others: computed processors take an hour or more for these."""


def show_guest(progress: Progress, message: dict[str, Any]) -> None:
    """Show a line of the guest's: what it begins and has ended stays."""
    step, state = message.get("step"), message.get("state")
    if state == "started":
        progress.note(f"guest: {step}")
    elif state == "running":
        progress.say(f"guest: {step}: {message.get('line')}")
    elif state == "ended":
        status = f", exit status {message['status']}" if message.get("status") else ""
        progress.note(f"guest: {step} done after {message.get('seconds', 0):.0f} s{status}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="qslice test --vm",
        description="The tests that want a whole Debian 12 kernel, in a guest; other arguments go to pytest there.",
        allow_abbrev=False,
    )
    made.add_argument("--json", action="store_true", help="one JSON document on standard output")
    made.add_argument("--rebuild", action="store_true", help="make the guest's image anew")
    made.add_argument("--no-demo", action="store_true", help="without the demo")
    made.add_argument(
        "--sites", type=int, nargs="*", metavar="N",
        help="sizes of the networks of `bench scale`, none to leave it out (default: 5 48 with kvm, none with tcg)",
    )  # fmt: skip
    made.add_argument(
        "--out", type=Path, default=REPOSITORY / "results/vm", metavar="DIR", help="results and logs (%(default)s)"
    )
    made.add_argument("--accel", choices=("kvm", "tcg"), help="default: kvm where it works, else tcg")
    return made


def run(options: argparse.Namespace, pytest_arguments: Sequence[str], progress: Progress) -> GuestReport:
    """Raises CommandError."""
    _empty_results(options.out)  # before the image, which takes minutes
    cache = REPOSITORY / ".state/vm"
    image = ensure_image(
        REPOSITORY, cache, lambda: read_host_settings(os.environ), progress.note, rebuild=options.rebuild
    )
    seconds = {"image": round(progress.elapsed_s, 1)} if image.is_new else {}
    with tempfile.TemporaryDirectory(prefix="run-", dir=_scratch(cache)) as folder:
        accelerator = _run_guest(options, pytest_arguments, image, Path(folder), progress)
        _unpack(Path(folder, "results.tar"), options.out)
    seconds["total"] = round(progress.elapsed_s, 1)
    return read_results(options.out, accelerator, seconds)


def _empty_results(out: Path) -> None:
    """What an earlier call left in ``out``; WrongRequest where somebody else's things are."""
    make_results_folder("--out", out)
    try:
        MarkedFolder(out).empty()
    except NotOurs as error:
        raise WrongRequest(f"--out: {error}") from error
    except OSError as error:
        raise WrongRequest(f"--out: cannot write to {out}: {error.strerror}") from error


def _scratch(cache: Path) -> Path:
    """Apart from the images, which a later call sweeps."""
    scratch = cache.with_name("vm-runs")
    scratch.mkdir(mode=0o700, exist_ok=True)
    return scratch


def _run_guest(
    options: argparse.Namespace, pytest_arguments: Sequence[str], image: Image, folder: Path, progress: Progress
) -> str:
    """The accelerator that it took."""
    job = {"demo": not options.no_demo, "pytest_arguments": list(pytest_arguments)}
    guest = Guest(image, folder / "tree.tar", folder / "results.tar", options.out / "console.log")
    wanted = [options.accel] if options.accel else ["kvm", "tcg"] if has_kvm() else ["tcg"]
    for accelerator in wanted:
        sites = list(SITES[accelerator]) if options.sites is None else options.sites
        settings = {"patience": PATIENCE[accelerator], "slowness": SLOWNESS[accelerator], "sites": sites}
        pack(REPOSITORY, guest.tree, {**job, **settings})
        progress.note(f"booting the guest ({accelerator}); its console: {guest.console}")
        try:
            run_guest(guest, accelerator, lambda message: show_guest(progress, message))
        except BootFailed as error:
            if accelerator == wanted[-1]:
                raise
            progress.note(f"not with {accelerator}: {error}")
        else:
            break
    return accelerator


def _unpack(archive: Path, out: Path) -> None:
    """Whatever the guest left; an empty device when it did not come so far."""
    try:
        with tarfile.open(archive) as tar:
            # The guest is ours, but its archive is read as anybody's: files and directories inside, nothing else.
            entries = [e for e in tar.getmembers() if (e.isfile() or e.isdir()) and ".." not in Path(e.name).parts]
            tar.extractall(out, members=[e for e in entries if not e.name.startswith("/")])  # noqa: S202
    except tarfile.TarError as error:
        print(f"qslice: the guest left no results: {error}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    options, pytest_arguments = parser().parse_known_args(argv)
    end_on_signals()
    try:
        with Progress("test --vm") as progress:
            report = run(options, pytest_arguments, progress)
    except CommandError as error:
        return tell_early_end("qslice", str(error), error.exit_status, options.json)
    except KeyboardInterrupt:
        return tell_early_end("qslice", "interrupted; the guest is gone", INTERRUPTED)
    write_result(options.out / "report.json", json.dumps(report.to_dict(), indent=2) + "\n")
    text = as_text(report)
    write_result(options.out / "report.txt", text + "\n")
    give_to_caller(options.out)
    print(json.dumps(report.to_dict(), indent=2) if options.json else text)
    print(f"qslice: logs and results: {options.out}", file=sys.stderr)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
