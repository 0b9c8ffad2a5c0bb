"""An extension's code imported and looked at. Only its own process (:mod:`scripts.extensions.worker`) does that."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from scripts.extensions.api import EXTENSION_API
from scripts.extensions.errors import ExtensionError, Fault
from scripts.extensions.naming import Use
from scripts.extensions.protocols import CONTRACTS, Kind
from scripts.extensions.suite_trials import QUICK, tried

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
SUITE_NAME = re.compile(r"x-[a-z0-9-]{1,38}")
LONGEST_VERSION = 40


@dataclass(frozen=True)
class Identity:
    """Who an extension says it is, and the SHA-256 of the file that it was read from."""

    kind: str
    name: str
    version: str
    sha256: str
    source: str
    texts: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, str]:
        """As results name it."""
        return {
            "kind": self.kind, "name": self.name, "version": self.version, "sha256": self.sha256,
            "source": self.source,
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.version}"


def load(use: Use) -> tuple[Any, Identity]:
    """The extension that ``use`` names. Raises ExtensionError, whatever its code does."""
    place, _, name = use.target.rpartition(":")
    if use.folder is not None and use.folder not in sys.path:
        sys.path.append(use.folder)
    try:
        module = _module(place)
    except FileNotFoundError as error:
        raise ExtensionError(Fault.NOT_THERE, f"there is no {place}") from error
    except ModuleNotFoundError as error:
        is_itself = error.name is not None and (place == error.name or place.startswith(f"{error.name}."))
        raise ExtensionError(Fault.NOT_THERE if is_itself else Fault.BROKEN, f"{place}: {error}") from error
    except BaseException as error:
        raise ExtensionError(Fault.BROKEN, f"{place}: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if found is None:
        raise ExtensionError(Fault.NOT_THERE, f"{place} has no {name}")
    try:
        extension = found() if inspect.isclass(found) else found
    except BaseException as error:
        raise ExtensionError(Fault.BROKEN, f"{name}(): {type(error).__name__}: {error}") from error
    identity = _identify(use, extension, module, name)
    if use.kind is Kind.SUITE:
        _require_sound(extension, identity)
    return extension, identity


def _require_sound(suite: Any, identity: Identity) -> None:
    """No packet is given to a suite that has not passed its trials."""
    for trial in tried(suite, QUICK):
        if not trial.holds:
            raise ExtensionError(Fault.REFUSED, f"{identity.name}: {trial.name}: {trial.detail}")


def _module(place: str) -> ModuleType:
    if not place.endswith(".py") and "/" not in place:
        return importlib.import_module(place)
    path = Path(place)
    if not path.is_file():
        raise FileNotFoundError(place)
    spec = importlib.util.spec_from_file_location(f"qslice_extension_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _identify(use: Use, extension: Any, module: ModuleType, attribute: str) -> Identity:
    contract = CONTRACTS[use.kind]

    def lacks(what: str) -> ExtensionError:
        return ExtensionError(Fault.INCOMPLETE, f"{attribute}: {what}")

    name, version, api = (getattr(extension, a, None) for a in ("name", "version", "api"))
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise lacks(f"name must be lower case letters, digits and hyphens, not {name!r}")
    if use.kind is Kind.SUITE and not SUITE_NAME.fullmatch(name):
        raise lacks(f"the name of a suite begins with x-, so that it is none of ours: not {name!r}")
    if not isinstance(version, str) or not 0 < len(version) <= LONGEST_VERSION:
        raise lacks(f"version must be a text of at most {LONGEST_VERSION} characters, not {version!r}")
    if api != EXTENSION_API:
        raise lacks(f"api must be {EXTENSION_API}, the version of the interface here, not {api!r}")
    texts = []
    for text in contract.texts:
        value = getattr(extension, text, None)
        if not isinstance(value, str) or not value:
            raise lacks(f"{text} must be a text, not {value!r}")
        texts.append((text, value))
    for method, signature in contract.methods.items():
        function = getattr(extension, method, None)
        if not callable(function):
            raise lacks(f"there is no method {method}")
        try:
            inspect.signature(function).bind(*signature.takes)
        except TypeError as error:
            raise lacks(f"{method}: takes {len(signature.takes)} values: {error}") from error
    file = Path(inspect.getsourcefile(module) or module.__file__ or "")
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return Identity(use.kind.value, name, version, digest, str(file), tuple(texts))
