"""Jobs that try to break out, to take data with them, or to use up the machine.

Every attack really runs in the sandbox; what is asserted is what it got. An
attack prints what it achieved as JSON to the file `loot.json` in `/out`.
"""

import asyncio
import contextlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connector.adapters.sandbox_compute import SandboxCompute
from connector.protocol.jobs import ComputationOutcome, Job, JobLimits
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from policies.outputs import OutputRefusedError, check_outputs

SECRET = "5ca1ab1e-private-key"
LIMITS = JobLimits(
    memory_bytes=512 << 20,
    cpu_seconds=10,
    wall_seconds=15.0,
    processes=32,
    scratch_bytes=4 << 20,
    output_bytes=1 << 20,
    output_files=8,
)
PREAMBLE = """
import ctypes, errno, json, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
loot = {}
def attempt(name, function):
    try:
        loot[name] = function()
    except BaseException as error:
        code = errno.errorcode.get(getattr(error, "errno", None))
        loot[name] = "refused: " + (code or type(error).__name__)
def call(number, *arguments):
    ctypes.set_errno(0)
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in (number, *arguments)]
    result = libc.syscall(*words)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
"""
EPILOGUE = """
with open("/out/loot.json", "w") as file:
    json.dump(loot, file)
"""


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


class Target:
    """A connector's machine with something worth stealing, and a way to run jobs on it."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        self.directory = directory
        self.key = directory / "connector-key.pem"
        self.key.write_text(SECRET)
        self.projection = directory / "projection.arrow"
        self.projection.write_bytes(b"ARROW1 permitted rows only")
        self.backend = SandboxCompute(sandbox, directory / "jobs")

    async def run(self, program: str, **limits: Any) -> ComputationOutcome:
        job = Job(
            computation_id="urn:uuid:attack",
            files={"main.py": program},
            parameters={"key": str(self.key), "host": os.getpid()},
            projection=self.projection,
            input_name="load_profiles.arrow",
            limits=replace(LIMITS, **limits),
        )
        return await self.backend.run(job)

    async def loot(self, attack: str, **limits: Any) -> dict[str, Any]:
        outcome = await self.run(PREAMBLE + attack + EPILOGUE, **limits)
        assert outcome.exit_code == 0, outcome.stderr.decode()
        (file,) = outcome.outputs
        return dict(json.loads(file.content))


@pytest.fixture
def target(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.setenv("ALLMENDE_SECRET", SECRET)
    target = Target(sandbox, tmp_path)
    before = target.projection.read_bytes()
    yield target
    assert target.projection.read_bytes() == before
    assert target.key.read_text() == SECRET
    assert list((tmp_path / "jobs").iterdir()) == [], "the attack has left something on the host"


def survivors_of(jobs: Path) -> list[str]:
    """Processes on the host that still see a directory of this test's jobs."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and str(jobs) in (process / "mountinfo").read_text():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


# --- the network ---------------------------------------------------------------------------------


async def test_a_job_cannot_reach_a_listening_socket_of_the_host(target: Target) -> None:
    visitors: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        attack = f"""
import urllib.request
port = {listener.getsockname()[1]}
attempt("connect", lambda: socket.create_connection(("127.0.0.1", port), 2).fileno())
attempt("http", lambda: urllib.request.urlopen(f"http://127.0.0.1:{{port}}/", timeout=2).status)
attempt("ipv6", lambda: socket.socket(socket.AF_INET6).fileno())
attempt("raw call", lambda: call(41 if os.uname().machine == "x86_64" else 198, 2, 1, 0))
"""
        loot = await target.loot(attack)
        with contextlib.suppress(TimeoutError):
            visitors.append(listener.accept())
    assert visitors == []
    assert loot == {
        "connect": "refused: EAFNOSUPPORT",
        "http": "refused: URLError",
        "ipv6": "refused: EAFNOSUPPORT",
        "raw call": "refused: EAFNOSUPPORT",
    }


async def test_the_same_connection_succeeds_outside_so_the_attack_is_real() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        guest = threading.Thread(target=lambda: socket.create_connection(listener.getsockname(), 2).close())
        guest.start()
        visitor, _ = listener.accept()
        visitor.close()
        guest.join()


async def test_a_job_resolves_no_name(target: Target) -> None:
    loot = await target.loot("""
attempt("dns", lambda: socket.getaddrinfo("example.org", 443))
attempt("hosts", lambda: open("/etc/resolv.conf").read())
""")
    assert loot["dns"] == "refused: gaierror"
    assert loot["hosts"] == "refused: ENOENT"


