"""A section's model tried on short and long lines, quiet and attacked, through what the KMS asks it with.

Whether its key is secret cannot be tried: that is the operator's judgement.
"""

from __future__ import annotations

import os
import time

from kms.errors import KeyMakerError
from kms.sources.extension_qkd import ExtensionMaker, line_view
from kms.sources.qkd.link.attacks import NO_ATTACK, Attack
from kms.sources.qkd.link.channel import ChannelParameters
from kms.sources.qkd.modes import AttackKind, Protocol
from scripts.conformance.outcome import Report, Tally
from scripts.extensions.client import Worker

LENGTHS_KM = (1.0, 25.0, 100.0)
FULL = Attack(AttackKind.INTERCEPT_RESEND, 1.0)
ATTACKS = (NO_ATTACK, FULL, *(Attack(kind, fraction) for kind in AttackKind for fraction in (0.25, 0.75)))
WORKS, ROUNDS = 15, 8
LEAST_SHARE = 0.5  # of its forecast that it keeps up


def check_qkd(worker: Worker, report: Report) -> None:
    """Work for some minutes of the laser's time on each line."""
    answers, forecasts, kept_up = Tally(), Tally(), Tally()
    given: list[bytes] = []
    given_under_attack = 0
    slowest_s = 0.0
    for length_km in LENGTHS_KM:
        line = line_view(f"s{length_km:g}", "a", "b", Protocol.BB84, ChannelParameters(length_km))
        for attack in ATTACKS:
            maker = ExtensionMaker(worker, line, os.urandom)
            made: list[bytes] = []
            share = 0.0
            try:
                forecast_bps = maker.forecast(attack).secret_bps
                for _ in range(WORKS):
                    began = time.perf_counter()
                    work = maker.work(ROUNDS, attack, True)
                    slowest_s = max(slowest_s, time.perf_counter() - began)
                    made += [block.alice for block in work.blocks]
                    share = (work.secret_bps or 0.0) / forecast_bps if forecast_bps else 1.0
                quiet_bps = maker.forecast(NO_ATTACK).secret_bps
            except KeyMakerError as error:
                answers.bad(f"{length_km:g} km, {attack.kind.value} {attack.fraction:g}: {error}")
                continue
            answers.good()
            if attack == NO_ATTACK:
                given += made
                low = share < LEAST_SHARE
                kept_up.bad(f"{length_km:g} km: {100 * share:.0f} % of its forecast") if low else kept_up.good()
            elif forecast_bps > quiet_bps:
                forecasts.bad(f"{length_km:g} km, {attack.kind.value}: {forecast_bps:g} bit/s, {quiet_bps:g} without")
            else:
                forecasts.good()
            given_under_attack += 8 * sum(map(len, made)) if attack == FULL else 0
    answers.into(report, "everything that it says can be")
    forecasts.into(report, "no attack makes more key")
    kept_up.into(report, "it keeps up half of its forecast")
    report.add("a quiet line gives key", bool(given), f"{8 * sum(map(len, given))} bits")
    long = [key for key in given if len(key) >= 16]
    report.add("every block is another", len(set(long)) == len(long), f"{len(set(long))} of {len(long)}")
    report.add("a line whose every pulse is intercepted gives none", not given_under_attack,
               f"{given_under_attack} bits")  # fmt: skip
    report.add("it is quick enough", slowest_s < worker.deadline_s,
               f"the slowest work took {1000 * slowest_s:.0f} ms of {1000 * worker.deadline_s:.0f} ms")  # fmt: skip
