"""The files around the launcher that no Python imports: bash, Ruby."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.vm.tree import EXCLUDED
from tests.support.bare_machine import ROOT

BASH = (
    "scripts/qslice",
    "scripts/offline/bare_machine.sh",
    "scripts/setup/environment.sh",
    "scripts/setup/into-image.sh",
    "scripts/setup/liboqs.sh",
    "scripts/setup/offline.sh",
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
    assert "host=8080 host_ip=127.0.0.1" in said
    assert "sudo qslice demo" in said
    (sync,) = re.findall(r"rsync__args=(\[.*?\])", said)
    assert "--delete" not in sync, "a student's files in /vagrant survive"
    (excluded,) = re.findall(r"rsync__exclude=(\[.*?\])", said)
    assert {".venv/", ".state/", ".liboqs/", "results/"} <= set(re.findall(r'"([^"]+)"', excluded))


def test_the_machines_provisioning_gives_the_command_its_name(tmp_path: Path) -> None:
    """The Vagrantfile's own line is run, and what it links is the launcher."""
    text = (ROOT / "Vagrantfile").read_text(encoding="utf-8")
    (link,) = re.findall(r'inline: "(ln .*)"', text)
    assert text.index(link) < text.index('inline: "qslice setup"')
    here = link.replace("/usr/local/bin", str(tmp_path)).replace("/vagrant", str(ROOT))
    for _ in range(2):  # provisioning may be repeated
        subprocess.run(["/bin/sh", "-c", here], check=True)
    done = subprocess.run([str(tmp_path / "qslice"), "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "demo" in done.stdout


def test_the_containers_recipe_installs_what_the_set_up_does() -> None:
    """What it copies and runs is there; the step that installs is the one that `test --vm` makes its guest with."""
    text = (ROOT / "scripts/setup/Containerfile").read_text(encoding="utf-8")
    recipe = dict(re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE))
    assert recipe["FROM"] == "docker.io/library/debian:bookworm-slim"
    source, target = recipe["COPY"].split()
    assert source == "."
    step, _, link = recipe["RUN"].partition(" && ")
    installer = step.replace(f"{target}/", "")
    assert os.access(ROOT / installer, os.X_OK)
    assert installer in (ROOT / "scripts/vm/build_root.sh").read_text(encoding="utf-8")
    assert link == f"ln -s {target}/scripts/qslice /usr/local/bin/qslice"
    assert json.loads(recipe["ENTRYPOINT"]) == ["qslice"]
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split()}
    assert EXCLUDED - {"__pycache__"} <= ignored


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