async def test_a_job_opens_no_family_of_sockets_but_unix(target: Target) -> None:
    loot = await target.loot("""
def opens(family, kind):
    with socket.socket(family, kind):
        return True
for family in range(0, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt(f"{family}/{kind}", lambda: opens(family, kind))
""")
    opened = {name.split("/")[0] for name, got in loot.items() if got is True}
    assert opened == {"1"}
    assert {got for name, got in loot.items() if not name.startswith("1/")} == {"refused: EAFNOSUPPORT"}


async def test_a_job_finds_no_unix_socket_of_the_host(target: Target) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0allmende-hostile-test")
        listener.listen()
        loot = await target.loot(r"""
def connect(name):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(name)
        return True
attempt("abstract", lambda: connect("\0allmende-hostile-test"))
attempt("dbus", lambda: connect("/run/dbus/system_bus_socket"))
attempt("docker", lambda: connect("/var/run/docker.sock"))
""")
    assert loot == {
        "abstract": "refused: ECONNREFUSED",
        "dbus": "refused: ENOENT",
        "docker": "refused: ENOENT",
    }


# --- the host's files and processes --------------------------------------------------------------


async def test_a_job_reads_no_file_of_the_host(target: Target) -> None:
    loot = await target.loot("""
parameters = json.load(open("/in/parameters.json"))
for path in ("/etc/passwd", "/etc/shadow", "/etc/hostname", os.path.expanduser("~root/.ssh"),
             "/home", "/var", "/run", "/sys", "/proc/kcore", "/dev/mem",
             "/dev/kmsg", "/dev/sda", "/dev/vda", parameters["key"],
             os.path.dirname(parameters["key"]), f"/proc/{parameters['host']}/environ", "/proc/1/environ",
             "/proc/1/mem", "/proc/1/root", "/proc/1/cwd/..", "/proc/1/fd"):
    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1).hex())
""")
    assert all(str(got).startswith("refused: ") for got in loot.values()), loot


async def test_a_job_sees_only_the_directories_it_needs(target: Target) -> None:
    loot = await target.loot("""
found = []
for directory, _, files in os.walk("/"):
    if directory.startswith(("/proc", "/usr", "/lib", "/dev")) or "site-packages" in directory:
        continue
    found += [os.path.join(directory, name) for name in files if "/lib/python3" not in directory]
loot["files"] = [name for name in found if "/lib/" not in name and "/bin/python" not in name]
""")
    assert sorted(loot["files"]) == [
        "/etc/ld.so.cache",
        "/in/load_profiles.arrow",
        "/in/parameters.json",
        "/job/main.py",
        "/sandbox/entry.py",
    ]


async def test_a_job_finds_the_secret_in_no_environment_and_no_command_line(target: Target) -> None:
    loot = await target.loot("""
seen = str(dict(os.environ))
for entry in os.listdir("/proc"):
    for name in ("environ", "cmdline", "maps", "mountinfo"):
        try:
            seen += open(f"/proc/{entry}/{name}", "rb").read().decode("latin-1")
        except OSError:
            pass
loot["seen"] = seen
loot["processes"] = [int(name) for name in os.listdir("/proc") if name.isdigit()]
loot["me"] = os.getpid()
""")
    assert SECRET not in loot["seen"]
    assert "ALLMENDE" not in loot["seen"]
    assert sorted(loot["processes"]) == [1, loot["me"]]


async def test_a_job_writes_nowhere_but_to_out_and_tmp(target: Target) -> None:
    loot = await target.loot("""
import sysconfig
def write(path):
    with open(path, "ab") as file:
        file.write(b"x")
    return "written"
for path in ("/in/load_profiles.arrow", "/in/new", "/job/main.py", "/job/new", "/new", "/usr/lib/new",
             "/dev/new", "/dev/shm/new", "/sandbox/entry.py", "/etc/passwd", "/proc/sys/kernel/core_pattern",
             "/proc/sysrq-trigger", "/proc/1/mem", "/proc/1/oom_score_adj",
             sysconfig.get_path("stdlib") + "/os.py", json.__file__, "/tmp/allowed", "/out/allowed"):
    attempt(path, lambda: write(path))
os.unlink("/out/allowed")
""")
    written = {path for path, got in loot.items() if got == "written"}
    assert written == {"/tmp/allowed", "/out/allowed"}  # noqa: S108 - the sandbox's own /tmp


