"""A foreign program while it runs: talk with it, stop it, wait until nothing of it is left."""

import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass

from connector.sandbox import memory

DEFAULT_STDOUT_LIMIT = 16 << 20
_STDERR_LIMIT = 64 << 10
_READ_SIZE = 64 << 10
_MEMORY_CHECK_SECONDS = 0.1


class SandboxError(Exception):
    """A foreign program cannot be run."""


class SandboxUnavailableError(SandboxError):
    """This machine cannot confine a program; the sentence names the cause and the remedy."""


class SandboxStartError(SandboxError):
    """The sandbox could not be set up, so the program did not start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a program may use.

    Attributes:
        memory_bytes: Address space of each process, and private memory of all
            processes together.
        cpu_seconds: Processor time of each process.
        wall_seconds: Time from start to end.
        file_bytes: Size of each file it writes.
        processes: Processes and threads at the same time. Where the connector
            runs as root, all its sandboxes share this number.
        scratch_bytes: Size of `/tmp`.
    """

    memory_bytes: int
    cpu_seconds: int
    wall_seconds: float
    file_bytes: int
    processes: int
    scratch_bytes: int


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """How a program ended.

    Attributes:
        exit_code: Its own, or 128 + signal; None if the sandbox ended it.
        timed_out: Whether its wall-clock time was up.
        wall_seconds: Time from start to end.
        stdout: What it wrote and nobody had read, up to a limit.
        stderr: The first 64 KiB of what it said.
        out_of_memory: Whether all its processes together held too much.
    """

    exit_code: int | None
    timed_out: bool
    wall_seconds: float
    stdout: bytes
    stderr: bytes
    out_of_memory: bool = False


class SandboxedProcess:
    """A confined program that runs.

    Whoever starts one must call `finish`, whatever happens in between.

    Attributes:
        stdin: What is written here, the program reads.
        stdout: What the program writes.
    """

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        """Watch over a process that has just been started."""
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise SandboxStartError("The program was started without its three pipes.")
        self.stdin = process.stdin
        self.stdout = process.stdout
        self._process = process
        self._limits = limits
        self._init: int | None = None
        self._init_fd: int | None = None
        self._killed = self._timed_out = self._out_of_memory = False
        self._rest = bytearray()
        self._started = time.monotonic()
        self._report: SandboxReport | None = None
        self._works = asyncio.Event()
        self._works.set()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_later(limits.wall_seconds, self._expire)
        self._stderr = loop.create_task(_read_capped(process.stderr))
        self._watch = loop.create_task(self._watch_memory())

    def attach(self, information: bytes) -> None:
        """Learn from bubblewrap which process is the first one inside.

        Args:
            information: The JSON object that bubblewrap wrote about itself;
                empty if it ended before.
        """
        if information:
            self._init = init = int(json.loads(information)["child-pid"])
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                self._init_fd = os.pidfd_open(init)

    def rest(self) -> None:
        """Look away while a program that is our own waits for work: nothing foreign has reached it.

        All limits hold meanwhile but that of the memory of all its processes together.
        """
        self._works.clear()

    def work(self) -> None:
        """Watch from now on; before anything foreign is given to a program that rested."""
        self._works.set()

    def kill(self) -> None:
        """Stop the program and everything it has started, at once."""
        if self._process.returncode is not None:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            if self._init_fd is not None:
                # The kernel ends every process of a namespace together with its first one.
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        kill_child(self._process)

    async def finish(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - running out of time is a result here, no exception
        *,
        stdout_limit: int = DEFAULT_STDOUT_LIMIT,
    ) -> SandboxReport:
        """Close the program's input and wait until it and all its children are gone.

        Args:
            timeout: Seconds to wait before the program is stopped; its
                wall-clock limit holds in any case.
            stdout_limit: The program is stopped when it writes more than this.

        Returns:
            How it ended. Nothing of it runs any more.

        Raises:
            SandboxStartError: The program had never started.
        """
        if self._report is None:
            try:
                await self._wait(timeout, stdout_limit)
            except asyncio.CancelledError:
                # Whoever cancels us will tidy up next, so the program must be gone by then.
                self.kill()
                await self._wait(None, stdout_limit)
                raise
            finally:
                self._release()
            self._report = self._describe()
        return self._report

    async def _wait(self, seconds: float | None, stdout_limit: int) -> None:
        self.stdin.close()
        try:
            async with asyncio.timeout(seconds):
                await self._read_rest(stdout_limit)
                await self._process.wait()
        except TimeoutError:
            self._expire()
            await self._read_rest(stdout_limit)
            await self._process.wait()
        await asyncio.wait([self._stderr])
        await self._namespace_is_empty()

    async def _read_rest(self, limit: int) -> None:
        while chunk := await self.stdout.read(_READ_SIZE):
            self._rest += chunk[: limit - len(self._rest) + 1]
            if len(self._rest) > limit:
                self.kill()

    async def _namespace_is_empty(self) -> None:
        if self._init_fd is None:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        # The first process of a namespace ends only after all others there have.
        loop.add_reader(self._init_fd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._init_fd)

    async def _watch_memory(self) -> None:
        while await self._works.wait():
            await asyncio.sleep(_MEMORY_CHECK_SECONDS)
            if self._works.is_set() and self._holds_too_much():
                self._out_of_memory = True
                self.kill()

    def _holds_too_much(self) -> bool:
        return self._init is not None and memory.private_bytes(self._init) > self._limits.memory_bytes

    def _expire(self) -> None:
        if self._process.returncode is None:
            self._timed_out = True
            self.kill()

    def _release(self) -> None:
        self.kill()
        self._alarm.cancel()
        self._watch.cancel()
        self._stderr.cancel()
        if self._init_fd is not None:
            os.close(self._init_fd)
            self._init_fd = None

    def _describe(self) -> SandboxReport:
        stderr = self._stderr.result()
        code = self._process.returncode
        if not self._killed and code != 0 and stderr.startswith(b"bwrap: "):
            raise SandboxStartError(
                f"The sandbox could not be set up: {stderr.decode(errors='replace').strip()}"
            )
        return SandboxReport(
            exit_code=None if self._killed else code,
            timed_out=self._timed_out,
            wall_seconds=time.monotonic() - self._started,
            stdout=bytes(self._rest),
            stderr=stderr,
            out_of_memory=self._out_of_memory,
        )


def kill_child(process: asyncio.subprocess.Process) -> None:
    """Stop a child process, and leave it to asyncio to find out how it has ended.

    Its own `kill` waits for a child that has just ended, too. Asyncio then finds nobody
    to wait for, says so on standard error and makes an exit code up.

    Args:
        process: The child; one that has ended is left alone.

    Source:
        https://github.com/python/cpython/issues/127049
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and asyncio is about to say so
            os.kill(process.pid, signal.SIGKILL)


async def _read_capped(stream: asyncio.StreamReader) -> bytes:
    kept = bytearray()
    while chunk := await stream.read(_READ_SIZE):
        kept += chunk[: _STDERR_LIMIT - len(kept)]
    return bytes(kept)
