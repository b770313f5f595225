"""How much memory a process holds, and the programs that it keeps beside itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)
_KIBI: Final = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in MiB.

    Attributes:
        own: Of the process itself.
        children: Of all programs below it together.
    """

    own: float
    children: float

    @property
    def written(self) -> str:
        """As it stands in a table."""
        beside = f" + {self.children:.0f}" if round(self.children) else ""
        return f"{self.own:.0f}{beside} MiB"


def memory_of(pid: int) -> Memory:
    """What a process holds now."""
    return Memory(_resident(pid), sum(_resident(child) for child in _below(pid)))


def _below(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield int(child)
            yield from _below(int(child))


def _resident(pid: int) -> float:
    found = _RESIDENT.search(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / _KIBI if found else 0.0