async def test_a_job_has_no_capability_and_cannot_get_one(target: Target, sandbox: Sandbox) -> None:
    loot = await target.loot("""
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
loot["capabilities"] = [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
loot["users"] = status["Uid"].split() + status["Gid"].split()
loot["groups"] = status["Groups"].split()
loot["no new privileges"] = status["NoNewPrivs"].strip()
attempt("setuid", lambda: os.setuid(0))
attempt("setgid", lambda: os.setgid(0))
attempt("chown", lambda: os.chown("/out", 0, 0))
attempt("mknod", lambda: os.mknod("/out/device", 0o600 | 0o020000, os.makedev(1, 1)))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("hostname", lambda: socket.sethostname("owned"))
attempt("nice", lambda: os.nice(-5))
""")
    assert loot["capabilities"] == [0, 0, 0, 0, 0]
    users = {int(user) for user in loot["users"]}
    assert len(users) == 1
    assert users.isdisjoint({0, 65534}) if sandbox.as_root else users == {65534}
    # Without root's help the kernel keeps a user's groups; those outside the namespace show as 65534.
    assert set(loot["groups"]) <= (set() if sandbox.as_root else {"65534"})
    assert loot["no new privileges"] == "1"
    attempts = ("setuid", "setgid", "chown", "mknod", "chroot", "hostname", "nice")
    assert all(loot[name].startswith("refused: ") for name in attempts), loot


async def test_a_job_cannot_trace_read_or_kill_the_process_that_guards_it(target: Target) -> None:
    loot = await target.loot("""
import signal
arm = os.uname().machine != "x86_64"
buffer = ctypes.create_string_buffer(64)
child = os.fork()
if not child:
    time.sleep(5)
    os._exit(0)
attempt("trace the guard", lambda: call(117 if arm else 101, 16, 1, 0, 0))
attempt("trace a child", lambda: call(117 if arm else 101, 16, child, 0, 0))
attempt("read a process", lambda: call(270 if arm else 310, child, buffer, 1, buffer, 1, 0))
attempt("write a process", lambda: call(271 if arm else 311, child, buffer, 1, buffer, 1, 0))
attempt("steal a descriptor", lambda: call(438, os.pidfd_open(child), 1, 0))
attempt("the guard's memory", lambda: os.open("/proc/1/mem", os.O_RDWR))
os.kill(child, 9)
def kill_guard():
    os.kill(1, signal.SIGKILL)
    time.sleep(0.2)
    return "still guarded" if os.getppid() == 1 and os.path.exists("/proc/1") else "free"
attempt("kill the guard", kill_guard)
""")
    # Either the kernel does not let a job signal its guard at all, or the guard does not notice.
    assert loot.pop("kill the guard") in {"still guarded", "refused: EPERM"}
    assert loot.pop("the guard's memory") in {"refused: EACCES", "refused: EPERM"}
    assert set(loot.values()) == {"refused: EPERM"}


async def test_a_job_makes_no_namespace_and_mounts_nothing(target: Target) -> None:
    loot = await target.loot("""
arm = os.uname().machine != "x86_64"
attempt("user namespace", lambda: call(97 if arm else 272, 0x10000000))
attempt("network namespace", lambda: call(97 if arm else 272, 0x40000000))
attempt("clone into a user namespace", lambda: call(220 if arm else 56, 0x10000011, 0, 0, 0, 0))
attempt("clone3", lambda: call(435, 0, 0))
attempt("join", lambda: call(268 if arm else 308, os.open("/proc/self/ns/net", os.O_RDONLY), 0))
attempt("mount", lambda: call(40 if arm else 165, b"none", b"/tmp", b"tmpfs", 0, 0))
attempt("unmount", lambda: call(39 if arm else 166, b"/in", 2))
attempt("remount", lambda: call(40 if arm else 165, b"none", b"/in", 0, 32 | 4096, 0))
attempt("new mount interface", lambda: call(430, b"tmpfs", 0))
attempt("open_tree", lambda: call(428, -100, b"/", 1))
attempt("io_uring", lambda: call(425, 8, ctypes.create_string_buffer(256)))
attempt("bpf", lambda: call(280 if arm else 321, 0, 0, 0))
attempt("keyring", lambda: call(219 if arm else 250, 0, -3, 1))
attempt("userfaultfd", lambda: call(282 if arm else 323, 1))
attempt("perf", lambda: call(241 if arm else 298, ctypes.create_string_buffer(128), 0, -1, -1, 0))
attempt("handle", lambda: call(265 if arm else 304, -100, ctypes.create_string_buffer(64), 0))
""")
    missing = {"clone3", "io_uring"}
    assert {name: got for name, got in loot.items() if name in missing} == dict.fromkeys(
        missing, "refused: ENOSYS"
    )
    assert {got for name, got in loot.items() if name not in missing} == {"refused: EPERM"}


