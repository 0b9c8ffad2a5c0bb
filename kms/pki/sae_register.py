"""The register of SAEs that the authority has certified: who is known, bound to which site, by which certificates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kms.errors import PkiError
from kms.keys.sae_id import is_sae_id
from kms.own_directory import write_whole
from kms.pki.file_changes import FileChanges

_REMEMBERED_SAES = 10_000


@dataclass(frozen=True)
class Certificate:
    """One that was issued to an SAE; ``expires_at`` in seconds since the epoch."""

    serial: int
    expires_at: float


@dataclass(frozen=True)
class IssuedSae:
    sae_id: str
    site: str | None
    certificates: tuple[Certificate, ...] = ()


def issued_saes(pki_dir: Path | str) -> list[IssuedSae]:
    """Everyone in the register, by name."""
    names = sorted(path.stem for path in (Path(pki_dir) / "saes").glob("*.json"))
    return [found for name in names if (found := find_issued(Path(pki_dir), name)) is not None]


def find_issued(pki_dir: Path, sae_id: str) -> IssuedSae | None:
    """The register's entry; None when there is none. PkiError when it cannot be read."""
    if not is_sae_id(sae_id):
        return None
    path = pki_dir / "saes" / f"{sae_id}.json"
    try:
        record = json.loads(path.read_bytes())
        certificates = tuple(
            Certificate(int(each["serial"], 16), float(each["expires_at"])) for each in record.get("certificates", ())
        )
        return IssuedSae(sae_id, record["site"], certificates)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PkiError(f"{path}: {error}") from error


def write_record(directory: Path, sae: IssuedSae) -> None:
    register = directory / "saes"
    register.mkdir(mode=0o700, exist_ok=True)
    certificates = [{"serial": f"{each.serial:x}", "expires_at": each.expires_at} for each in sae.certificates]
    record = {"sae_id": sae.sae_id, "site": sae.site, "certificates": certificates}
    write_whole(register / f"{sae.sae_id}.json", json.dumps(record).encode(), 0o600)


class SaeRegister:
    """Reads the register of issued SAEs; sees at once who was issued a certificate or withdrawn.

    It is asked several times by every request, so one look at the directory's time of change decides whether what was
    read before still holds.
    """

    def __init__(self, pki_dir: Path | str) -> None:
        self._pki_dir = Path(pki_dir)
        self._changes = FileChanges(self._pki_dir / "saes")
        self._known: dict[str, IssuedSae | None] = {}

    def find(self, sae_id: str) -> IssuedSae | None:
        if self._changes.noticed():
            self._known.clear()
        if sae_id not in self._known:
            if len(self._known) >= _REMEMBERED_SAES:
                self._known.clear()
            self._known[sae_id] = find_issued(self._pki_dir, sae_id)
        return self._known[sae_id]
