"""What stores of projections and places for jobs throw away, and what they never touch."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest

from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.no_sandbox import NoCompute
from connector.adapters.sandbox_compute import SandboxCompute
from connector.protocol.jobs import Job, JobLimits
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from tests.region.participants import until

DAY = timedelta(days=1)


def long_ago(path: Path) -> None:
    """As if nobody had used it for two days."""
    then = datetime.now(UTC).timestamp() - 2 * DAY.total_seconds()
    os.utime(path, (then, then))


def yesterday() -> datetime:
    return datetime.now(UTC) - DAY


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "loads.parquet"
    pa.parquet.write_table(pa.table({"a": [1, 2], "b": [3, 4]}), path)
    return path


@pytest.fixture
def projections(tmp_path: Path) -> ArrowProjections:
    return ArrowProjections(tmp_path / "projections")


async def test_projections_of_unwanted_data_go_and_those_of_wanted_data_stay(
    projections: ArrowProjections, source: Path
) -> None:
    wanted = [await projections.materialise(source, [name], "new") for name in ("a", "b")]
    unwanted = [await projections.materialise(source, [name], "old") for name in ("a", "b")]
    for path in (*wanted, *unwanted):
        long_ago(path)

    assert await projections.discard({"new"}, yesterday()) == 2

    assert all(path.exists() for path in wanted)
    assert not any(path.exists() for path in unwanted)
    assert await projections.discard({"new"}, yesterday()) == 0
    assert await projections.discard(set(), yesterday()) == 2


async def test_an_unwanted_projection_that_was_asked_for_today_stays_until_tomorrow(
    projections: ArrowProjections, source: Path
) -> None:
    path = await projections.materialise(source, ["a"], "old")
    assert await projections.discard(set(), yesterday()) == 0
    long_ago(path)
    made = path.stat().st_mtime_ns

    assert await projections.materialise(source, ["a"], "old") == path

    assert await projections.discard(set(), yesterday()) == 0
    assert path.stat().st_mtime_ns == made
    assert await projections.discard(set(), datetime.now(UTC) + DAY) == 1


async def test_a_projection_that_is_being_read_is_read_to_its_end(
    projections: ArrowProjections, source: Path
) -> None:
    path = await projections.materialise(source, ["a"], "old")
    long_ago(path)
    with pa.memory_map(str(path)) as mapped:
        reader = pa.ipc.open_file(mapped)
        assert await projections.discard(set(), datetime.now(UTC) + DAY) == 1
        assert reader.read_all().to_pydict() == {"a": [1, 2]}
    assert await projections.materialise(source, ["a"], "old") == path
    assert path.exists()


async def test_unfinished_projections_of_a_process_that_died_go_and_other_files_stay(
    projections: ArrowProjections, tmp_path: Path
) -> None:
    directory = tmp_path / "projections"
    directory.mkdir()
    unfinished, fresh, of_before, foreign = (
        directory / name for name in (".abc.part", ".new.part", "0" * 64 + ".arrow", "README.txt")
    )
    for path in (unfinished, fresh, of_before, foreign):
        path.write_bytes(b"x")
    for path in (unfinished, of_before, foreign):
        long_ago(path)

    assert await projections.discard({"new"}, yesterday()) == 2

    assert sorted(directory.iterdir()) == sorted([fresh, foreign])


async def test_a_store_that_has_made_nothing_yet_has_nothing_to_throw_away(
    projections: ArrowProjections, tmp_path: Path
) -> None:
    assert await projections.discard({"new"}, yesterday()) == 0
    assert not (tmp_path / "projections").exists()


# jobs


@pytest.fixture
def compute(tmp_path: Path) -> SandboxCompute:
    try:
        return SandboxCompute(Sandbox.probe(), tmp_path / "jobs")
    except SandboxUnavailableError as missing:
        pytest.skip(str(missing))


async def test_folders_of_dead_jobs_go_and_those_of_running_ones_stay(
    compute: SandboxCompute, source: Path, tmp_path: Path
) -> None:
    assert await compute.clear() == 0
    program = "import time\nopen('/out/started', 'w').close()\ntime.sleep(1)"
    job = Job("urn:uuid:1", {"main.py": program}, {}, source, "loads.arrow", JobLimits(wall_seconds=30))
    running = asyncio.create_task(compute.run(job))
    await until(lambda: bool(list((tmp_path / "jobs").glob("job-*/out/started"))))
    dead = tmp_path / "jobs" / "job-dead"
    (dead / "out" / "deep" / "deeper").mkdir(parents=True)
    (dead / "out" / "deep" / "rows.csv").write_text("secret")
    (dead / "out").chmod(0o000)
    foreign = tmp_path / "jobs" / "notes.txt"
    foreign.write_text("")

    assert await compute.clear() == 1

    assert not dead.exists()
    assert foreign.exists()
    outcome = await running
    assert outcome.succeeded
    assert [file.name for file in outcome.outputs] == ["started"]
    assert list((tmp_path / "jobs").iterdir()) == [foreign]


async def test_a_job_that_is_cancelled_while_it_is_prepared_leaves_nothing_for_long(
    compute: SandboxCompute, source: Path, tmp_path: Path
) -> None:
    files = {"main.py": "", **{f"part{number}.py": "x = 1\n" * 2000 for number in range(60)}}
    for turn in range(12):
        job = Job(f"urn:uuid:{turn}", files, {}, source, "loads.arrow", JobLimits())
        running = asyncio.create_task(compute.run(job))
        await asyncio.sleep(0.001 * turn)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await asyncio.sleep(0.2)  # a thread that was writing has finished

    await compute.clear()

    assert list((tmp_path / "jobs").glob("*")) == []


async def test_without_a_sandbox_there_is_nothing_to_clear() -> None:
    assert await NoCompute("none").clear() == 0
