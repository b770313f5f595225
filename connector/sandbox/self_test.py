"""A program that says `confined` only if it finds itself confined.

`Sandbox.probe` runs it before anything foreign is run. It imports nothing of
ours, and every check is an attempt: what matters is what the kernel answers.
"""

import errno
import os
import socket
import sys
from pathlib import Path

_FORBIDDEN = ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK")


def failures() -> list[str]:
    """Try to break out.

    Returns:
        What was possible and must not be, in words; nothing if all is well.
    """
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = [f"it can open {family} sockets" for family in _FORBIDDEN if _opens(family)]
    if any(int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")):
        found.append("it has capabilities")
    if status["NoNewPrivs"] != "1" or status["Seccomp"] != "2":
        found.append("it has no system call filter")
    if os.getuid() == 0 or "0" in status["Uid"].split():
        found.append("it is root")
    if [name for name in os.listdir("/proc") if name.isdigit()] != ["1", str(os.getpid())]:  # noqa: PTH208
        found.append("it sees other processes")
    return found + [
        f"it can write to {place}" for place in ("/", "/usr/lib", "/dev") if os.access(place, os.W_OK)
    ]


def _opens(family: str) -> bool:
    try:
        socket.socket(
            getattr(socket, family), socket.SOCK_RAW if family == "AF_PACKET" else socket.SOCK_STREAM
        )
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True


if __name__ == "__main__":
    Path("/out/mine").touch()
    problems = failures()
    sys.stdout.write("confined\n" if not problems else "a program in it found that " + ", ".join(problems))
