"""A package of one module, made on the spot."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path


def make_wheel(folder: Path, content: str) -> str:
    """Write leaf 1.0, whose module says ``content``; the SHA-256 of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "leaf-1.0-py3-none-any.whl"
    files = {
        "leaf.py": f"SAYS = {content!r}\n",
        "leaf-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: leaf\nVersion: 1.0\n",
        "leaf-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, "leaf-1.0.dist-info/RECORD"))
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, "leaf-1.0.dist-info/RECORD": record}.items():
            wheel.writestr(zipfile.ZipInfo(name), text)
    return hashlib.sha256(path.read_bytes()).hexdigest()
