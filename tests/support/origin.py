"""Where results of tests come from."""

from scripts.report.provenance import Provenance

MACHINE: dict[str, str | int | float] = {
    "system": "Debian 12", "kernel": "6.1", "architecture": "x86_64", "processors": 2, "memory_gb": 4.1,
}  # fmt: skip
ORIGIN = Provenance(
    "0.1.0", "0123456789abcdef", "clean", "2026-01-31T12:00:00+00:00", 7, MACHINE, {"python": "3.11.2"}, (),
    {"network.scale": 2.0},
)  # fmt: skip
