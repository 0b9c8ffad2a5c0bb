"""``bench paths --profiles``: the cost profiles beside each other under a random load, without a network."""

from __future__ import annotations

from pathlib import Path

from scripts.bench import common
from scripts.bench.pce import acceptance
from scripts.configuration.values import Configuration
from scripts.console.output import print_json, print_table, say
from scripts.console.progress import Progress
from scripts.files.results import write_result
from scripts.report.provenance import provenance


def compare_profiles(configuration: Configuration, seeds: int, folder: Path, *, as_json: bool) -> int:
    """A table, ``profiles.json`` and ``profiles.csv`` in ``folder``."""
    effort = acceptance.Effort(seeds=seeds)
    with Progress("bench paths") as progress:
        found = acceptance.compare(effort, progress.say)
    made = acceptance.figures(found)
    report = common.report("paths", made, acceptance.NOTES)
    report["provenance"] = provenance(configuration).to_dict()
    common.write_json(folder / "profiles.json", report)
    write_result(folder / "profiles.csv", acceptance.as_csv(found))
    if as_json:
        print_json(report)
        return 0
    print_table("Slices accepted", acceptance.COLUMNS, acceptance.rows(made, effort))
    for note in report["notes"]:
        say(f"- {note}")
    say(f"results: {folder}")
    return 0
