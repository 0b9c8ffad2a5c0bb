"""Request files as people write them: what is meant is taken, or the line and the remedy are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scripts.errors import WrongRequest
from scripts.experiments.scripted.scenario import parse_scenario
from scripts.testbed.slice_requests import parse_value, read_document
from topologies.files.located_yaml import YamlError, load_located


def request(tmp_path: Path, content: str | bytes) -> dict[str, Any]:
    file = tmp_path / "request.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_document(str(file))
    json.dumps(found, allow_nan=False)  # what the API is sent
    return found


def complaint(tmp_path: Path, content: str) -> str:
    with pytest.raises(WrongRequest) as caught:
        request(tmp_path, content)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("start: 2026-12-01T10:00:00Z", {"start": "2026-12-01T10:00:00Z"}),  # was a traceback
        ("name: 2026-12-01", {"name": "2026-12-01"}),
        ("name: 2026", {"name": "2026"}),
        ("name: no", {"name": "no"}),  # Norway
        ("name: true", {"name": "true"}),
        ("name: 1e3", {"name": "1e3"}),
        ("sNSSAI: {sst: 1, sd: 000001}", {"sNSSAI": {"sst": 1, "sd": "000001"}}),  # was octal
        ("sNSSAI: {sst: 1, sd: 100000}", {"sNSSAI": {"sst": 1, "sd": "100000"}}),
        ("sNSSAI: {sst: 1, sd: 12e456}", {"sNSSAI": {"sst": 1, "sd": "12e456"}}),
        ("connections: {a: {protection: 1:1}}", {"connections": {"a": {"protection": "1:1"}}}),  # was 61
        ("connections: {a: {protection: 1+1}}", {"connections": {"a": {"protection": "1+1"}}}),
        ("connections: {on: {security: qkd}}", {"connections": {"on": {"security": "qkd"}}}),  # was the key true
        ("connections: {1: {security: qkd}}", {"connections": {"1": {"security": "qkd"}}}),
        ("latency_ms: 1e3", {"latency_ms": 1000.0}),
        ("latency_ms: 10", {"latency_ms": 10}),
        ("fast: true\nslow: ~\nempty:", {"fast": True, "slow": None, "empty": None}),
        ("base: &b {a: 1, b: 2}\nmore: {<<: *b, b: 3}", {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}}),
        ("cells: [1, cell2]", {"cells": ["1", "cell2"]}),
        ("\ufeffname: x\r\ncore: core1\r\n", {"name": "x", "core": "core1"}),
        ('{\n\t"name": "x",\n\t"n": 1\n}', {"name": "x", "n": 1}),  # JSON, indented by tabs
        ('\t{"name": "x", "n": 1.5}', {"name": "x", "n": 1.5}),
    ],
)
def test_fault_27_what_is_meant_is_taken(tmp_path: Path, written: str, meant: dict[str, Any]) -> None:
    assert request(tmp_path, written) == meant


def test_fault_27_utf_16_is_read(tmp_path: Path) -> None:
    """As an editor on Windows saves it."""
    assert request(tmp_path, "name: Zürich\n".encode("utf-16")) == {"name": "Zürich"}


@pytest.mark.parametrize(
    ("written", "line", "words"),
    [
        ("name: a\ncore: core1\nname: b\n", 3, "'name' stands here a second time: remove one"),
        ("connections:\n  a: {}\n  b: {}\n  a: {}\n", 4, "'a' stands here a second time"),
        ("name: a\ncells: &c [cell1, *c]\n", 2, "holds itself"),
        ("name: a\nx: &x\n  y: {z: *x}\n", 2, "holds itself"),
        ("name: a\nn: .inf\n", 2, "no number"),
        ("name: a\nn: 1e999\n", 2, "no number"),
        ("name: a\nn: .NaN\n", 2, "no number"),
        (f"name: a\nn: {'9' * 5000}\n", 2, "is no int"),
        (f"name: a\nn: {'9' * 400}\n", 2, "is no int"),
        ('{"name": "a",\n"n": 1e999}', 2, "no number"),
        ('\t{"name": "a",\n"n": 1e999}', 1, "found character"),
        ('{"name":\n"\\ud800"}', 2, "lone surrogate"),
        ('{"name": "a",\n"x": ' + "[" * 100 + "]" * 100 + "}", 2, "deeper than"),
        ('{"name": "a",\n"x": [' + "1," * 400_000 + "1]}", 2, "more than 400000 values"),
        ("name: a\nx: !!python/object:os.system {}\n", 2, "is not known: leave it out"),
        ("name: a\nx: !secret abc\n", 2, "is not known: leave it out"),
        ("name: a\n\tcore: b\n", 2, "found character"),
        ("name: a\n---\nname: b\n", 2, "document"),
        ("name: a\nx: *nowhere\n", 2, "undefined alias"),
        ("name: a\nx: \x07\n", 2, "U+0007"),
        ("name: a\n? [1, 2]\n: b\n", 2, "a key is one word"),
        ("x: " + "[" * 100 + "]" * 100, 1, "deeper than"),
        ("x: " + "[" * 5000 + "]" * 5000, 1, "deeper than"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
        ), 1, "more than 400000 values"),
    ],
)  # fmt: skip
def test_fault_27_the_line_is_named(tmp_path: Path, written: str, line: int, words: str) -> None:
    said = complaint(tmp_path, written)
    assert f"request.yaml:{line}: " in said
    assert words in said


def test_fault_27_a_scenario_is_read_in_the_same_way() -> None:
    text = (
        "title: x\ntopology: ukqntel\nduration_s: 5\nslices:\n  - request: {name: 2026, name: 2027}\n"
        "timeline: []\ntraffic: []\n"
    )
    with pytest.raises(WrongRequest, match=r"x\.yaml:5: 'name' stands here a second time"):
        parse_scenario(text, "x.yaml")


def test_fault_27_a_value_of_the_command_line_is_read_in_the_same_way() -> None:
    assert parse_value("1:1", ("connections", "access", "protection")) == "1:1"
    assert parse_value("[qkd, qra]", ("connections", "access", "security")) == ["qkd", "qra"]
    assert parse_value("2026-12-01T10:00:00Z", ("end",)) == "2026-12-01T10:00:00Z"
    assert parse_value("15", ("connections", "access", "latency_ms")) == 15


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc01-:é", min_size=1), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_fault_27_json_means_what_it_means(value: Any) -> None:
    assert load_located(json.dumps(value))[0] == value
    assert load_located(json.dumps(value, ensure_ascii=False, indent=2))[0] == value


@given(st.text(max_size=60) | st.text("abc:-&*<![]{}#\n 01.~\"'|>?", max_size=60))
def test_fault_27_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    try:
        value, lines = load_located(text)
    except YamlError as error:
        value, lines = None, {(): error.line}
    json.dumps(value, allow_nan=False).encode()
    assert 1 <= lines[()] <= len(text.splitlines()) + 2


def test_pyyaml_alone_reads_something_else() -> None:
    """Why it is not asked: the attack of the tests above with the defence off."""
    assert yaml.safe_load("protection: 1:1") == {"protection": 61}
    assert yaml.safe_load("name: no\nsd: 000010\nname: b") == {"name": "b", "sd": 8}
