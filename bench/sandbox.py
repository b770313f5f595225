"""What the sandbox costs: a job in it, against the same job as a plain process."""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.measuring import Table, milliseconds, ratio, timed
from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.sandbox_compute import SandboxCompute
from connector.demo.assets import job_files, publication
from connector.protocol.jobs import Job
from connector.sandbox.launch import Sandbox
from schemas.strict_json import JsonObject

TIMES = 9
_INPUT = "load_profiles.arrow"
_PARAMETERS: JsonObject = {"holdout_days": 7}
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
"""As many as in the sandbox."""
_TRIVIAL = {"main.py": "pass\n"}


def measure() -> list[Table]:
    """The demonstration's job, and a program that does nothing."""
    with tempfile.TemporaryDirectory(prefix="allmende-bench-") as directory:
        root = Path(directory)
        projection = asyncio.run(_projection(root))
        backend = SandboxCompute(Sandbox.probe(), root / "jobs")
        programs = {"the demonstration's job": job_files(), "a program that does nothing": _TRIVIAL}
        rows = [[name, *_compared(root, backend, projection, files)] for name, files in programs.items()]
    return [
        Table(
            f"A job in the sandbox and outside (median of {TIMES})",
            ("program", "plain process", "sandbox", "difference", "ratio"),
            rows,
            [
                f"Sandbox: {backend.tier}.",
                "Runs alternate, with the same interpreter, number of threads and memory-mapped file.",
                "The sandbox's time holds everything: laying out files, confinement, collecting outputs.",
            ],
        )
    ]


async def _projection(root: Path) -> Path:
    """What the job may see of the demonstration's dataset."""
    dataset = publication("stadtwerke")
    columns = ("profile", "sector", "ts", "load_kw")
    return await ArrowProjections(root / "projections").materialise(
        Path(str(dataset["file"])), columns, "bench"
    )


def _compared(root: Path, backend: SandboxCompute, projection: Path, files: Mapping[str, str]) -> list[str]:
    job = Job("urn:uuid:bench", files, _PARAMETERS, projection, _INPUT)

    def confined() -> None:
        outcome = asyncio.run(backend.run(job))
        assert outcome.exit_code == 0, outcome.stderr

    plain = _plain_process(root, projection, files)
    pairs = [(timed(plain, 1)[0], timed(confined, 1)[0]) for _ in range(TIMES)]
    base, guarded = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [milliseconds(base), milliseconds(guarded), milliseconds(guarded - base), ratio(guarded, base)]


def _plain_process(root: Path, projection: Path, files: Mapping[str, str]) -> Callable[[], None]:
    """The same program over the same input, with nothing around it."""
    place = Path(tempfile.mkdtemp(dir=root))
    for name in ("in", "out"):
        (place / name).mkdir()
    for path, text in files.items():
        (place / path).write_text(text, encoding="utf-8")
    (place / "in" / _INPUT).symlink_to(projection)
    (place / "in" / "parameters.json").write_text(json.dumps(_PARAMETERS), encoding="utf-8")
    command = [sys.executable, "-B", str(place / "main.py"), str(place / "in"), str(place / "out")]

    def run() -> None:
        subprocess.run(command, check=True, cwd=place, env=_THREADS)

    return run
