"""What a network is, as plain values: sites, channels, wavelengths, QKD sections and links, hosts.

A topology is described here and instantiated elsewhere (``net.py``). Everything is frozen and validated when it
is made, so that whoever holds a :class:`Topology` holds a consistent one. Lengths are kilometres, rates Mbit/s,
delays microseconds.

This is the public face of the package, and the one thing that ``controller`` may import of ``topologies``: importers
name ``topologies.spec``, not the files in it.
"""

from topologies.spec.allocation import Allocation
from topologies.spec.channel import ENCRYPTION_CARD_DELAY_US, FIBRE_DELAY_US_PER_KM, Channel, Wavelength
from topologies.spec.encryption_mode import CARD_KEY_BITS, CARD_REKEY_S, EncryptionMode
from topologies.spec.errors import TopologyError
from topologies.spec.qkd import QkdLink, QkdSection
from topologies.spec.security import SecurityClass
from topologies.spec.site import (
    DATA_PREFIX_LENGTH,
    INTERFACE_NAME,
    KME_PORT,
    MANAGEMENT_PREFIX_LENGTH,
    OWN_PREFIX,
    RESERVED_NAMES,
    ROOT_MANAGEMENT_INDEX,
    SITE_NAME,
    SITE_NAME_LENGTH,
    HostSpec,
    Site,
    Tier,
    interface_rule,
)
from topologies.spec.topology import DATAPATH_MARK, Port, Topology, topology_from_dict
from topologies.spec.vendor import VendorKme, path_problem, url_problem

__all__ = [
    "CARD_KEY_BITS",
    "CARD_REKEY_S",
    "DATAPATH_MARK",
    "DATA_PREFIX_LENGTH",
    "ENCRYPTION_CARD_DELAY_US",
    "FIBRE_DELAY_US_PER_KM",
    "INTERFACE_NAME",
    "KME_PORT",
    "MANAGEMENT_PREFIX_LENGTH",
    "OWN_PREFIX",
    "RESERVED_NAMES",
    "ROOT_MANAGEMENT_INDEX",
    "SITE_NAME",
    "SITE_NAME_LENGTH",
    "Allocation",
    "Channel",
    "EncryptionMode",
    "HostSpec",
    "Port",
    "QkdLink",
    "QkdSection",
    "SecurityClass",
    "Site",
    "Tier",
    "Topology",
    "TopologyError",
    "VendorKme",
    "Wavelength",
    "interface_rule",
    "path_problem",
    "topology_from_dict",
    "url_problem",
]
