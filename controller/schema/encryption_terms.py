"""What a request cannot ask for where cards alone seal: everything that the tunnel of its hosts would do for it."""

from __future__ import annotations

from collections.abc import Iterator

from controller.model.request import ConnectionSpec, Protection
from controller.model.tunnel_profile import DEFAULT_SUITE, NO_PADDING
from topologies.spec import CARD_REKEY_S, SecurityClass

REMEDY = "the network's cards seal alone (encryption.mode: channel); leave it out, or run with --encryption both"


def needs_hosts_tunnel(spec: ConnectionSpec) -> Iterator[tuple[str, str]]:
    """The fields that say something only a tunnel from host to host can do, each with what is wrong and the remedy."""
    if spec.protection is Protection.ONE_PLUS_ONE:
        yield "protection", f"1+1 needs the hosts' tunnel to remove the copy, and {REMEDY}"
    if not spec.security.is_encrypted:
        return
    given = {SecurityClass.QKD, *spec.security.always}  # by cards whose keys are combined by the operator's policy
    if len(spec.security.sources) > 1 and set(spec.security.sources) != given:
        yield "security", f"a hybrid key is the hosts' tunnel's, and {REMEDY}"
    if spec.suite != DEFAULT_SUITE:
        yield "suite", f"{spec.suite} is the hosts' tunnel's, and {REMEDY}"
    if spec.padding != NO_PADDING:
        yield "padding", f"{spec.padding} is the hosts' tunnel's, and {REMEDY}"
    if spec.rekey_s != CARD_REKEY_S:
        yield (
            "rekey_s",
            f"{spec.rekey_s:g} s is a tunnel's, cards renew every {CARD_REKEY_S:g} s, and {REMEDY}",
        )
