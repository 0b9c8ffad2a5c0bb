"""No decision hangs on the text of a message: what is to be told apart has a type or a code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from scripts.testbed.paths import REPOSITORY

TREES = ("controller", "topologies", "kms", "scripts")
# Names that hold a sentence for people.
SENTENCES = {"reason", "error", "message", "detail", "explanation", "summary", "text", "fault", "why"}
TELLING = {"startswith", "endswith", "find", "index", "count"}


def _is_sentence(node: ast.expr) -> bool:
    """``str(error)``, ``error.args[0]``, ``x.reason``, ``reason``, ``reason or ""``."""
    match node:
        case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
            return name in SENTENCES | {"exc", "exception", "failure", "refused", "caught"}
        case ast.Call(func=ast.Name(id="str"), args=[ast.Attribute(attr=name)]):
            return name in SENTENCES
        case ast.BoolOp(values=[first, *_]):
            return _is_sentence(first)
        case ast.Subscript(value=ast.Attribute(attr="args")):
            return True
        case ast.Name(id=name):
            return name in {"reason", "error", "message", "explanation"}
        case ast.Attribute(attr=name):
            return name in {"reason", "explanation"}
    return False


def _is_prose(node: ast.expr) -> bool:
    """A literal, or a formatted one, that is a sentence and no code word."""
    if isinstance(node, ast.JoinedStr):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()


def sentences_read(source: str) -> list[int]:
    """The lines of a program on which something is decided by a sentence."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Compare(left=left, ops=ops, comparators=[right, *_]):
                for op in ops:
                    if isinstance(op, ast.In | ast.NotIn) and _is_sentence(right) and isinstance(left, ast.Constant):
                        lines.append(node.lineno)
                    if isinstance(op, ast.Eq | ast.NotEq) and (_is_sentence(left) and _is_prose(right)):
                        lines.append(node.lineno)
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in TELLING and _is_sentence(value):
                lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("tree", TREES)
def test_nothing_is_decided_by_a_sentence(tree: str) -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in sorted((REPOSITORY / tree).rglob("*.py"))
        for line in sentences_read(path.read_text())
    ]
    assert not found, "decide by a type or a code instead"


@pytest.mark.parametrize(
    "wrong",
    [
        'if "committed" in str(error): pass',
        'if "key" not in str(error): pass',
        'if (c.reason or "").startswith(REFUSED): pass',
        "if reason.startswith(REFUSED): pass",
        'if c.reason == "no feasible path": pass',
        'if c.reason == f"BFD hears nothing on {channel}": pass',
        'if "full" in error.args[0]: pass',
    ],
)
def test_the_check_sees_each_kind(wrong: str) -> None:
    assert sentences_read(wrong) == [1]


def test_the_check_lets_codes_pass(tmp_path: Path) -> None:
    assert not sentences_read('if reason.code is ReasonCode.NO_PATH or message["type"] == "add": pass')
