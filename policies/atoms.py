"""Atoms: rows that no released figure tells apart, and how many of them are enough."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Atom:
    """Rows that no figure tells apart.

    Attributes:
        rows: How many.
        members: Who they are about, by numbers; None where those are enough
            different units, or where units are not counted.
    """

    rows: int
    members: frozenset[int] | None = None


NOTHING: Final = Atom(0, frozenset())
"""No rows at all."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a set of rows must reach so that figures about it may be known."""

    rows: int
    units: int = 1

    def reached_by(self, atoms: Iterable[Atom]) -> bool:
        """Tell whether several atoms together are rows and units enough."""
        rows, members, enough = 0, set[int](), False
        for atom in atoms:
            rows += atom.rows
            if atom.members is None:
                enough = True
            else:
                members |= atom.members
        return rows >= self.rows and (enough or len(members) >= self.units)
