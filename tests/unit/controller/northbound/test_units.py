"""A quantity in an answer stands beside the unit that it is in."""

from __future__ import annotations

from controller.northbound.views.slices import infeasible_view
from controller.pce.infeasibility import Infeasible, Reason


def test_key_rates_are_told_in_bits_per_second_and_not_in_what_looks_like_megabits() -> None:
    found = Infeasible((Reason("s/c", "key_rate", "q-a-b", 85_333, 1_500), Reason("s/c", "key_rate", "a-b", 256, None)))
    first, second = infeasible_view(found)["reasons"]
    assert (first["needed"], first["available"], first["unit"]) == (85.333, 1.5, "bit/s")
    assert (second["needed"], second["available"], second["unit"]) == (0.256, None, "bit/s")
    assert "key_rate at q-a-b: 85.333 bit/s needed, 1.5 bit/s available" in found.summary
    assert "none available" in found.summary


def test_other_quantities_are_told_as_they_are_counted() -> None:
    found = Infeasible(
        (Reason("s/c", "bandwidth", "a-b", 20_000, 12_000), Reason("s/c", "latency", "a-c", 100, 177),
         Reason("s/c", "security", "a-b", "qkd", "dh"))
    )  # fmt: skip
    told = [(r["needed"], r["available"], r["unit"]) for r in infeasible_view(found)["reasons"]]
    assert told == [(20_000, 12_000, "kbit/s"), (100, 177, "us"), ("qkd", "dh", None)]
    assert "none" not in found.summary
