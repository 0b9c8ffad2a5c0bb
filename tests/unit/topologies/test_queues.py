"""The kernel's settings while ports are made or removed: raised, never lowered, put back, and no must."""

from pathlib import Path

import pytest

from topologies.queues import deep_queues, quick_closing


def test_raises_the_default_and_puts_it_back(tmp_path: Path) -> None:
    setting = tmp_path / "rmem_default"
    setting.write_text("212992\n")
    with deep_queues(setting, 1 << 20):
        assert setting.read_text() == "1048576"
    assert setting.read_text() == "212992"


def test_puts_it_back_when_the_network_cannot_be_built(tmp_path: Path) -> None:
    setting = tmp_path / "rmem_default"
    setting.write_text("212992\n")
    with pytest.raises(RuntimeError), deep_queues(setting, 1 << 20):
        raise RuntimeError
    assert setting.read_text() == "212992"


def test_leaves_a_larger_default_alone(tmp_path: Path) -> None:
    setting = tmp_path / "rmem_default"
    setting.write_text("4194304\n")
    with deep_queues(setting, 1 << 20):
        setting.write_text("8388608\n")  # by the administrator, meanwhile
    assert setting.read_text() == "8388608\n"


def test_does_without_where_there_is_no_such_setting(tmp_path: Path) -> None:
    entered = False
    with deep_queues(tmp_path / "absent", 1 << 20):
        entered = True
    assert entered
    assert not (tmp_path / "absent").exists()


def test_closing_is_quick_meanwhile_alone(tmp_path: Path) -> None:
    setting = tmp_path / "rcu_expedited"
    setting.write_text("0\n")
    with quick_closing(setting):
        assert setting.read_text() == "1"
    assert setting.read_text() == "0"
