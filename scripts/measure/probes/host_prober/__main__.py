"""Started by the folder's path, without site packages and whatever the current directory is."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

from scripts.measure.probes.host_prober.commands import CommandReader
from scripts.measure.probes.host_prober.datagrams import DatagramProber
from scripts.measure.probes.host_prober.echo import EchoProber
from scripts.measure.probes.host_prober.event_loop import EventLoop


def main() -> None:
    # Ctrl-C goes to the whole foreground group; whoever started this ends it by closing its standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = EventLoop()
    CommandReader(loop, {"hello": lambda _: {}, **EchoProber(loop).operations, **DatagramProber(loop).operations})
    loop.run()


if __name__ == "__main__":
    main()
