"""How a slice request is written: the template and the schema that the commands print."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from controller.schema.slice_request import parse_slice_request
from scripts.cli.main import main
from scripts.testbed.slice_requests import EXAMPLES, load_example

OPTIONAL = re.compile(r"^( *)# (\w+: \S.*)$", re.MULTILINE)


@pytest.mark.parametrize("name", ["commented", "enterprise-app", "cdn", "ring"])
def test_a_template_is_a_request(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slice", "template", "--example", name]) == 0
    assert parse_slice_request(yaml.safe_load(capsys.readouterr().out)) == parse_slice_request(load_example(name))


def test_what_is_commented_out_can_be_said_too() -> None:
    """And it is all that there is: the fields of the schema."""
    text = (EXAMPLES / "commented.yaml").read_text()
    whole = yaml.safe_load(OPTIONAL.sub(r"\1\2", text))
    parse_slice_request(whole)
    said = {name for connection in whole["connections"].values() for name in connection}
    assert said == set(schema()["$defs"]["ConnectionWire"]["properties"])


def schema() -> Any:
    from scripts.cli.commands.slices.templates import request_schema

    return request_schema()


def test_the_schema_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slice", "schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == schema()
    referred = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(printed)))
    assert "SliceRequest" in referred
    assert referred <= set(printed["$defs"])
    assert "components" not in json.dumps(printed)
