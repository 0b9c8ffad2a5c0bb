"""Bytes as a person reads them in a capture. Pure."""

from __future__ import annotations

from html import escape

BYTES_PER_LINE = 16
SHORTEST_WORD = 6  # printable bytes in a row that are no accident


def hex_dump(data: bytes) -> str:
    """Offset, hex and text of each 16 bytes, as HTML; readable stretches of the text are marked."""
    readable = _readable(data)
    lines = []
    for start in range(0, len(data), BYTES_PER_LINE):
        row = data[start : start + BYTES_PER_LINE]
        digits = " ".join(f"{byte:02x}" for byte in row)
        text = "".join(_character(byte, start + n in readable) for n, byte in enumerate(row))
        lines.append(f"{start:04x}  {digits:<{3 * BYTES_PER_LINE - 1}}  {text}")
    return "\n".join(lines).replace("</mark><mark>", "")


def _readable(data: bytes) -> set[int]:
    found: set[int] = set()
    run: list[int] = []
    for position, byte in enumerate((*data, 0)):
        if 0x20 <= byte < 0x7F:
            run.append(position)
        else:
            if len(run) >= SHORTEST_WORD:
                found.update(run)
            run = []
    return found


def _character(byte: int, marked: bool) -> str:
    shown = escape(chr(byte)) if 0x20 <= byte < 0x7F else "·"
    return f"<mark>{shown}</mark>" if marked else shown
