"""The classroom: exercises that check themselves."""

from __future__ import annotations

from scripts.cli.grammar.leaf import Leaf, Needs, Section, argument
from scripts.cli.grammar.values import whole

_NUMBER = argument("number", type=whole, metavar="N", help="the exercise (`lab list`)")

SECTION = Section(
    "Learn",
    (
        Leaf(
            "lab list", "lab", "List the exercises.", ("lab list", "lab list --json"), "never",
            needs=Needs.PYTHON, name_of="number",
        ),
        Leaf(
            "lab start", "lab", "Prepare the running network for an exercise, and print its task.",
            ("lab start 1", "lab start 3"), "the network is not in a state to begin with: `lab reset`",
            (_NUMBER,),
        ),
        Leaf(
            "lab check", "lab", "Look on the running network whether an exercise is solved.",
            ("lab check 1", "lab check 3 section=q-agg1-agg2 share=0.25"), "it is not solved yet",
            (
                _NUMBER,
                argument("answers", nargs="*", default=(), metavar="NAME=VALUE", help="what the task asks for"),
            ),
        ),
        Leaf(
            "lab reset", "lab", "Delete the exercises' slices, lift every fault, end every eavesdropping.",
            ("lab reset", "lab reset --json"), "a slice cannot be deleted",
        ),
    ),
    {"lab": "exercises that check themselves on the running network"},
)  # fmt: skip
