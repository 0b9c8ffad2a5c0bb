"""QKD sections whose buffers hold known bits, for tests of what is built on them."""

from __future__ import annotations

import os

from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import StopReason
from kms.sources.qkd.post_processing.parameter_estimation import Judgement
from kms.sources.qkd.protocol import DistilledBlock
from kms.sources.qkd.section import KeyBuffer, Section, SliceOfWork, Verdict

CLEAN = Verdict(Judgement(1_000, 10))
TAPPED = Verdict(Judgement(1_000, 250), StopReason.TOO_MANY_ERRORS)


def fill(section: Section, count: int, bob_differs: bool = False) -> None:
    """Put ``count`` bytes of key at both ends; with ``bob_differs`` Bob's are not Alice's."""
    alice = os.urandom(count)
    bob = os.urandom(count) if bob_differs else alice
    section.absorb(SliceOfWork((CLEAN,), (DistilledBlock(alice, bob, 0, 0, 0),), 0))


def filled_section(section_id: str, a: str, b: str, count: int) -> Section:
    section = Section(section_id, a, b, ChannelParameters(10.0), KeyBuffer(1 << 20))
    fill(section, count)
    return section


def stop(section: Section) -> None:
    section.absorb(SliceOfWork((TAPPED,), (), 0))


def resume(section: Section) -> None:
    section.absorb(SliceOfWork((CLEAN,), (), 0))
