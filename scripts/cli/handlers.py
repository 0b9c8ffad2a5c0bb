"""What runs a command: a function of its arguments and of where things are, which returns the exit status."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from scripts.testbed.paths import Layout

Handler = Callable[[argparse.Namespace, Layout], int]
Handlers = Mapping[str, Handler]
"""By the command's path, such as ``slice create``."""
