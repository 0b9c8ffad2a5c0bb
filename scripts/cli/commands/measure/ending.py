"""How every benchmark ends: its report told, its folder named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripts.bench import common
from scripts.console.output import print_json, print_table, say
from scripts.testbed.paths import REPOSITORY

RESULTS = REPOSITORY / "results" / "bench"


def end(report: dict[str, Any], as_json: bool, folder: Path, failed: bool) -> int:
    if as_json:
        print_json(report)
    else:
        print_table(f"bench {report['bench']}", *common.table(report["figures"]))
        for note in report["notes"]:
            say(f"- {note}")
        say(f"results: {folder}")
    return 1 if failed else 0
