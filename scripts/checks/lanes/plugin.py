"""pytest's loop in a lane: the tests that were collected are all lanes', and each runs the bundles that it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.checks.lanes.bundles import Claims, Kind, bundles, shared

OUTER = "outer_machine"
COUNTS = "counts_packets"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("lanes")
    group.addoption("--lane-claims", type=Path, required=True, help="the folder in which all lanes claim bundles")
    group.addoption("--lane-of-outer-machine", action="store_true", help="this lane runs on the outer machine")
    group.addoption("--lane-file-names", action="append", metavar="WORD", help="read only files that have such a word")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests are marked in their own files, in words (tests/conftest.py sees to it): others need not be loaded."""
    words = config.option.lane_file_names
    if not words or collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    return None if any(word in text for word in words) else True


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    options = session.config.option
    if options.collectonly or (session.testsfailed and not options.continue_on_collection_errors):
        return None  # pytest's own loop says what is to be said
    tests = [_kind(item) for item in session.items]
    mine = shared(bundles(tests), on_outer_machine=options.lane_of_outer_machine, take=Claims(options.lane_claims).take)
    for bundle in mine:
        items = [session.items[place] for place in bundle.tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            # Behind a bundle's last test its module is torn down: who runs the next bundle is not known yet.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
    return True


def _kind(item: pytest.Item) -> Kind:
    return Kind(
        item.nodeid.partition("::")[0],
        on_outer_machine=item.get_closest_marker(OUTER) is not None,
        counts_packets=item.get_closest_marker(COUNTS) is not None,
    )
