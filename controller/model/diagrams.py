"""The state diagrams of docs/explanation/controller.md: ``python -m controller.model.diagrams`` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from controller.model.states import CONNECTION_TRANSITIONS, SLICE_TRANSITIONS


def mermaid(transitions: Mapping[Enum, frozenset[Enum]]) -> str:
    """A transition table as a Mermaid state diagram, in the order of the states' definition."""
    states = list(transitions)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {states[0].value}"]
    for state in states:
        lines += [f"    {state.value} --> {after.value}" for after in states if after in transitions[state]]
        if not transitions[state]:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join([*lines, "```"])


def diagrams() -> dict[str, str]:
    """Every diagram by the name of what it is about."""
    return {"slice": mermaid(SLICE_TRANSITIONS), "connection": mermaid(CONNECTION_TRANSITIONS)}  # type: ignore[arg-type]


if __name__ == "__main__":
    for about, text in diagrams().items():
        print(f"{about}\n{text}\n")  # noqa: T201 - printing is what it is for