async def test_a_job_types_nothing_into_a_terminal(target: Target) -> None:
    loot = await target.loot("""
import fcntl
attempt("a terminal", lambda: os.open("/dev/tty", os.O_RDWR))
attempt("inject", lambda: fcntl.ioctl(0, 0x5412, b"x"))
loot["session"] = os.getsid(0)
""")
    assert loot == {"a terminal": "refused: ENXIO", "inject": "refused: EPERM", "session": 1}


# --- the machine's resources ---------------------------------------------------------------------


async def test_a_fork_bomb_ends_at_its_limit_and_nothing_survives(target: Target, tmp_path: Path) -> None:
    began = time.monotonic()
    outcome = await target.run(
        "import os, sys\nsys.argv = ['fork-bomb']\nwhile True:\n    try:\n        os.fork()\n"
        "    except OSError:\n        pass\n",
        wall_seconds=2.0,
    )
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert time.monotonic() - began < 10
    assert survivors_of(tmp_path / "jobs") == []


async def test_a_job_starts_no_more_processes_than_it_may(target: Target) -> None:
    loot = await target.loot("""
children = []
try:
    while len(children) < 1000:
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
        children.append(child)
except OSError as error:
    loot["stopped by"] = errno.errorcode[error.errno]
loot["children"] = len(children)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
""")
    assert loot["stopped by"] == "EAGAIN"
    assert 0 < loot["children"] < 32


async def test_a_memory_bomb_gets_an_error(target: Target) -> None:
    loot = await target.loot("""
attempt("one gibibyte", lambda: len(bytearray(1 << 30)))
attempt("shared", lambda: call(194 if os.uname().machine != "x86_64" else 29, 0, 1 << 30, 0o1600))
attempt("without a file", lambda: os.memfd_create("x"))
import resource
attempt("raise the limit", lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))
""")
    assert loot == {
        "one gibibyte": "refused: MemoryError",
        "shared": "refused: EPERM",
        "without a file": "refused: ENOSYS",
        "raise the limit": "refused: ValueError",
    }


async def test_a_memory_bomb_of_many_processes_is_stopped(
    target: Target, sandbox: Sandbox, tmp_path: Path
) -> None:
    if "memory watch" not in sandbox.tier:
        pytest.skip("this kernel does not list the children of a process")
    outcome = await target.run(
        """
import os, time
for _ in range(10):
    if not os.fork():
        hoard = bytearray(os.urandom(1)) * (200 << 20)
        time.sleep(60)
time.sleep(60)
""",
    )
    assert outcome.exit_code is None
    assert outcome.out_of_memory
    assert not outcome.timed_out
    assert outcome.wall_seconds < 10
    assert survivors_of(tmp_path / "jobs") == []


async def test_a_job_that_computes_for_ever_is_stopped_by_its_processor_time(target: Target) -> None:
    outcome = await target.run("while True: pass", cpu_seconds=1)
    assert outcome.exit_code is not None
    assert outcome.exit_code >= 128
    assert not outcome.timed_out


async def test_an_output_bomb_ends_at_the_size_of_one_file(target: Target) -> None:
    loot = await target.loot("""
def fill(path):
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
attempt("output", lambda: fill("/out/bomb"))
loot["size"] = os.path.getsize("/out/bomb")
os.unlink("/out/bomb")
def fill_scratch():
    for number in range(100):
        with open(f"/tmp/{number}", "wb", buffering=0) as file:
            written = file.write(bytes(1 << 20))
            if written < 1 << 20:
                return "full"
attempt("scratch", fill_scratch)
""")
    assert loot["output"] == "refused: EFBIG"
    assert loot["size"] <= 1 << 20
    assert loot["scratch"] in {"refused: ENOSPC", "full"}


