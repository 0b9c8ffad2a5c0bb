"""A process that writes to its log for as long as it is left to."""

from __future__ import annotations

import sys
import time

if __name__ == "__main__":
    while True:
        sys.stderr.write("a line of a log that nobody bounds\n" * 100)
        sys.stderr.flush()
        time.sleep(0.005)
