"""The files around the launcher that no Python imports: bash, Ruby."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.bare_machine import ROOT

BASH = (
    "scripts/qslice",
    "scripts/setup/environment.sh",
    "scripts/vm/build_root.sh",
    "scripts/vm/guest-boot.sh",
    ".ci/run",
)


def tool(name: str) -> str:
    """Its path; a skip where it is missing, but a failure where `qslice test` has installed it."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("QSLICE_REQUIRE_ALL") == "1":
            pytest.fail(f"{name} is missing, though scripts/setup/debian-packages-test.txt lists it")
        pytest.skip(f"needs {name}")
    return path


def test_vagrantfile_is_ruby() -> None:
    done = subprocess.run([tool("ruby"), "-wc", "Vagrantfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "Syntax OK", "")


def test_vagrantfile_describes_the_machine() -> None:
    """The Vagrantfile is run with a recorder in Vagrant's place."""
    recorder = """
    class Recorder
      def initialize(path) = @path = path
      def method_missing(name, *arguments, **options)
        path = [@path, name.to_s.chomp("=")].compact.join(".")
        path += "." + arguments[0].to_s if block_given?
        puts [path, *arguments.map(&:inspect), *options.map { |k, v| "#{k}=#{v}" }].join(" ") unless arguments.empty?
        yield Recorder.new(path) if block_given?
        Recorder.new(path)
      end
      def respond_to_missing?(*) = true
    end
    module Vagrant
      def self.configure(_version) = yield(Recorder.new(nil))
    end
    load "./Vagrantfile"
    """
    done = subprocess.run([tool("ruby"), "-e", recorder], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert 'vm.box "debian/bookworm64"' in said
    for provider in ("virtualbox", "libvirt"):
        assert f"vm.provider.{provider}.cpus 2\n" in said
        assert f"vm.provider.{provider}.memory 4096\n" in said
    assert "scripts/qslice setup" in said
    assert "host=8080 host_ip=127.0.0.1" in said
    assert "scripts/qslice demo" in said


@pytest.mark.parametrize("script", BASH)
def test_bash_is_clean(script: str) -> None:
    done = subprocess.run(
        [tool("shellcheck"), "--external-sources", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["scripts/qslice", ".ci/run"])
def test_launchers_are_executable(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize(("status", "reported"), [(0, 0), (1, 1), (3, 3), (124, 1)])
def test_ci_reports_the_status_of_the_test_command(tmp_path: Path, status: int, reported: int) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    launcher = tmp_path / "scripts" / "qslice"
    launcher.write_text(f'#!/bin/bash\necho "$*" >>calls\n[[ $1 == down ]] || exit {status}\n')
    launcher.chmod(0o755)
    done = subprocess.run(["/bin/bash", ".ci/run"], cwd=tmp_path, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == reported
    assert (tmp_path / "calls").read_text().splitlines() == (["test", "down"] if status == 124 else ["test"])