async def test_a_job_that_fills_the_disk_with_many_files_is_stopped(target: Target) -> None:
    outcome = await target.run(
        "import time\n"
        "for n in range(10_000):\n    open(f'/out/{n}', 'wb').write(bytes(1 << 20))\n    time.sleep(0.01)\n",
    )
    assert outcome.exit_code is None
    assert outcome.wall_seconds < 5
    assert outcome.outputs == ()
    # It is a race which of the two limits is seen first.
    (refused,) = outcome.refused
    assert refused.reason["en"].startswith(
        ("The job left more than 8", "The job's outputs are larger than 1048576")
    )


async def test_a_job_that_hides_files_in_deep_directories_is_stopped_and_leaves_nothing(
    target: Target,
) -> None:
    outcome = await target.run("""
import os
os.chdir("/out")
while True:
    os.mkdir("d")
    os.chdir("d")
    open("f", "wb").write(bytes(1 << 10))
""")
    assert outcome.exit_code is None
    assert outcome.wall_seconds < 5
    assert outcome.outputs == ()
    assert [entry.name for entry in outcome.refused] == ["d"]


async def test_a_job_that_sleeps_for_ever_is_stopped(target: Target) -> None:
    outcome = await target.run(
        "import signal, time\nfor n in range(1, 32):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n"
        "    except OSError:\n        pass\ntime.sleep(10_000)\n",
        wall_seconds=0.5,
    )
    assert outcome.timed_out
    assert outcome.wall_seconds < 5


@pytest.mark.parametrize("ends", ["itself", "by force"])
async def test_children_in_sessions_of_their_own_do_not_survive(
    target: Target, tmp_path: Path, ends: str
) -> None:
    outcome = await target.run(
        f"""
import os, signal, sys, time
for _ in range(5):
    if not os.fork():
        os.setsid()
        if not os.fork():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for descriptor in range(3):
                os.close(descriptor)
            while True:
                time.sleep(1)
        os._exit(0)
time.sleep({60 if ends == "by force" else 0.3})
""",
        wall_seconds=1.5,
    )
    assert outcome.timed_out is (ends == "by force")
    assert survivors_of(tmp_path / "jobs") == []


