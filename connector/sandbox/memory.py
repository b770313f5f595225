"""How much memory all processes of a sandbox hold together.

The kernel's per-process limit does not stop a program that starts many
processes, and a control group cannot be had on every machine.
"""

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def can_be_watched() -> bool:
    """Tell whether this kernel lists the children of a process."""
    own = _PROC / str(os.getpid())
    return (own / "task" / str(os.getpid()) / "children").exists()


def private_bytes(process: int) -> int:
    """Add up the private memory of a process and all its descendants.

    Args:
        process: The process at the top, by its number on the host.

    Returns:
        Bytes that are resident and belong to no file. Pages that parent and
        child still share after a fork count once for each of them.
    """
    return sum(_private_pages(member) for member in _family(process)) * _PAGE


def _family(process: int) -> list[int]:
    members = [process]
    for member in members:  # the list grows while it is walked
        members.extend(children_of(member))
    return members


def children_of(process: int) -> list[int]:
    """List the processes that a process has started, as far as they still run.

    Args:
        process: Its number on the host.
    """
    found: list[int] = []
    with suppress(OSError):  # it has ended since
        for task in (_PROC / str(process) / "task").iterdir():
            # A thread that has ended hides none of the children of the others.
            with suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def _private_pages(process: int) -> int:
    try:
        _, resident, shared, *_ = (_PROC / str(process) / "statm").read_text().split()
    except (OSError, ValueError):  # it has ended since
        return 0
    return max(0, int(resident) - int(shared))
