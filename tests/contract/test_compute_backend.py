"""What every way of running a job owes to the rest of the connector."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from connector.adapters.sandbox_compute import SandboxCompute
from connector.protocol.jobs import Job, JobLimits, JobRefusedError
from connector.sandbox.launch import Sandbox, SandboxUnavailableError

LIMITS = JobLimits(wall_seconds=30.0, cpu_seconds=30)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["sandbox"])
def backend(sandbox: Sandbox, tmp_path: Path) -> Iterator[SandboxCompute]:
    yield SandboxCompute(sandbox, tmp_path / "jobs")
    assert list((tmp_path / "jobs").glob("*")) == [], "a job has left something behind"


@pytest.fixture
def projection(tmp_path: Path) -> Path:
    table = pa.table(
        {
            "ts": pa.array(
                [datetime(2016, 1, 1, hour, tzinfo=UTC) for hour in range(3)], pa.timestamp("us", "UTC")
            ),
            "load_kw": [0.5, 1.0, 1.5],
        },
    )
    path = tmp_path / "projection.arrow"
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    path.chmod(0o600)
    return path


@pytest.fixture
def job(projection: Path) -> Job:
    return Job("urn:uuid:1", {"main.py": ""}, {}, projection, "load_profiles.arrow", LIMITS)


def with_main(job: Job, program: str, **files: str) -> Job:
    return replace(job, files={"main.py": program, **files})


async def test_a_job_maps_its_input_into_memory_and_leaves_outputs(backend: SandboxCompute, job: Job) -> None:
    program = """
import json, pathlib
import pyarrow as pa, pyarrow.compute as pc
from model import double
with pa.memory_map("/in/load_profiles.arrow") as memory:
    table = pa.ipc.open_file(memory).read_all()
    mean = pc.mean(table["load_kw"]).as_py()
factor = json.loads(pathlib.Path("/in/parameters.json").read_text())["factor"]
pathlib.Path("/out/metrics.json").write_text(json.dumps({"mean": double(mean) * factor, "rows": len(table)}))
"""
    outcome = await backend.run(
        replace(
            job,
            files={
                "main.py": program,
                "model/__init__.py": "from model.ridge import double",
                "model/ridge.py": DOUBLE,
            },
            parameters={"factor": 10, "größe": "ä"},
        ),
    )
    assert outcome.stderr == b""
    assert outcome.exit_code == 0
    assert outcome.succeeded
    assert [(file.name, json.loads(file.content)) for file in outcome.outputs] == [
        ("metrics.json", {"mean": 20.0, "rows": 3}),
    ]
    assert outcome.refused == ()
    assert 0 < outcome.wall_seconds < 30
    assert outcome.tier == backend.tier != ""


DOUBLE = "def double(x):\n    return 2 * x\n"


async def test_a_job_that_fails_says_why_to_the_steward_only(backend: SandboxCompute, job: Job) -> None:
    outcome = await backend.run(with_main(job, "print('said')\nraise SystemExit('the column is missing')"))
    assert outcome.exit_code == 1
    assert not outcome.succeeded
    assert outcome.stderr == b"the column is missing\n"
    assert outcome.outputs == ()


async def test_a_job_is_stopped_when_its_time_is_up(backend: SandboxCompute, job: Job) -> None:
    sleeper = with_main(job, "import time\ntime.sleep(60)")
    outcome = await backend.run(replace(sleeper, limits=replace(LIMITS, wall_seconds=0.5)))
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert 0.5 <= outcome.wall_seconds < 5
    assert not outcome.succeeded


async def test_a_running_job_can_be_cancelled_and_run_again(backend: SandboxCompute, job: Job) -> None:
    sleeper = with_main(job, "import time\nopen('/out/started', 'w').close()\ntime.sleep(60)")
    running = asyncio.create_task(backend.run(sleeper))
    await asyncio.sleep(0.3)
    with pytest.raises(JobRefusedError, match="running already"):
        await backend.run(sleeper)
    assert backend.cancel(job.computation_id)
    outcome = await running
    assert outcome.cancelled
    assert not outcome.succeeded
    assert outcome.wall_seconds < 10
    assert not backend.cancel(job.computation_id)
    assert (await backend.run(job)).succeeded


async def test_a_job_ends_with_the_task_that_runs_it(backend: SandboxCompute, job: Job) -> None:
    running = asyncio.create_task(backend.run(with_main(job, "import time\ntime.sleep(60)")))
    await asyncio.sleep(0.3)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not backend.cancel(job.computation_id)


async def test_a_job_that_breaks_a_rule_is_refused_before_anything_runs(
    backend: SandboxCompute, job: Job
) -> None:
    with pytest.raises(JobRefusedError, match="plain path"):
        await backend.run(replace(job, files={"main.py": "", "../outside.py": ""}))


async def test_several_jobs_run_at_once_and_do_not_meet(backend: SandboxCompute, job: Job) -> None:
    program = "import json, os\njson.dump(os.listdir('/out'), open('/out/{0}', 'w'))"
    jobs = [replace(with_main(job, program.format(n)), computation_id=f"urn:uuid:{n}") for n in range(4)]
    outcomes = await asyncio.gather(*map(backend.run, jobs))
    assert [[file.name for file in outcome.outputs] for outcome in outcomes] == [["0"], ["1"], ["2"], ["3"]]
    assert [file.content for outcome in outcomes for file in outcome.outputs] == [b"[]"] * 4


async def test_what_a_job_says_is_kept_up_to_64_kib(backend: SandboxCompute, job: Job) -> None:
    outcome = await backend.run(with_main(job, "import sys\nsys.stderr.write('x' * 1_000_000)"))
    assert outcome.succeeded
    assert len(outcome.stderr) == 64 << 10
