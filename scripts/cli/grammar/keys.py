"""Keys: pools and rates, tunnels, certificates."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Leaf, Section, argument

SAE = argument("sae_id", metavar="SAE_ID", help="the identity that the KMEs see")
OUT = argument("--out", required=True, type=Path, metavar="DIR", names="folder",
               help="where to put cert.pem, key.pem, ca.pem")  # fmt: skip
NEVER = "never"

SECTION = Section(
    "Keys",
    (
        Leaf(
            "keys", "keys.keys", "Show key pools, key rates and error rates of every QKD section.",
            ("keys", "keys --json"), "the KMS refused to answer",
        ),
        Leaf(
            "tunnel stats", "keys.tunnel", "Show counters, keys and continuity of every connection.",
            ("tunnel stats", "tunnel stats cell1"), "never; status 3 where an agent does not answer",
            (argument("site", nargs="?", metavar="SITE", names="site", help="one site's agent alone (default: all)"),),
        ),
        Leaf(
            "pki issue", "keys.pki", "Issue a client certificate, its key and the CA, for any ETSI GS QKD 014 client.",
            ("pki issue alice --out alice", "pki issue bob --out bob --site core1"), NEVER,
            (
                SAE, OUT,
                argument("--site", metavar="SITE", names="site",
                         help="the site whose KME serves it (default: the one it first asks)"),
            ),
            name_of="sae_id",
        ),
        Leaf(
            "pki renew", "keys.pki", "Issue a new certificate and key; the old one stays valid until it expires.",
            ("pki renew alice --out alice", "pki renew alice --out alice --json"), NEVER, (SAE, OUT),
            name_of="sae_id",
        ),
        Leaf(
            "pki revoke", "keys.pki", "Revoke all certificates of an SAE, at once.",
            ("pki revoke alice", "pki revoke alice --json"), NEVER, (SAE,), name_of="sae_id",
        ),
        Leaf(
            "pki list", "keys.pki", "List SAEs with certificates, and their expiry.",
            ("pki list", "pki list -o name"), NEVER, name_of="sae_id",
        ),
    ),
    {"tunnel": "the tunnel agents", "pki": "certificates of the testbed's own CA"},
)  # fmt: skip
