"""The process that reads data files: whatever becomes of it, the connector goes on and knows why."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from connector.adapters import arrow_projections
from connector.adapters.arrow_projections import ArrowProjections, DataUnreadableError

PROGRAM = [sys.executable, "-P", "-m", "connector.adapters.projection_program"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "loads.csv"
    path.write_text("sector,load\nfood,1.5\n")
    return path


def replaced_by(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(arrow_projections, "_PROGRAM", (sys.executable, "-c", program))


@pytest.mark.parametrize(
    "program",
    [
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "raise MemoryError",
        "print('{\"columns\":')",
    ],
)
async def test_a_reader_that_crashes_makes_the_file_unreadable_and_leaves_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    replaced_by(monkeypatch, program)
    projections = ArrowProjections(tmp_path / "projections")
    for attempt in (projections.describe(source), projections.materialise(source, ["load"], "digest")):
        with pytest.raises(DataUnreadableError, match=r"loads\.csv cannot be read: its reader failed"):
            await attempt
    assert not list((tmp_path / "projections").iterdir())


async def test_a_reader_that_takes_too_long_is_stopped(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced_by(monkeypatch, "import time; time.sleep(60)")
    projections = ArrowProjections(tmp_path / "projections", seconds=0.5)
    with pytest.raises(DataUnreadableError, match=r"it took more than 0\.5 seconds"):
        await projections.materialise(source, ["load"], "digest")
    assert not list((tmp_path / "projections").iterdir())


async def test_a_reading_that_nobody_waits_for_any_more_is_stopped(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    replaced_by(monkeypatch, f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)")
    reading = asyncio.create_task(
        ArrowProjections(tmp_path / "projections").materialise(source, ["load"], "digest")
    )
    while not started.exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.02)
    reading.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert not list((tmp_path / "projections").iterdir())


def test_the_reader_ends_when_the_connector_has_died(tmp_path: Path) -> None:
    endless = tmp_path / "endless.csv"
    with endless.open("w") as file:
        file.writelines(f"{number},{number}.5\n" for number in range(2_000_000))
    request = json.dumps({"source": str(endless)}).encode() + b"\n"
    # Its input ends together with the request, as it does when the connector is killed.
    ended = subprocess.run(PROGRAM, input=request, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")
