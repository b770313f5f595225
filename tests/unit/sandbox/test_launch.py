"""Starting programs in the sandbox and talking with them."""

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from connector.sandbox import launch
from connector.sandbox.launch import (
    Limits,
    Mount,
    Sandbox,
    SandboxStartError,
    SandboxUnavailableError,
)
from connector.sandbox.process import kill_child
from connector.sandbox.view import Interpreter

LIMITS = Limits(
    memory_bytes=1 << 30,
    cpu_seconds=20,
    wall_seconds=20.0,
    file_bytes=1 << 20,
    processes=64,
    scratch_bytes=1 << 20,
)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


def program(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(text)
    path.chmod(0o644)
    return [str(path)]


def owners_of_children(process: int) -> set[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {Path(f"/proc/{child}").stat().st_uid for child in children}


async def test_a_program_reads_its_input_and_writes_its_output(sandbox: Sandbox, tmp_path: Path) -> None:
    command = [
        *program(tmp_path, "import sys\nsys.stdout.write(sys.argv[1] + sys.stdin.read().upper())"),
        "> ",
    ]
    report = await sandbox.run(command, mounts=[], limits=LIMITS, stdin=b"hello")
    assert (report.exit_code, report.stdout, report.stderr) == (0, b"> HELLO", b"")
    assert not report.timed_out
    assert not report.out_of_memory


async def test_large_input_and_output_pass_without_a_deadlock(sandbox: Sandbox, tmp_path: Path) -> None:
    echo = "import sys, shutil\nshutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    report = await sandbox.run(program(tmp_path, echo), mounts=[], limits=LIMITS, stdin=b"x" * 4_000_000)
    assert report.stdout == b"x" * 4_000_000


async def test_output_beyond_the_limit_stops_the_program(sandbox: Sandbox, tmp_path: Path) -> None:
    endless = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    report = await sandbox.run(program(tmp_path, endless), mounts=[], limits=LIMITS, stdout_limit=100_000)
    assert report.exit_code is None
    assert not report.timed_out
    assert len(report.stdout) <= 100_001
    assert report.wall_seconds < 10


async def test_one_can_talk_with_a_program_while_it_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    text = """
import struct, sys
while size := sys.stdin.buffer.read(4):
    message = sys.stdin.buffer.read(*struct.unpack("<I", size))
    sys.stdout.buffer.write(struct.pack("<I", len(message)) + message[::-1])
    sys.stdout.buffer.flush()
"""
    process = await sandbox.start(program(tmp_path, text), mounts=[], limits=LIMITS)
    for message in (b"abc", b"", b"\0" * 100_000 + b"x"):
        process.stdin.write(struct.pack("<I", len(message)) + message)
        (size,) = struct.unpack("<I", await process.stdout.readexactly(4))
        assert await process.stdout.readexactly(size) == message[::-1]
    report = await process.finish(5.0)
    assert report.exit_code == 0
    assert await process.finish() == report


async def test_finishing_with_a_timeout_stops_the_program(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await sandbox.start(program(tmp_path, "import time\ntime.sleep(60)"), mounts=[], limits=LIMITS)
    report = await process.finish(0.3)
    assert report.timed_out
    assert report.exit_code is None
    assert report.wall_seconds < 5


async def test_a_program_that_rests_is_watched_again_as_soon_as_it_works(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    if "memory watch" not in sandbox.tier:
        pytest.skip("this kernel does not list the children of a process")
    text = """
import os, time
for _ in range(3):
    if not os.fork():
        hoard = bytearray(os.urandom(1)) * (60 << 20)
        os.write(1, b"h")
        time.sleep(60)
time.sleep(60)
"""
    limits = replace(LIMITS, memory_bytes=120 << 20)
    process = await sandbox.start(program(tmp_path, text), mounts=[], limits=limits)
    process.rest()
    assert await process.stdout.readexactly(3) == b"hhh"
    await asyncio.sleep(0.5)
    assert not process.stdout.at_eof()
    process.work()
    assert await process.stdout.read() == b""
    assert (await process.finish()).out_of_memory


async def test_a_killed_program_is_gone_when_finish_returns(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await sandbox.start(program(tmp_path, "import time\ntime.sleep(60)"), mounts=[], limits=LIMITS)
    process.kill()
    report = await process.finish()
    assert report.exit_code is None
    assert not report.timed_out


@pytest.fixture
def noticed_by_the_loop() -> Iterator[None]:
    """Only the event loop notices the end of a child, as from Python 3.12 on, and no thread beside it."""
    if sys.version_info >= (3, 12):
        yield
        return
    policy = asyncio.get_event_loop_policy()
    before = policy.get_child_watcher()
    policy.set_child_watcher(asyncio.PidfdChildWatcher())
    yield
    policy.set_child_watcher(before)


def wait_for_the_end(child: int) -> None:
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


@pytest.mark.usefixtures("noticed_by_the_loop")
async def test_a_child_that_is_killed_as_it_ends_keeps_its_exit_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    wait_for_the_end(process.pid)
    kill_child(process)
    assert await process.wait() == 7
    kill_child(process)
    assert caplog.records == []


async def test_a_signal_that_ends_a_program_is_its_exit_code(sandbox: Sandbox, tmp_path: Path) -> None:
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    assert (await sandbox.run(program(tmp_path, text), mounts=[], limits=LIMITS)).exit_code == 128 + 9


async def test_an_open_file_is_inherited_and_all_others_are_not(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("shared")
    (tmp_path / "secret").write_text("secret")
    with (tmp_path / "shared").open() as shared, (tmp_path / "secret").open() as secret:
        os.set_inheritable(secret.fileno(), True)
        text = (
            f"import os\nprint(os.read({shared.fileno()}, 9), sorted(map(int, os.listdir('/proc/self/fd'))))"
        )
        descriptor = shared.fileno()
        process = await sandbox.start(
            program(tmp_path, text), mounts=[], limits=LIMITS, pass_fds=[descriptor], environment={"A": "b"}
        )
        report = await process.finish()
    listing = max({3, 4, 5} - {descriptor}, key=lambda n: n == 3 or (descriptor == 3 and n == 4))
    assert report.stdout.decode() == f"b'shared' {sorted([0, 1, 2, descriptor, listing])}\n"


async def test_variables_and_mounts_are_those_that_were_given(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLMENDE_SECRET", "secret")
    data = tmp_path / "data"
    data.write_text("data")
    data.chmod(0o644)
    text = "import os\nprint(open('/in/some/data').read(), sorted(os.environ), os.getcwd())"
    process = await sandbox.start(
        program(tmp_path, text),
        mounts=[Mount(data, "/in/some/data")],
        limits=LIMITS,
        environment={"EXTRA": "1"},
    )
    said = (await process.finish()).stdout.decode()
    assert said.startswith("data [")
    assert "'EXTRA'" in said
    assert "SECRET" not in said
    assert said.endswith(" /tmp\n")


async def test_a_mount_that_is_missing_is_a_start_error_with_its_name(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    missing = Mount(tmp_path / "missing", "/in/missing")
    with pytest.raises(SandboxStartError, match="missing"):
        await sandbox.run(program(tmp_path, ""), mounts=[missing], limits=LIMITS)


async def test_a_program_below_a_mount_is_run_there(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("import other")
    (tmp_path / "code" / "other.py").write_text("print(__file__)")
    report = await sandbox.run(["/job/main.py"], mounts=[Mount(tmp_path / "code", "/job")], limits=LIMITS)
    assert report.stdout == b"/job/other.py\n"


def test_the_tier_says_who_the_program_is_on_this_machine(sandbox: Sandbox) -> None:
    assert "seccomp" in sandbox.tier
    assert ("a user of its own" in sandbox.tier) == sandbox.as_root
    assert sandbox.owner != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="without root there is only one user to have")
def test_isolated_sandboxes_share_no_user(sandbox: Sandbox) -> None:
    owners = {sandbox.isolated().owner for _ in range(50)}
    assert len(owners) == 50
    assert owners.isdisjoint({0, 65534})


async def test_on_the_host_the_program_is_not_root(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await sandbox.start(program(tmp_path, "import time\ntime.sleep(60)"), mounts=[], limits=LIMITS)
    await asyncio.sleep(0.3)
    init = process._init
    assert init is not None
    owners = owners_of_children(init)
    process.kill()
    await process.finish()
    assert owners == {sandbox.owner}


def test_an_interpreter_that_cannot_be_shown_makes_the_sandbox_unavailable(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    nothing = Interpreter(tmp_path / "python", (), ())
    broken = Sandbox(
        sandbox.tier, sandbox.owner, sandbox.as_root, sandbox.bubblewrap, nothing, sandbox.call_filter
    )
    with pytest.raises(SandboxUnavailableError, match="user namespaces"):
        launch._prove(broken)


def test_without_the_filter_the_probe_says_so_and_refuses(sandbox: Sandbox) -> None:
    allow_everything = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
    broken = Sandbox(
        sandbox.tier,
        sandbox.owner,
        sandbox.as_root,
        sandbox.bubblewrap,
        sandbox.interpreter,
        allow_everything,
    )
    with pytest.raises(SandboxUnavailableError, match="AF_INET sockets"):
        launch._prove(broken)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make this mistake")
def test_a_user_namespace_of_roots_is_noticed(sandbox: Sandbox) -> None:
    trap = Sandbox(
        sandbox.tier, sandbox.owner, False, sandbox.bubblewrap, sandbox.interpreter, sandbox.call_filter
    )
    with pytest.raises(SandboxUnavailableError, match="is user 0 outside"):
        launch._prove(trap)


def test_only_the_library_directories_of_a_virtual_environment_are_shown() -> None:
    arguments = Interpreter.of_this_process().arguments()
    shown = {arguments[at + 1] for at, word in enumerate(arguments) if word == "--ro-bind"}
    assert sys.prefix not in shown
    assert not any(Path(path).name == "bin" for path in shown)
    assert "/etc" not in shown


def test_a_program_dies_with_the_connector(sandbox: Sandbox, tmp_path: Path) -> None:  # noqa: ARG001 - for its skip
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(600.25)")
    (tmp_path / "sleeper.py").chmod(0o644)
    connector = f"""
import asyncio, os, signal
from connector.sandbox.launch import Limits, Sandbox
async def main():
    limits = Limits(1 << 30, 20, 60.0, 1 << 20, 64, 1 << 20)
    process = await Sandbox.probe().start([{str(tmp_path / "sleeper.py")!r}], mounts=[], limits=limits)
    print(process._init, flush=True)
    await asyncio.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", connector]
    ended = subprocess.run(command, capture_output=True, check=False, env=environment, timeout=30)
    init = Path(f"/proc/{int(ended.stdout)}")
    assert ended.returncode == -9
    deadline = time.monotonic() + 5
    while init.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not init.exists()


async def test_a_start_that_is_cancelled_leaves_nothing_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    sleeper = program(tmp_path, "import time\ntime.sleep(60)")
    for step in range(30):
        starting = asyncio.create_task(sandbox.isolated().start(sleeper, mounts=[], limits=LIMITS))
        await asyncio.sleep(step * 0.002)
        starting.cancel()
        try:
            process = await starting
        except asyncio.CancelledError:
            continue
        process.kill()
        await process.finish()
    await asyncio.sleep(0.3)
    assert [command for command in commands_on_this_machine() if sleeper[0] in command] == []


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_is_opened_after_a_start_stays_open(run: Callable[..., None], sandbox: Sandbox) -> None:
    async def start_and_open() -> None:
        with launch._descriptors(sandbox.call_filter) as (_, info, info_end):
            number = info.fileno()
            info_end.sendall(b"{}")
            info_end.close()
            assert await launch._read_to_end(info) == b"{}"
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
        await asyncio.sleep(0.01)
        try:
            assert number in opened
            for descriptor in opened:
                os.fstat(descriptor)
        finally:
            for descriptor in opened:
                os.close(descriptor)

    run(start_and_open())


def commands_on_this_machine() -> list[str]:
    commands = []
    for entry in Path("/proc").iterdir():
        try:
            commands.append((entry / "cmdline").read_text(errors="replace"))
        except OSError:
            continue
    return commands
