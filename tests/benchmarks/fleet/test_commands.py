"""`gradrace race --on`: one clear line for a user's mistake, and nothing written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gradrace import commands


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """The words of a race that is refused on a fleet, with which nothing was written."""
    monkeypatch.chdir(tmp_path)

    def ask(fleet: str, *options: str) -> str:
        (tmp_path / "fleet.yaml").write_text(fleet)
        found = CliRunner().invoke(
            commands, ["race", "--on", "fleet.yaml", "--record", "out/record.json", *options]
        )
        assert found.exit_code == 2, found.output
        left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        assert left == {"fleet.yaml"}
        return str(found.output)

    return ask


def test_a_wrong_file_is_refused_with_its_line(refused) -> None:
    assert "fleet.yaml, line 3: " in refused("engine: dask\naddress: a\nhost: [b]\n")


def test_a_wrong_race_is_refused_before_any_host_is_asked(refused) -> None:
    assert "--baseline" in refused("engine: local\n", "--impl", "numpy", "--baseline", "loops")


def test_a_fleet_that_was_never_begun_is_not_resumed(refused) -> None:
    assert "race without --resume" in refused("engine: local\n", "--resume")


@pytest.mark.parametrize(
    ("fleet", "module", "extra"),
    [
        ("engine: dask\naddress: tcp://127.0.0.1:1\n", "distributed", "[dask]"),
        ("engine: slurm\nhosts: 2\n", "submitit", "[slurm]"),
    ],
)
def test_an_engine_that_is_not_installed_is_named(
    refused, fleet: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = refused(fleet)
    assert extra in message
    assert len(message.splitlines()) == 1


def test_a_scheduler_that_is_not_there_is_named(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    monkeypatch.setattr("benchmarks.fleet.on_dask.CONNECT_SECONDS", 1)
    message = refused("engine: dask\naddress: tcp://127.0.0.1:1\n")
    assert "expected a Dask scheduler at tcp://127.0.0.1:1" in message
    assert len(message.splitlines()) == 1


def test_a_machine_without_slurm_is_named(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    monkeypatch.setenv("PATH", "")
    message = refused("engine: slurm\nhosts: [a, b]\n")
    assert "engine: slurm: expected" in message
    assert len(message.splitlines()) == 1
