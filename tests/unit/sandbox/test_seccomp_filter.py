"""The system call filter: read by an interpreter of its own, and obeyed by the kernel."""

import errno
import json
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from connector.sandbox.seccomp import UnknownArchitectureError, assemble

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86_64, AARCH64, I386, ARM = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028


def refused(number: int) -> int:
    return 0x00050000 | number


def judge(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """Run classic BPF over a `struct seccomp_data`, as the kernel would."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, on_true, on_false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x15:
                at += on_true if accumulator == value else on_false
            case 0x35:
                at += on_true if accumulator >= value else on_false
            case 0x45:
                at += on_true if accumulator & value else on_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(code)


# Typed from the kernel's tables, not from ours.
CALLS = {
    "read": (0, 63, ()),
    "write": (1, 64, ()),
    "openat": (257, 56, ()),
    "mmap": (9, 222, ()),
    "futex": (202, 98, ()),
    "execve": (59, 221, ()),
    "prlimit64": (302, 261, ()),
    "getrandom": (318, 278, ()),
    "rseq": (334, 293, ()),
    "close_range": (436, 436, ()),
    "faccessat2": (439, 439, ()),
    "clone for a thread": (56, 220, (0x003D0F00,)),
    "clone for a child": (56, 220, (0x01200011,)),
    "socket(AF_UNIX)": (41, 198, (1, 1)),
    "socketpair(AF_UNIX)": (53, 199, (1, 1)),
    "ioctl(TCGETS)": (16, 29, (0, 0x5401)),
}
REFUSED = {
    "ptrace": (101, 117, (), errno.EPERM),
    "bpf": (321, 280, (), errno.EPERM),
    "keyctl": (250, 219, (), errno.EPERM),
    "add_key": (248, 217, (), errno.EPERM),
    "request_key": (249, 218, (), errno.EPERM),
    "process_vm_readv": (310, 270, (), errno.EPERM),
    "process_vm_writev": (311, 271, (), errno.EPERM),
    "userfaultfd": (323, 282, (), errno.EPERM),
    "perf_event_open": (298, 241, (), errno.EPERM),
    "kexec_load": (246, 104, (), errno.EPERM),
    "kexec_file_load": (320, 294, (), errno.EPERM),
    "unshare": (272, 97, (), errno.EPERM),
    "setns": (308, 268, (), errno.EPERM),
    "mount": (165, 40, (), errno.EPERM),
    "umount2": (166, 39, (), errno.EPERM),
    "pivot_root": (155, 41, (), errno.EPERM),
    "chroot": (161, 51, (), errno.EPERM),
    "open_tree": (428, 428, (), errno.EPERM),
    "move_mount": (429, 429, (), errno.EPERM),
    "fsopen": (430, 430, (), errno.EPERM),
    "fsconfig": (431, 431, (), errno.EPERM),
    "fsmount": (432, 432, (), errno.EPERM),
    "fspick": (433, 433, (), errno.EPERM),
    "mount_setattr": (442, 442, (), errno.EPERM),
    "pidfd_getfd": (438, 438, (), errno.EPERM),
    "open_by_handle_at": (304, 265, (), errno.EPERM),
    "init_module": (175, 105, (), errno.EPERM),
    "finit_module": (313, 273, (), errno.EPERM),
    "shmget": (29, 194, (), errno.EPERM),
    "io_uring_setup": (425, 425, (), errno.ENOSYS),
    "io_uring_enter": (426, 426, (), errno.ENOSYS),
    "io_uring_register": (427, 427, (), errno.ENOSYS),
    "memfd_create": (319, 279, (), errno.ENOSYS),
    "clone3": (435, 435, (), errno.ENOSYS),
    "a call from the future": (500, 500, (), errno.ENOSYS),
    "clone(CLONE_NEWUSER)": (56, 220, (0x10000011,), errno.EPERM),
    "clone(CLONE_NEWNS)": (56, 220, (0x00020011,), errno.EPERM),
    "clone(CLONE_NEWCGROUP)": (56, 220, (0x02000011,), errno.EPERM),
    "clone(CLONE_NEWUTS)": (56, 220, (0x04000011,), errno.EPERM),
    "clone(CLONE_NEWIPC)": (56, 220, (0x08000011,), errno.EPERM),
    "clone(CLONE_NEWPID)": (56, 220, (0x20000011,), errno.EPERM),
    "clone(CLONE_NEWNET)": (56, 220, (0x40000011,), errno.EPERM),
    "socket(AF_INET)": (41, 198, (2, 1), errno.EAFNOSUPPORT),
    "socket(AF_INET6)": (41, 198, (10, 1), errno.EAFNOSUPPORT),
    "socket(AF_NETLINK)": (41, 198, (16, 3), errno.EAFNOSUPPORT),
    "socket(AF_VSOCK)": (41, 198, (40, 1), errno.EAFNOSUPPORT),
    "socket(AF_ALG)": (41, 198, (38, 5), errno.EAFNOSUPPORT),
    "socketpair(AF_TIPC)": (53, 199, (30, 1), errno.EAFNOSUPPORT),
    "ioctl(TIOCSTI)": (16, 29, (0, 0x5412), errno.EPERM),
    "ioctl(TIOCLINUX)": (16, 29, (0, 0x541C), errno.EPERM),
    "ioctl(TIOCSTI) with high bits": (16, 29, (0, 0x1_0000_5412), errno.EPERM),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_that_programs_need_are_allowed(name: str) -> None:
    x86, arm, arguments = CALLS[name]
    assert judge(assemble("x86_64"), X86_64, x86, *arguments) == ALLOW
    assert judge(assemble("aarch64"), AARCH64, arm, *arguments) == ALLOW


@pytest.mark.parametrize("name", REFUSED)
def test_dangerous_calls_are_refused(name: str) -> None:
    x86, arm, arguments, error = REFUSED[name]
    assert judge(assemble("x86_64"), X86_64, x86, *arguments) == refused(error)
    assert judge(assemble("aarch64"), AARCH64, arm, *arguments) == refused(error)


@pytest.mark.parametrize("number", [0, 1, 41, 59, 101])
def test_calls_in_the_manner_of_another_processor_kill_the_program(number: int) -> None:
    assert judge(assemble("x86_64"), I386, number) == KILL
    assert judge(assemble("x86_64"), AARCH64, number) == KILL
    assert judge(assemble("aarch64"), ARM, number) == KILL


@pytest.mark.parametrize("number", [0, 41, 101, 520, 521])
def test_the_x32_convention_is_refused(number: int) -> None:
    assert judge(assemble("x86_64"), X86_64, 0x40000000 + number) == refused(errno.ENOSYS)


def test_a_processor_without_a_table_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownArchitectureError, match="riscv64"):
        assemble("riscv64")


PROGRAM = """
import ctypes, json, os, socket, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
rules = bytes.fromhex(sys.argv[1])
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_char_p)]
program = Filter(len(rules) // 8, rules)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
def call(number, *arguments):
    ctypes.set_errno(0)
    libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
    return ctypes.get_errno()
def family(number):
    try:
        socket.socket(number, socket.SOCK_STREAM).close()
    except OSError as error:
        return error.errno
    return 0
worked = []
thread = threading.Thread(target=lambda: worked.append("thread"))
thread.start(); thread.join()
child = os.fork()
if not child:
    os._exit(0)
print(json.dumps({
    "unix": family(socket.AF_UNIX), "inet": family(socket.AF_INET), "vsock": family(40),
    "netlink": family(16), "pair": len(socket.socketpair()), "thread": worked,
    "fork": os.waitpid(child, 0)[1], "calls": [call(*c) for c in json.loads(sys.argv[2])],
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="system call filters exist on Linux only")
def test_the_kernel_obeys_the_filter(tmp_path: Path) -> None:
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        pytest.skip(f"no system call table for {platform.machine()}")
    names = ["ptrace", "bpf", "unshare", "mount", "io_uring_setup", "userfaultfd", "clone(CLONE_NEWUSER)"]
    calls = [[REFUSED[name][column], *REFUSED[name][2]] for name in names]
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    command = [sys.executable, str(script), assemble().hex(), json.dumps(calls)]
    seen = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert seen["calls"] == [REFUSED[name][3] for name in names]
    assert seen["unix"] == 0
    assert seen["inet"] == seen["vsock"] == seen["netlink"] == errno.EAFNOSUPPORT
    assert seen["thread"] == ["thread"]
    assert seen["pair"] == 2
    assert seen["fork"] == 0