async def test_a_flood_of_words_is_dropped_and_costs_no_memory(target: Target) -> None:
    outcome = await target.run("import sys\nfor _ in range(1000):\n    sys.stderr.write('x' * 65536)\n")
    assert len(outcome.stderr) == 64 << 10
    flood = await target.run("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    assert flood.exit_code is None
    assert flood.wall_seconds < 10


# --- what comes out ------------------------------------------------------------------------------


async def test_a_link_to_a_secret_brings_nothing_out(target: Target) -> None:
    outcome = await target.run(f"""
import os
os.symlink({str(target.key)!r}, "/out/metrics.json")
os.symlink("/etc/shadow", "/out/shadow")
os.symlink("/proc/self/environ", "/out/environ")
os.symlink("/in/load_profiles.arrow", "/out/input")
""")
    assert outcome.exit_code == 0
    assert outcome.outputs == ()
    assert [entry.name for entry in outcome.refused] == ["environ", "input", "metrics.json", "shadow"]
    assert not outcome.succeeded


async def test_hard_links_pipes_and_directories_bring_nothing_out(target: Target) -> None:
    outcome = await target.run("""
import os, socket
try:
    os.link("/in/load_profiles.arrow", "/out/hard-link")
except OSError as error:
    assert error.errno == 18, error
open("/out/one", "w").write("x")
os.link("/out/one", "/out/two")
os.mkfifo("/out/pipe")
socket.socket(socket.AF_UNIX).bind("/out/socket")
os.chmod("/out/one", 0)
""")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.outputs == ()
    assert [entry.name for entry in outcome.refused] == ["one", "pipe", "socket", "two"]


async def test_a_job_that_locks_us_out_of_its_outputs_is_tidied_away(target: Target) -> None:
    outcome = await target.run("""
import os
os.mkdir("/out/locked")
os.mkdir("/out/locked/inner")
os.chmod("/out/locked/inner", 0)
os.chmod("/out/locked", 0)
os.chmod("/out", 0)
""")
    assert outcome.outputs == ()
    assert not outcome.succeeded


async def test_a_program_left_in_out_is_never_run_and_never_stays(target: Target) -> None:
    outcome = await target.run("""
import os
open("/out/tool", "w").write("#!/bin/sh")
os.chmod("/out/tool", 0o6777)
""")
    assert [(file.name, file.content) for file in outcome.outputs] == [("tool", b"#!/bin/sh")]
    assert not any(path.stat().st_mode & stat.S_ISUID for path in target.directory.rglob("tool"))


async def released(target: Target, program: str) -> dict[str, bytes]:
    """Run a job and send what it left through the gate, as a release would."""
    outcome = await target.run(program)
    assert outcome.exit_code == 0, outcome.stderr.decode()
    checked = check_outputs(
        {file.name: file.content for file in outcome.outputs},
        allowed_kinds=frozenset({"metrics", "model"}),
        declared={"metrics.json": "metrics"} | ({"model.safetensors": "model"} if "model" in program else {}),
    )
    return {output.name: output.content for output in checked.released}


WITH_ROWS = "import json\nrows = open('/in/load_profiles.arrow').read()\n"
GOOD_METRICS = "open('/out/metrics.json', 'w').write('{\"mae\": 0.25}')\n"


async def test_an_honest_job_gets_its_outputs_released(target: Target) -> None:
    assert await released(target, GOOD_METRICS) == {"metrics.json": b'{"mae":0.25}'}


@pytest.mark.parametrize(
    ("attack", "name", "reason"),
    [
        (
            GOOD_METRICS
            + "open('/out/rows.arrow', 'wb').write(open('/in/load_profiles.arrow', 'rb').read())",
            "rows.arrow",
            "was not declared",
        ),
        (
            GOOD_METRICS + "import pickle\npickle.dump({'w': [1.0]}, open('/out/model.safetensors', 'wb'))",
            "model.safetensors",
            "not a safetensors file",
        ),
        (
            GOOD_METRICS + "import numpy, safetensors.numpy as s\n"
            "rows = open('/in/load_profiles.arrow').read()\n"
            "s.save_file({'w': numpy.zeros(1)}, '/out/model.safetensors', metadata={'rows': rows})",
            "model.safetensors",
            "not plain",
        ),
        (
            GOOD_METRICS + "import numpy, safetensors.numpy as s\n"
            "s.save_file({'w': numpy.frombuffer(b'rows' * 20_000, numpy.float32)}, '/out/model.safetensors')",
            "model.safetensors",
            "more than 10000 parameters",
        ),
        (
            GOOD_METRICS + "import numpy, safetensors.numpy as s\n"
            "open('/out/model.safetensors', 'wb').write(s.save({'w': numpy.zeros(1)}) + b'rows')",
            "model.safetensors",
            "not a safetensors file",
        ),
        ("open('/out/metrics.json', 'w').write('{\"mae\": NaN}')", "metrics.json", "finite numbers"),
        (WITH_ROWS + "json.dump({rows: 1}, open('/out/metrics.json', 'w'))", "metrics.json", "not plain"),
        (
            WITH_ROWS + "json.dump({'r': rows}, open('/out/metrics.json', 'w'))",
            "metrics.json",
            "finite numbers",
        ),
        (
            WITH_ROWS + "json.dump({'r': list(map(ord, rows))}, open('/out/metrics.json', 'w'))",
            "metrics.json",
            "finite numbers",
        ),
        ("pass", "metrics.json", "is missing"),
    ],
)
async def test_raw_rows_do_not_get_through_the_gate(
    target: Target, attack: str, name: str, reason: str
) -> None:
    with pytest.raises(OutputRefusedError) as caught:
        await released(target, attack)
    assert caught.value.name == name
    assert reason in caught.value.reason["en"]
    assert "permitted rows" not in caught.value.reason["en"]


async def test_low_bits_of_a_number_carry_nothing_out(target: Target) -> None:
    hidden = "open('/out/metrics.json', 'w').write('{\"mae\": 0.25000000000072616, \"rmse\": 1e-7}')"
    assert await released(target, hidden) == {"metrics.json": b'{"mae":0.25,"rmse":1e-07}'}


async def test_jobs_at_the_same_time_cannot_see_or_signal_each_other(target: Target, tmp_path: Path) -> None:
    spy = (
        PREAMBLE
        + "time.sleep(0.3)\nloot['seen'] = [n for n in os.listdir('/proc') if n.isdigit()]\n"
        + EPILOGUE
    )

    def job(number: int) -> Job:
        return Job(f"urn:uuid:{number}", {"main.py": spy}, {}, target.projection, "data.arrow", LIMITS)

    outcomes = await asyncio.gather(*(target.backend.run(job(number)) for number in range(3)))
    assert [json.loads(outcome.outputs[0].content)["seen"] for outcome in outcomes] == [["1", "2"]] * 3
    assert survivors_of(tmp_path / "jobs") == []
