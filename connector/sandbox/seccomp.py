"""The list of system calls that a foreign program may never make.

Namespaces do not cover everything: a program without a network can still open
an `AF_VSOCK` socket, which on a virtual machine is a line to the hypervisor.
The kernel therefore runs this small program (classic BPF) before every system
call. It is assembled here because libseccomp is not on every machine.

Limitation: this is a list of what is refused, not of what is allowed, because
NumPy, Arrow and DuckDB must run unchanged. Calls that are newer than the list
do not exist for the program.

Source:
    Linux, Documentation/userspace-api/seccomp_filter.rst; the numbers are those
    of arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h
"""

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_1 = 0, 4, 16, 24  # offsets in struct seccomp_data

_AF_UNIX = 1
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_NEWEST_KNOWN = 466  # removexattrat, Linux 6.13

# Numbers from 424 on are the same on every architecture.
_SHARED: Mapping[str, int] = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "memfd_secret": 447,
}
_X86_64: Mapping[str, int] = {
    "ioctl": 16, "shmget": 29, "shmat": 30, "shmctl": 31, "socket": 41, "socketpair": 53, "clone": 56,
    "semget": 64, "semop": 65, "semctl": 66, "shmdt": 67, "msgget": 68, "msgsnd": 69, "msgrcv": 70,
    "msgctl": 71, "ptrace": 101, "syslog": 103, "uselib": 134, "personality": 135, "vhangup": 153,
    "modify_ldt": 154, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163, "settimeofday": 164,
    "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "nfsservctl": 180, "lookup_dcookie": 212, "semtimedop": 220, "clock_settime": 227,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
    "perf_event_open": 298, "fanotify_init": 300, "fanotify_mark": 301, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310,
    "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "memfd_create": 319, "kexec_file_load": 320,
    "bpf": 321, "userfaultfd": 323,
}  # fmt: skip
_AARCH64: Mapping[str, int] = {
    "lookup_dcookie": 18, "ioctl": 29, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42,
    "chroot": 51, "vhangup": 58, "quotactl": 60, "acct": 89, "personality": 92, "unshare": 97,
    "kexec_load": 104, "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116,
    "ptrace": 117, "reboot": 142, "sethostname": 161, "setdomainname": 162, "settimeofday": 170,
    "adjtimex": 171, "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "semget": 190,
    "semctl": 191, "semtimedop": 192, "semop": 193, "shmget": 194, "shmctl": 195, "shmat": 196,
    "shmdt": 197, "socket": 198, "socketpair": 199, "add_key": 217, "request_key": 218, "keyctl": 219,
    "clone": 220, "swapon": 224, "swapoff": 225, "perf_event_open": 241, "fanotify_init": 262,
    "fanotify_mark": 263, "name_to_handle_at": 264, "open_by_handle_at": 265, "clock_adjtime": 266,
    "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
    "memfd_create": 279, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip

_EXAMINED = frozenset({"ioctl", "socket", "socketpair", "clone"})
# Libraries probe for these and have another way when the kernel lacks them.
_ABSENT = frozenset({"clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create"})


@dataclass(frozen=True, slots=True)
class Architecture:
    """A processor's way of making system calls.

    Attributes:
        audit: What the kernel calls it in `struct seccomp_data`.
        numbers: The number of each system call that the filter names.
        foreign_from: The first number of a second calling convention (x32),
            or None where there is none.
    """

    audit: int
    numbers: Mapping[str, int]
    foreign_from: int | None = None


ARCHITECTURES: Mapping[str, Architecture] = {
    "x86_64": Architecture(0xC000003E, {**_X86_64, **_SHARED}, foreign_from=0x40000000),
    "aarch64": Architecture(0xC00000B7, {**_AARCH64, **_SHARED}),
}


class UnknownArchitectureError(Exception):
    """No table of system calls exists for this processor."""


def assemble(machine: str | None = None) -> bytes:
    """Write the filter for one kind of processor.

    Args:
        machine: Name of the architecture as `uname -m` prints it; this
            machine's if left out.

    Returns:
        The program as an array of `struct sock_filter`, as bubblewrap and
        `seccomp(2)` read it.

    Raises:
        UnknownArchitectureError: There is no table for `machine`.
    """
    name = machine or platform.machine()
    architecture = ARCHITECTURES.get(name)
    if architecture is None:
        known = ", ".join(ARCHITECTURES)
        raise UnknownArchitectureError(f"No system call table for processor {name!r}; there are: {known}.")
    return b"".join(
        (
            _load(_ARCHITECTURE),
            _jump(_JUMP_EQUAL, architecture.audit, on_true=1),
            _return(_KILL),
            _load(_NUMBER),
            _refuse_unknown_numbers(architecture),
            *(_refuse(number, _refusal(call)) for call, number in _refused(architecture)),
            *_examinations(architecture.numbers),
            _return(_ALLOW),
        ),
    )


def _refused(architecture: Architecture) -> list[tuple[str, int]]:
    return [(call, number) for call, number in architecture.numbers.items() if call not in _EXAMINED]


def _refusal(call: str) -> int:
    return errno.ENOSYS if call in _ABSENT else errno.EPERM


def _refuse_unknown_numbers(architecture: Architecture) -> bytes:
    # The x32 numbers lie above every known one, so the same comparison covers them.
    first = min(_NEWEST_KNOWN + 1, architecture.foreign_from or _NEWEST_KNOWN + 1)
    return _jump(_JUMP_AT_LEAST, first, on_false=1) + _return(_ERRNO | errno.ENOSYS)


def _refuse(number: int, error: int) -> bytes:
    return _jump(_JUMP_EQUAL, number, on_false=1) + _return(_ERRNO | error)


def _examinations(numbers: Mapping[str, int]) -> tuple[bytes, ...]:
    only_unix = _load(_ARGUMENT_0) + _jump(_JUMP_EQUAL, _AF_UNIX, on_true=1)
    only_unix += _return(_ERRNO | errno.EAFNOSUPPORT)
    no_namespaces = _load(_ARGUMENT_0) + _jump(_JUMP_ANY_BIT, _NEW_NAMESPACES, on_false=1)
    no_namespaces += _return(_ERRNO | errno.EPERM)
    no_injection = _load(_ARGUMENT_1)
    no_injection += b"".join(_refuse(request, errno.EPERM) for request in _TERMINAL_INJECTION)
    return (
        _only_for(numbers["socket"], only_unix),
        _only_for(numbers["socketpair"], only_unix),
        _only_for(numbers["clone"], no_namespaces),
        _only_for(numbers["ioctl"], no_injection),
    )


def _only_for(number: int, check: bytes) -> bytes:
    block = check + _return(_ALLOW)
    return _jump(_JUMP_EQUAL, number, on_false=len(block) // 8) + block


def _load(offset: int) -> bytes:
    return _instruction(_LOAD_WORD, offset)


def _jump(kind: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return _instruction(kind, value, on_true, on_false)


def _return(verdict: int) -> bytes:
    return _instruction(_RETURN, verdict)


def _instruction(code: int, value: int, on_true: int = 0, on_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, on_true, on_false, value)
