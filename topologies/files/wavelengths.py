"""Wavelengths of a topology's document: made, and what of them contradicts the rest, each with its path. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from topologies.files.located_yaml import Path
from topologies.files.problems import Problem, did_you_mean
from topologies.files.schema import FibreChannelPart, WavelengthPart
from topologies.spec import SecurityClass, TopologyError, Wavelength

OWN_FIELDS = ("client_ports", "client_gbps", "encryptor")  # of a fibre's channel, where it has its own wavelength
_REMEDIES = {
    "client_gbps": "lower client_ports or client_gbps, or raise capacity_gbps",
    "encryptor": "give it a class, or leave the encryptor out",
    "ends": "name another site",
}


def declared(part: WavelengthPart) -> Wavelength:
    """The wavelength that the document declares. TopologyError where it contradicts itself."""
    return Wavelength(part.id, SecurityClass.parse(part.class_), part.capacity_gbps, part.client_ports,
                      part.client_gbps, part.encryptor, part.ends)  # type: ignore[arg-type] # fmt: skip


def own(name: str, entry: FibreChannelPart) -> Wavelength:
    """The wavelength that a fibre's channel of a class has for itself. TopologyError where it contradicts itself."""
    given = {field: getattr(entry, field) for field in ("capacity_gbps", *OWN_FIELDS)}
    return Wavelength(
        name, SecurityClass.parse(entry.class_ or ""), **{k: v for k, v in given.items() if v is not None}
    )


def contradiction(path: Path, error: TopologyError, part: WavelengthPart | FibreChannelPart) -> Problem:
    """What :func:`declared` or :func:`own` refused, at the field that should be changed."""
    message = str(error).partition(": ")[2]
    field = "encryptor" if part.encryptor and part.class_ == "none" else "client_gbps"
    if isinstance(part, WavelengthPart) and part.ends is not None and part.ends[0] == part.ends[1]:
        field = "ends"
    return Problem((*path, field), message, _REMEDIES[field])


def end_problems(parts: Iterable[WavelengthPart], sites: Mapping[str, Path]) -> Iterator[Problem]:
    """Cards at sites that are none."""
    for n, part in enumerate(parts):
        for position, site in enumerate(part.ends or ()):
            if site not in sites:
                message = f"there is no site {site!r}"
                yield Problem(("wavelengths", n, "ends", position), message, did_you_mean(site, sites, "sites"))


def foreign_field(path: Path, entry: FibreChannelPart) -> Problem | None:
    """What a channel on a declared wavelength says of a wavelength of its own."""
    said = [field for field in OWN_FIELDS if getattr(entry, field, None) is not None]
    if not said or entry.class_ is not None:
        return None
    remedy = f"say it of {entry.wavelength} in `wavelengths`"
    return Problem((*path, said[0]), f"the wavelength {entry.wavelength} is shared", remedy)
