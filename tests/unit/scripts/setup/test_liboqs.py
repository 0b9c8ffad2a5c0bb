"""`setup --liboqs`: built once, by liboqs-python's own installer, and told plainly where the internet is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bare_machine import BareMachine

SOURCE = """
source "$qslice_root/scripts/setup/liboqs.sh"
mkdir -p "$(state_dir)"
touch "$qslice_root/../has-packages"
try_liboqs() { note "try $OQS_INSTALL_PATH"; }
build_liboqs() { note build; mkdir -p "$(liboqs_prefix)/lib"; touch "$(liboqs_prefix)/lib/liboqs.so"; }
"""


@pytest.fixture
def machine(tmp_path: Path) -> BareMachine:
    return BareMachine.make(tmp_path)


def test_it_is_built_once_and_tried(machine: BareMachine) -> None:
    code = f"{SOURCE} liboqs_source_answers() {{ note ask; }}\ninstall_liboqs; install_liboqs"
    done = machine.bash(code)
    assert done.returncode == 0, done.stderr
    tried = f"try {machine.clone}/.liboqs"
    assert machine.acts() == ["ask", "build", tried, tried]


def test_a_machine_without_the_internet_is_told_what_that_means(machine: BareMachine) -> None:
    done = machine.bash(f"{SOURCE} liboqs_source_answers() {{ echo no route; return 1; }}\ninstall_liboqs")
    assert done.returncode == 3
    assert "this machine does not reach it" in done.stderr
    assert "sntrup761" in done.stderr
    assert machine.acts() == []


def test_ours_is_used_unless_the_caller_names_another(machine: BareMachine) -> None:
    show = 'echo "${OQS_INSTALL_PATH-none}"'
    assert machine.bash(f"{SOURCE} unset OQS_INSTALL_PATH; use_liboqs; {show}").stdout == "none\n"
    built = f"{SOURCE} build_liboqs;"
    assert machine.bash(f"{built} use_liboqs; {show}").stdout == f"{machine.clone}/.liboqs\n"
    assert machine.bash(f"{built} OQS_INSTALL_PATH=/o; use_liboqs; {show}").stdout == "/o\n"
