"""The first program inside the sandbox: it locks the door and then lets the stranger in.

It runs as a script of its own and imports nothing of ours. Until the foreign
program starts, only this file's code has run, so every privilege that is left
over from setting up the namespaces is given away here:

1. a first process stays behind as the namespace's init, without a capability.
   The foreign program cannot reach into it, and when it ends, the kernel ends
   everything else;
2. its child gives up root's identity, where the connector runs as root;
3. the child gets the foreign program's limits and runs it.

The init process carries the same system call filter as the foreign program:
otherwise a program of the same user could write into the init's memory and
make the refused calls from there.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_CAPABILITIES = 64
_CAPABILITY_VERSION_3 = 0x20080522
_LARGEST_DESCRIPTOR = 1 << 20


def main(arguments: Sequence[str]) -> None:
    """Give up every privilege and run the foreign program.

    Args:
        arguments: One JSON object with `uid` (or null), `limits` (name of the
            limit to value), `descriptors` to keep open and `import_path`; then
            the program's path and its arguments.
    """
    order = json.loads(arguments[0])
    _prctl(_PR_SET_DUMPABLE, 0)
    child = os.fork()
    if child:
        _stay_behind(child)
    if order["uid"] is not None:
        _become(order["uid"])
    _prctl(_PR_SET_DUMPABLE, 1)
    _close_all_but(order["descriptors"])
    _limit(order["limits"])
    _run(arguments[1:], order["import_path"])


def _become(uid: int) -> None:
    for capability in range(_CAPABILITIES):
        # Numbers beyond the kernel's last capability are refused, and need no dropping.
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _clear_capabilities()
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (uid, uid, uid) or os.getgroups():
        raise SystemExit("The sandbox could not give up root's identity.")


def _clear_capabilities() -> None:
    """The change of user empties the effective and permitted sets, but not the inheritable one."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capset(header, nothing) != 0:
        raise SystemExit("The sandbox could not give up its inheritable capabilities.")


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None).prctl(option, value, 0, 0, 0) != 0:
        raise SystemExit(f"The sandbox's prctl({option}, {value}) failed.")


def _stay_behind(child: int) -> None:
    # As another user the init could not be killed by bubblewrap, which has no capabilities
    # itself: then it would not die with the connector. It keeps the identity, and no power.
    _clear_capabilities()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.closerange(0, _LARGEST_DESCRIPTOR)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _close_all_but(descriptors: Sequence[int]) -> None:
    below = 3
    for descriptor in sorted(descriptors):
        os.closerange(below, descriptor)
        below = descriptor + 1
    os.closerange(below, _LARGEST_DESCRIPTOR)


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))


def _run(program: Sequence[str], import_path: Sequence[str]) -> None:
    os.umask(0o077)
    sys.path.extend(import_path)
    sys.path.insert(0, os.path.dirname(program[0]))  # noqa: PTH120 - pathlib costs 5 ms at every start
    sys.argv = list(program)
    runpy.run_path(program[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
