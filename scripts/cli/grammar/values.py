"""Values of arguments that have limits of their own; argparse tells whoever gave another."""

from __future__ import annotations

import argparse
import re

MAX_SLOWNESS = 100.0
LONGEST = 60
_RANGE = re.compile(r"(\d{1,9})(?:\.\.(\d{1,9}))?")


def count(text: str) -> int:
    """A whole number from 1."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number") from None


def number(text: str) -> float:
    """A number that is finite."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number")
    return value


def seconds(text: str) -> float:
    """A duration of at most an hour."""
    value = number(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("must lie above 0 and be no more than 3600")
    return value


def slowness(text: str) -> float:
    """By how much this machine is slower than the one that limits are meant for."""
    value = number(text)
    if not 1 <= value <= MAX_SLOWNESS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_SLOWNESS:g}, not {shown(text)}")
    return value


def span(text: str) -> tuple[int, int]:
    """``A..B``, or ``A`` for A..A."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not of the form A..B")
    return int(found[1]), int(found[2] or found[1])


def positive(text: str) -> float:
    """A number above 0 and below 10^9."""
    value = number(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no positive number")
    return value


def port(text: str) -> int:
    """A TCP port."""
    value = whole(text)
    if not 0 < value < 65536:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a port, which is from 1 to 65535")
    return value


def shown(text: str) -> str:
    """What was given, quoted, no longer than a line and without what a terminal would obey."""
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}...")
