"""Keys: pools and rates, tunnels, certificates."""

from __future__ import annotations

from pathlib import Path

from scripts.cli.grammar.leaf import Argument, Leaf, Needs, Section, argument
from scripts.cli.grammar.values import number

SAE = argument("sae_id", metavar="SAE_ID", help="the identity that the KMEs see")
OUT = argument("--out", required=True, type=Path, metavar="DIR", names="folder",
               help="where to put cert.pem, key.pem, ca.pem")  # fmt: skip
AT_SITE = argument("--site", metavar="SITE", names="site",
                   help="the site whose KME serves it (default: the one it first asks)")  # fmt: skip
PKCS12 = (
    argument("--pkcs12", action="store_true", help="sae.p12 as well, with all three, under a password"),
    argument("--password-file", type=Path, metavar="FILE", names="file", help="its first line (default: asked for)"),
)
NEVER = "never"


def _pem(flag: str, text: str) -> Argument:
    return argument(flag, type=Path, metavar="FILE", names="file", help=text)


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
            ("pki issue alice --out alice", "pki issue bob --out bob --site core1 --pkcs12"), NEVER,
            (SAE, OUT, AT_SITE, *PKCS12), name_of="sae_id",
        ),
        Leaf(
            "pki sign", "keys.pki", "Issue a client certificate for a key that is made elsewhere.",
            ("pki sign --csr device.csr --out device", "pki sign --csr device.csr --out device --sae alice"), NEVER,
            (
                argument("--csr", required=True, type=Path, metavar="FILE", names="file",
                         help="the signing request, PEM or DER"),
                argument("--out", required=True, type=Path, metavar="DIR", names="folder",
                         help="where to put cert.pem and ca.pem"),
                argument("--sae", metavar="SAE_ID", help="the identity (default: the common name in the request)"),
                AT_SITE,
            ),
            name_of="sae_id",
        ),
        Leaf(
            "pki renew", "keys.pki", "Issue a new certificate and key; the old one stays valid until it expires.",
            ("pki renew alice --out alice", "pki renew alice --out alice --json"), NEVER, (SAE, OUT, *PKCS12),
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
        Leaf(
            "kme check", "keys.kme", "Check whether a KME, ours or a vendor's, keeps to ETSI GS QKD 014.",
            ("kme check metro1",
             "kme check https://kme.example:443 --cert c.pem --key k.pem --ca ca.pem --sae bob"),
            "the KME does not keep to a clause, or gave nothing to judge by",
            (
                argument("url", metavar="URL|SITE", names="site",
                         help="https://HOST[:PORT] of the KME of the SAE that orders keys, or a site of the network"),
                _pem("--cert", "certificate of the SAE that orders keys (PEM)"),
                _pem("--key", "its private key (PEM, without a passphrase)"),
                _pem("--ca", "authority that the KME is certified by (PEM)"),
                _pem("--peer-cert", "certificate of the SAE that fetches the twins"),
                _pem("--peer-key", "its private key"),
                _pem("--peer-ca", "authority of its KME (default: --ca)"),
                argument("--sae", metavar="SAE_ID", help="the SAE that fetches (default: the name in --peer-cert)"),
                argument("--peer-url", metavar="URL", help="the KME that it asks (default: URL)"),
                argument("--timeout", type=number, default=10.0, metavar="S",
                         help="for each answer (default %(default)g)"),
            ),
            needs=Needs.PYTHON,
        ),
    ),
    {"tunnel": "the tunnel agents", "pki": "certificates of the testbed's own CA",
     "kme": "key management entities, ours or a vendor's"},
)  # fmt: skip
