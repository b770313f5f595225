"""Figures of repeated measurements, and tables of them in Markdown."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the benchmark page.

    Attributes:
        title: What is compared.
        head: Names of the columns.
        rows: One per thing that was measured.
        notes: What a reader must know to read the figures rightly.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table as a section of a Markdown page."""
        lines = [self.head, ["---", *["---:"] * (len(self.head) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"### {self.title}", table, *self.notes])


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Seconds that each of several runs took."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return seconds


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least a share of all values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: float) -> str:
    """A time as it stands in a table; fine figures only where times are short."""
    value = seconds * MILLISECONDS
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"  # noqa: PLR2004 - three digits are enough


def spread(seconds: Sequence[float]) -> list[str]:
    """Median, fastest and slowest."""
    return [milliseconds(value) for value in (statistics.median(seconds), min(seconds), max(seconds))]


def ratio(value: float, base: float) -> str:
    """How many times the base a value is."""
    return f"{value / base:.1f}"
