"""Run algorithms of others on this machine, in the sandbox.

A job finds its own files below `/job`, the permitted rows and columns as an
Arrow IPC file and its `parameters.json` below `/in`, all read-only, and leaves
plain files in `/out`. There is nothing else.
"""

import asyncio
import json
import logging
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from connector.protocol.jobs import (
    ENTRY_POINT,
    PARAMETERS,
    ComputationOutcome,
    Job,
    JobLimits,
    JobRefusedError,
    check_job,
)
from connector.sandbox.collection import collect, overflows, remove
from connector.sandbox.launch import Limits, Mount, Sandbox, SandboxedProcess, SandboxReport
from policies.model import LanguageMap

_OUTPUT_CHECK_SECONDS = 0.1
_FOLDER = "job-"
log = logging.getLogger("allmende.jobs")
_ALREADY_RUNNING: LanguageMap = {
    "en": "This computation is running already. Wait until it has ended.",
    "de": "Diese Berechnung läuft bereits. Warten Sie, bis sie beendet ist.",
}


@dataclass(slots=True)
class _Run:
    """What `cancel` must know about a job between its acceptance and its end."""

    process: SandboxedProcess | None = None
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.process is not None:
            self.process.kill()

    def attach(self, process: SandboxedProcess) -> None:
        self.process = process
        if self.cancelled:
            process.kill()


class SandboxCompute:
    """Runs jobs as confined child processes of the connector."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        """Use a place for the files of running jobs.

        Args:
            sandbox: How programs are confined on this machine.
            directory: Made if it is missing; nobody else may look into it.
                Every job has a directory of its own there and leaves nothing.
        """
        self._sandbox = sandbox
        self._directory = directory
        self._running: dict[str, _Run] = {}
        self._in_use: set[Path] = set()

    @property
    def tier(self) -> str:
        """Which protections are in force, for receipts."""
        return self._sandbox.tier

    async def run(self, job: Job) -> ComputationOutcome:
        """Run a job to its end and take what it has left.

        Args:
            job: The algorithm and its input. The projection's file is made
                readable for every user of the machine, because the job is
                another one: the directory it lies in must keep others out.

        Returns:
            What came out, not yet checked for release.

        Raises:
            JobRefusedError: A file of the job breaks a rule, or the
                computation is running already.
            SandboxError: The sandbox could not be set up.
        """
        check_job(job)
        if job.computation_id in self._running:
            raise JobRefusedError("", _ALREADY_RUNNING)
        run = self._running[job.computation_id] = _Run()
        try:
            return await self._run_in_own_directory(job, run)
        finally:
            del self._running[job.computation_id]

    def cancel(self, computation_id: str) -> bool:
        """Stop a running job at once; `run` then returns with `cancelled` set.

        Args:
            computation_id: The computation it runs for.

        Returns:
            Whether there was such a job.
        """
        run = self._running.get(computation_id)
        if run is not None:
            run.cancel()
        return run is not None

    async def clear(self) -> int:
        """Delete what is left of jobs that do not run any more, such as those of a process that died.

        Returns:
            How many directories were deleted.
        """
        found = await asyncio.to_thread(lambda: sorted(self._directory.glob(f"{_FOLDER}*")))
        left = [path for path in found if path not in self._in_use]
        return await asyncio.to_thread(_removed, left)

    async def _run_in_own_directory(self, job: Job, run: _Run) -> ComputationOutcome:
        sandbox = self._sandbox.isolated()
        # In one step: `clear` must not meet a directory that nobody has called his own yet.
        own = _make_directory(self._directory)
        self._in_use.add(own)
        try:
            mounts = await asyncio.to_thread(_prepare, own, job, sandbox.owner)
            report = await self._confine(sandbox, job, run, mounts, own / "out")
            outputs, refused = await asyncio.to_thread(collect, own / "out", job.limits)
        finally:
            try:
                await asyncio.to_thread(remove, own)
            finally:
                self._in_use.discard(own)
        return ComputationOutcome(
            exit_code=report.exit_code,
            timed_out=report.timed_out,
            cancelled=run.cancelled,
            wall_seconds=report.wall_seconds,
            outputs=outputs,
            refused=refused,
            stderr=report.stderr,
            tier=self.tier,
            out_of_memory=report.out_of_memory,
        )

    async def _confine(
        self, sandbox: Sandbox, job: Job, run: _Run, mounts: list[Mount], out: Path
    ) -> SandboxReport:
        limits = _limits(job.limits)
        process = await sandbox.start([f"/job/{ENTRY_POINT}"], mounts=mounts, limits=limits)
        run.attach(process)
        watch = asyncio.create_task(_watch_output(process, out, job.limits))
        try:
            return await process.finish()
        finally:
            watch.cancel()


async def _watch_output(process: SandboxedProcess, out: Path, limits: JobLimits) -> None:
    # The kernel limits the size of one file, not of all; the disk must not fill up meanwhile.
    while True:
        if await asyncio.to_thread(overflows, out, limits):
            process.kill()
            return
        await asyncio.sleep(_OUTPUT_CHECK_SECONDS)


def _limits(limits: JobLimits) -> Limits:
    return Limits(
        memory_bytes=limits.memory_bytes,
        cpu_seconds=limits.cpu_seconds,
        wall_seconds=limits.wall_seconds,
        file_bytes=limits.output_bytes,
        processes=limits.processes,
        scratch_bytes=limits.scratch_bytes,
    )


def _removed(directories: Sequence[Path]) -> int:
    """How many of them could be deleted; one that could not does not keep the others."""
    count = 0
    for directory in directories:
        try:
            remove(directory)
        except OSError:
            log.exception("what a job has left cannot be deleted")
        else:
            count += 1
    return count


def _make_directory(parent: Path) -> Path:
    parent.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent))


def _prepare(own: Path, job: Job, owner: int) -> list[Mount]:
    _write_files(own / "job", job.files)
    parameters = own / PARAMETERS
    _write_readable(parameters, json.dumps(job.parameters, allow_nan=False))
    out = own / "out"
    out.mkdir(mode=stat.S_IRWXU)
    if owner != os.geteuid():
        os.chown(out, owner, owner)
        job.projection.chmod(stat.S_IMODE(job.projection.stat().st_mode) | stat.S_IROTH)
    return [
        Mount(own / "job", "/job"),
        Mount(parameters, f"/in/{PARAMETERS}"),
        Mount(job.projection, f"/in/{job.input_name}"),
        Mount(out, "/out", writable=True),
    ]


def _write_files(directory: Path, files: Mapping[str, str]) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    for path, text in files.items():
        for parent in reversed(PurePosixPath(path).parents):
            (directory / parent).mkdir(exist_ok=True)
            (directory / parent).chmod(0o755)
        _write_readable(directory / path, text)


def _write_readable(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="")
    path.chmod(0o644)
