"""A figure of experiments: the longest time for which any probe of any connection got no answer."""

from __future__ import annotations

from itertools import pairwise

from scripts.extensions.api import EXTENSION_API, ProbeSample, TimelineEvent


class LongestGap:
    """From the last probe answered before a loss to the next one answered, in ms; 0 when none was lost."""

    name = "longest-gap"
    version = "1.0"
    api = EXTENSION_API
    unit = "ms"

    def measure(self, samples: tuple[ProbeSample, ...], events: tuple[TimelineEvent, ...]) -> float:
        longest_s = 0.0
        for one in {(s.connection, s.probe) for s in samples}:
            mine = sorted((s for s in samples if (s.connection, s.probe) == one), key=lambda s: s.at_s)
            answered = [n for n, s in enumerate(mine) if s.took_ms is not None]
            gaps = [mine[b].at_s - mine[a].at_s for a, b in pairwise(answered) if b > a + 1]
            longest_s = max([longest_s, *gaps])
        return 1000 * longest_s
