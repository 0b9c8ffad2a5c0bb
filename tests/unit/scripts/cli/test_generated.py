"""What is generated from the tree of commands: the reference, the manual page, completion."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.cli.grammar import completion, tree
from scripts.cli.grammar.__main__ import FOLDER, GENERATED
from scripts.cli.grammar.sections.measure import CARRIERS, MUTATIONS, TROUBLES, WIRES
from scripts.cli.grammar.sections.network import ATTACKS, DIRECTIONS
from scripts.cli.grammar.sections.slices import EXAMPLES
from scripts.cli.grammar.sections.topologies import IMPORT_FORMATS
from scripts.cli.grammar.shared import LEVELS

NAMES = "slice enterprise-app\nslice cdn\nsite cell1\nsection s2\nchannel cell1-agg1-ch1\n"


@pytest.mark.parametrize("name", GENERATED)
def test_it_is_current(name: str) -> None:
    """Write it anew with: .venv/bin/python -m scripts.cli.grammar"""
    assert (FOLDER / name).read_text(encoding="utf-8") == GENERATED[name]()


def test_the_manual_page_is_one() -> None:
    """groff says so, where it is; each leaf has a section everywhere."""
    page = GENERATED["qslice.1"]()
    assert [leaf.path for leaf in tree.leaves() if f".SS qslice {leaf.path}\n" not in page] == []
    groff = shutil.which("groff")
    if groff is not None:
        command = [groff, "-man", "-Tutf8", "-ww", "-z", str(FOLDER / "qslice.1")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""


def test_choices_are_those_of_what_is_chosen() -> None:
    """The grammar names them once more, as it loads none of what they are of."""
    from controller.testing import mutants
    from kms.sources.qkd.modes import AttackKind
    from scripts.bench.tunnel import run, wires
    from scripts.experiments.chaos.steps import Trouble
    from scripts.testbed.slice_requests import EXAMPLE_NAMES, RING
    from topologies.links import Direction
    from topologies.sources.reader import FORMATS
    from topologies.spec import SecurityClass

    assert tuple(kind.value for kind in AttackKind) == ATTACKS
    assert tuple(way.value for way in Direction) == DIRECTIONS
    assert tuple(trouble.value for trouble in Trouble) == TROUBLES
    assert tuple(level.label for level in SecurityClass) == LEVELS
    assert (mutants.MUTATIONS, run.EVERYBODY, wires.KINDS) == (MUTATIONS, CARRIERS, WIRES)
    assert (FORMATS, (*EXAMPLE_NAMES, RING)) == (IMPORT_FORMATS, EXAMPLES)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("qslice sli", {"slice"}),
        ("qslice slice d", {"delete"}),
        ("qslice slice show ", {"enterprise-app", "cdn", "--json", "--format"}),
        ("qslice slice show --format i", {"ietf"}),
        ("qslice -o json slice delete c", {"cdn"}),
        ("qslice -o ", {"table", "json", "yaml", "name"}),
        ("qslice link down cell", {"cell1-agg1-ch1"}),
        ("qslice node down ", {"cell1"}),
        ("qslice eavesdrop start s", {"s2"}),
        ("qslice up --topo m", {"metro-ring"}),
        ("qslice experiment run link", {"link-cut"}),
        ("qslice exec cell1 -- l", set()),
    ],
)
def test_bash_completes(tmp_path: Path, typed: str, offered: set[str]) -> None:
    names = tmp_path / "names"
    names.write_text(NAMES)
    script = completion.completion("bash").replace(completion.NAMES_FILE, str(names))
    ask = """
        read -r -a COMP_WORDS <<<"$1"
        [[ $1 != *' ' ]] || COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _qslice
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script + ask, "bash", typed], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert offered <= found
    if typed.split()[-1] not in ("show", "down"):
        assert found == offered


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "zsh") if shutil.which(shell)])
def test_a_shell_can_read_its_script(tmp_path: Path, shell: str) -> None:
    file = tmp_path / "script"
    file.write_text(completion.completion(shell))
    subprocess.run([shell, "-n", str(file)], check=True)
