"""A configuration file that is wrong is refused by line, with what is meant; what is right says where it comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scripts.cli import main
from scripts.configuration.document import parse_file
from scripts.configuration.sources import configuration_of_file, read_configuration
from scripts.configuration.values import Origin, Source
from scripts.errors import WrongRequest
from topologies.files.problems import DocumentError
from topologies.spec import TopologyError

GOOD = """\
version: 1
network:
  topo: metro-ring   # a shipped one
kms:
  qra_kem: ML-KEM-768
  quotas:
    sae-cell1: {requests_per_s: 50}
"""


def complaints(text: str | bytes) -> list[tuple[int | None, str]]:
    with pytest.raises(DocumentError) as told:
        parse_file(text, "my.yaml")
    return [(p.line, str(p)) for p in told.value.problems]


def complaint(text: str | bytes) -> str:
    with pytest.raises(DocumentError) as told:
        parse_file(text, "my.yaml")
    return str(told.value)


def test_what_a_file_says_has_the_line_where_it_stands() -> None:
    found = {name: (given.value, given.line) for name, given in parse_file(GOOD, "f").items()}
    assert found == {
        "network.topo": ("metro-ring", 3),
        "kms.qra_kem": ("ML-KEM-768", 5),
        "kms.quotas": ({"sae-cell1": {"requests_per_s": 50.0}}, 6),
    }


def test_everything_that_is_wrong_is_listed_by_line() -> None:
    text = "network:\n  scale: fast\nkms:\n  limits:\n    pool_tagret: 3\ntunnel: {data_plane: kernal}\n"
    assert complaints(text) == [
        (2, "network.scale: 'fast' is not a number from 0.01 to 1,000, in Mbit/s"),
        (5, "kms.limits.pool_tagret: there is no such setting: did you mean 'pool_target'?"),
        (6, "tunnel.data_plane: 'kernal' is not one of auto, userspace, kernel"),
    ]
    assert complaint(text).startswith("my.yaml:2: network.scale: ")
    assert complaint(text).endswith("(and 2 more: `qslice config validate` lists them)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "my.yaml:1: the file is empty: begin with `version: 1`"),
        ("# nothing\n", "my.yaml:1: the file is empty: begin with `version: 1`"),
        ("- 1\n", "my.yaml:1: it holds no mapping of settings: begin with `version: 1`"),
        ("just words\n", "my.yaml:1: it holds no mapping of settings: begin with `version: 1`"),
        (b"\x7fELF\x00\xff\xfe", "my.yaml:1: it is not UTF-8 text: save it in that encoding"),
        ("version: 2\n", "my.yaml:1: version: the file is of version 2, and this QSlice reads version 1"),
        ("version: true\n", "my.yaml:1: version: the file is of version true, and"),
        ("version: '1'\n", "my.yaml:1: version: the file is of version '1', and"),
        ("api:\n  port: 1\n  port: 2\n", "my.yaml:3: neither YAML nor JSON: 'port' stands here a second time"),
        ("api: {port: 1\n", "my.yaml:2: neither YAML nor JSON: "),
        ("api:\n\tport: 1\n", "my.yaml:2: neither YAML nor JSON: "),
        ("kms: &a\n  quotas: *a\n", "my.yaml:1: neither YAML nor JSON: this holds itself"),
        ("network: {scale: .nan}\n", "my.yaml:1: neither YAML nor JSON: network.scale: .nan is no number"),
        ("network: {scale: .inf}\n", "my.yaml:1: neither YAML nor JSON: network.scale: .inf is no number"),
        ('{"network": {"scale": NaN}}', "my.yaml:1: network.scale: 'NaN' is not a number"),
        ("network: {scale: 1e999}\n", "my.yaml:1: neither YAML nor JSON: network.scale: 1e999 is no number"),
        ("network: {scale: -1}\n", "my.yaml:1: network.scale: -1 is not a number from 0.01 to 1,000"),
        ("api: {port: -1}\n", "my.yaml:1: api.port: -1 is not a whole number from 1 to 65,535"),
        ("api: {port: 8080.5}\n", "my.yaml:1: api.port: 8080.5 is not a whole number"),
        ("api: {port: '8080'}\n", "my.yaml:1: api.port: '8080' is not a whole number"),
        ("api: {port: null}\n", "my.yaml:1: api.port: null is not a whole number"),
        (f"api: {{port: {10**60}}}\n", "my.yaml:1: api.port: 1000000000"),
        ("api: {host: everywhere}\n", "my.yaml:1: api.host: 'everywhere' is not possible"),
        ("api: {hosts: lab}\n", "my.yaml:1: api.hosts: 'lab' is not a list of text"),
        ("api: {hosts: ['a b']}\n", "my.yaml:1: api.hosts[0]: "),
        ("network: {shaped: yes}\n", "my.yaml:1: network.shaped: 'yes' is not true or false"),
        ("network: {shaped: 1}\n", "my.yaml:1: network.shaped: 1 is not true or false"),
        ("network: fast\n", "my.yaml:1: network: a mapping of settings is expected here"),
        ("kms: {limits: {pool_target: 1000000000000}}\n", "my.yaml:1: kms.limits.pool_target: 1000000000000 is not"),
        ("kms: {qkd: {prefill_s: 1e30}}\n", "my.yaml:1: kms.qkd.prefill_s: 1e+30 is not a number from 0 to 86,400"),
        ("kms: {default_key_source: rot13}\n", "my.yaml:1: kms.default_key_source: 'rot13' is no key source"),
        ("kms: {quotas: {sae-x: {bits_per_s: 0}}}\n", "my.yaml:1: kms.quotas.sae-x.bits_per_s: "),
        ("kms: {quotas: {sae-x: {bit_per_s: 9}}}\n",
         "kms.quotas.sae-x.bit_per_s: there is no such setting: did you mean 'bits_per_s'?"),
        ("tunnel: {probe_s: 0.01}\n", "my.yaml:1: tunnel.probe_s: 0.01 is not possible: 0 (never) or at least 0.05"),
        ("controller: {forbidden_suites: [rot13]}\n", "my.yaml:1: controller.forbidden_suites[0]: "),
        ("bench: {scale: {sites: [4]}}\n", "my.yaml:1: bench.scale.sites[0]: "),
        ("bench: {scale: {sites: []}}\n", "my.yaml:1: bench.scale.sites: a list is not"),
        ("qra_kem: auto\n", "my.yaml:1: qra_kem: there is no such setting: did you mean 'kms.qra_kem'?"),
        ("kms.qra_kem: auto\n", "my.yaml:1: kms.qra_kem: there is no such setting: in the file each part has a line"),
        ("netwrok: {}\n", "my.yaml:1: netwrok: there is no such setting: did you mean 'network'?"),
        ("name: x\nsites: []\n", "my.yaml:1: name: there is no such setting: here there are: network, encryption, api"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line_and_the_remedy(text: str | bytes, said: str) -> None:
    assert said in complaint(text)


def test_what_is_too_long_is_not_read() -> None:
    assert "it has more than 4 MiB" in complaint(b"#" * (5 << 20))
    assert "more than 20000 values" in complaint("api: {hosts: [" + "a, " * 30_000 + "]}")
    assert "nested deeper" in complaint("kms: " + "[" * 5000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kms:\n  limits:\n    key_size: 100\n", ":3: kms.limits.key_size: it must be a multiple of 8"),
        ("kms:\n  limits:\n    key_size: 2048\n", ":3: kms.limits.key_size: it must lie between min_key_size and"),
        ("kms:\n  limits: {pool_target: 500}\n", ":2: kms.limits.pool_target: it must not exceed max_key_count"),
        ("kms:\n  qra_kem: rot13\n", ":2: kms.qra_kem: 'rot13' is none of auto"),
        ("kms:\n  qra_kem: sntrup761+sntrup761\n", ":2: kms.qra_kem: 'sntrup761+sntrup761' names a mechanism twice"),
        ("kms:\n  quotas: {'a b': {}}\n", ":2: kms.quotas: 'a b' is not an SAE id"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_starts(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(DocumentError) as told:
        configuration_of_file(str(file))
    assert f"{file}{said}" in str(told.value)


def test_a_section_of_which_all_is_commented_out_says_nothing() -> None:
    assert parse_file("version: 1\nkms:\n  # qra_kem: auto\n", "f") == {}


def test_an_option_comes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("api: {port: 8081}\nopenflow: {port: 6654}\nnetwork: {scale: 2}\n")
    environment = {"QSLICE_CONFIG": str(file), "QSLICE_API__PORT": "8082", "QSLICE_OPENFLOW__PORT": "6655"}
    found = read_configuration(None, {"api.port": 8083, "network.bfd": None}, environment)
    assert found.entry("api.port").origin == Origin(Source.OPTION, "--api-port")
    assert found.entry("openflow.port").origin == Origin(Source.ENVIRONMENT, "QSLICE_OPENFLOW__PORT")
    assert found.entry("network.scale").origin == Origin(Source.FILE, f"{file}:3")
    assert found.entry("network.bfd").origin == Origin(Source.DEFAULT)
    assert found.differing() == {"network.scale": 2.0, "api.port": 8083, "openflow.port": 6655}


def test_the_option_names_another_file_than_the_environment(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("api: {port: 8081}")
    two.write_text("api: {port: 8082}")
    assert read_configuration(str(two), {}, {"QSLICE_CONFIG": str(one)})["api.port"] == 8082
    assert read_configuration(None, {}, {"QSLICE_CONFIG": ""})["api.port"] == 8080


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"QSLICE_API__PROT": "1"}, "QSLICE_API__PROT: there is no such setting: did you mean 'QSLICE_API__PORT'?"),
        ({"QSLICE_API__PORT": "http"}, "QSLICE_API__PORT: 'http' is not a whole number from 1 to 65,535"),
        ({"QSLICE_API__HOSTS": "[a"}, "QSLICE_API__HOSTS: "),
        ({"QSLICE_KMS__LIMITS__KEY_SIZE": "100"},
         "environment QSLICE_KMS__LIMITS__KEY_SIZE: kms.limits.key_size: it must be a multiple of 8"),
    ],
)  # fmt: skip
def test_a_variable_that_is_wrong_is_named(environment: dict[str, str], said: str) -> None:
    with pytest.raises(WrongRequest) as told:
        read_configuration(None, {}, environment)
    assert said in str(told.value)


def test_variables_that_are_no_settings_are_left_alone() -> None:
    others = {"QSLICE_REQUIRE_ALL": "1", "QSLICE_CALLER_PYTHON__X": "1", "QSLICE_API": "http://x", "A__B": "1"}
    assert read_configuration(None, {}, others).differing() == {}


def test_paths_are_meant_from_the_file_that_says_them(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("network: {topo: nets/mine.yaml}\ntunnel: {unsafe_keylog: keys.log}\n")
    found = configuration_of_file(str(file))
    assert found["network.topo"] == str(tmp_path / "nets/mine.yaml")
    assert found["tunnel.unsafe_keylog"] == str(tmp_path / "keys.log")
    assert read_configuration(None, {}, {"QSLICE_UNSAFE_KEYLOG": "k"})["tunnel.unsafe_keylog"] == str(Path.cwd() / "k")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    loop, dangling = tmp_path / "loop", tmp_path / "dangling"
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nowhere")
    for path, why in (
        (tmp_path / "none", "No such file"), (dangling, "No such file"), (tmp_path, "Is a directory"),
        (loop, "Too many levels"), (Path("a\0b"), "null byte"),
    ):  # fmt: skip
        with pytest.raises(TopologyError, match=f"cannot be read: .*{why}"):
            configuration_of_file(str(path))
        with pytest.raises(WrongRequest, match=r"--config: .*cannot be read"):
            read_configuration(str(path), {}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_of_others_is_named(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(GOOD)
    file.chmod(0)
    with pytest.raises(TopologyError, match="cannot be read: Permission denied"):
        configuration_of_file(str(file))


def test_a_link_and_a_pipe_are_files_like_others(tmp_path: Path) -> None:
    file, link = tmp_path / "my.yaml", tmp_path / "link.yaml"
    file.write_text(GOOD)
    link.symlink_to(file)
    assert configuration_of_file(str(link))["kms.qra_kem"] == "ML-KEM-768"
    reading, writing = os.pipe()
    os.write(writing, GOOD.encode())
    os.close(writing)
    assert configuration_of_file(f"/dev/fd/{reading}")["kms.qra_kem"] == "ML-KEM-768"
    os.close(reading)


def test_what_stands_under_an_unknown_name_is_never_repeated() -> None:
    """Somebody may take the file for a place to put a token."""
    for text in ("api: {token: s3cret}\n", "token: s3cret\n", "api: {token: {value: s3cret}}\n"):
        assert "s3cret" not in complaint(text)
    with pytest.raises(WrongRequest) as told:
        read_configuration(None, {}, {"QSLICE_API__TOKEN": "s3cret"})
    assert "s3cret" not in str(told.value)


# --- the commands --------------------------------------------------------------------------------------------------


def test_show_says_where_each_value_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(GOOD)
    monkeypatch.setenv("QSLICE_KMS__DH_GROUP", "ffdhe3072")
    assert main.main(["config", "show", "--config", str(file), "--json"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert settings["kms.qra_kem"] == {
        "value": "ML-KEM-768", "default": "auto", "unit": None, "from": {"source": "file", "where": f"{file}:5"},
    }  # fmt: skip
    assert settings["kms.dh_group"]["from"] == {"source": "environment", "where": "QSLICE_KMS__DH_GROUP"}
    assert settings["kms.qkd.prefill_s"] == {
        "value": 60.0, "default": 60.0, "unit": "s", "from": {"source": "default", "where": None},
    }  # fmt: skip
    assert main.main(["config", "show", "kms", "--config", str(file)]) == 0
    shown = capsys.readouterr().out
    assert f"{file}:5" in shown
    assert "api.port" not in shown
    assert main.main(["config", "show", "kmz"]) == 2
    assert "did you mean 'kms'?" in capsys.readouterr().err


def test_validate_lists_problems_and_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(GOOD)
    assert main.main(["config", "validate", str(file)]) == 0
    assert f"{file} is valid: it sets 3 of" in capsys.readouterr().out
    file.write_text("api: {prot: 1}\nkms: {qra: x}\n")
    assert main.main(["config", "validate", "--config", str(file)]) == 2
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()] == [f"{file}:1", f"{file}:2"]
    assert main.main(["config", "validate", str(file), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [(p["line"], p["field"]) for p in told["problems"]] == [(1, "api.prot"), (2, "kms.qra")]
    assert main.main(["config", "validate", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["up --detach", "demo", "experiment run link-cut", "bench provision", "bench paths"])
def test_a_wrong_file_ends_every_command_before_anything_is_made(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("api: {port: high}\n")
    out = {"demo": ["--report"], "up --detach": []}.get(words, ["--out"])
    made = [*out, str(tmp_path / "results")] if out else []
    assert main.main([*words.split(), *made, "--config", str(file)]) == 2
    assert f"{file}:1: api.port: 'high' is not a whole number" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("words", ["status", "slice list", "topo list", "link down x"])
def test_a_command_that_reads_no_settings_does_not_take_a_file(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be passed over in silence. In the environment it is for the commands that read it."""
    assert main.main(["--config", str(tmp_path / "none"), *words.split()]) == 2
    assert f"{words.removesuffix(' x')}: --config: this reads no settings" in capsys.readouterr().err
    monkeypatch.setenv("QSLICE_CONFIG", str(tmp_path / "none"))
    assert main.main(["topo", "list"]) == 0
