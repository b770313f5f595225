"""Complementary suppression: no figure may leave that, with those that left before, tells about a few.

All rows are cut into *atoms*: rows that no released figure tells apart. A released sum
is then the sum of some atoms, and whoever holds several released sums holds a system
of linear equations. A group of too few is told if the system has a solution for it
alone. That one question covers a total minus all groups but one, two tables with
common margins, two queries that differ by one unit, and trackers of several queries.

A figure that would let such a group be computed is withheld, the smallest first.

Limitations: equations are looked at in one reduced form, in which the large atoms are
eliminated first. A combination that isolates one small atom, or one withheld group, is
always found; of larger sets of small atoms, those that the reduced form shows. Bounds
(all parts are at least zero), extremes, and figures of other agreements are not looked
at. Only noise protects against everything; see differential privacy.

Source:
    F. Y. Chin, G. Özsoyoğlu, Auditing and inference control in statistical
    databases, IEEE TSE 8 (6), 1982; L. H. Cox, Suppression methodology and
    statistical disclosure control, JASA 75, 1980.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

_PRIME: Final = 2_147_483_647
"""Equations are solved modulo this prime: exactly, and fast. Products stay below 2 to the 62."""

_Vector = NDArray[np.int64]


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


def releasable(
    atoms: Sequence[Atom],
    thresholds: Thresholds,
    *,
    known: Sequence[Collection[int]],
    secret: Sequence[Collection[int]],
    wanted: Sequence[Collection[int]],
) -> tuple[bool, ...]:
    """Decide which figures may leave, given those that have left before.

    Args:
        atoms: All atoms.
        thresholds: What has to be behind a figure that can be computed.
        known: The figures that have left, each as the numbers of its atoms.
        secret: The groups that were withheld, likewise.
        wanted: The figures that are to leave; each large enough by itself.

    Returns:
        For each wanted figure whether it may leave. Larger ones come first, so
        that what has to be withheld is small.
    """
    knowledge = _Knowledge.of(atoms, thresholds, secret)
    for cell in known:
        knowledge = knowledge.with_figure(_vector(cell, len(atoms)))
    allowed = [False] * len(wanted)
    for position in sorted(range(len(wanted)), key=lambda one: -_size(atoms, wanted[one])):
        grown = knowledge.with_figure(_vector(wanted[position], len(atoms)))
        if not grown.tells_more_than(knowledge):
            knowledge, allowed[position] = grown, True
    return tuple(allowed)


def _size(atoms: Sequence[Atom], cell: Collection[int]) -> int:
    return sum(atoms[number].rows for number in cell)


def _vector(cell: Collection[int], length: int) -> _Vector:
    vector = np.zeros(length, np.int64)
    vector[list(cell)] = 1
    return vector


@dataclass(frozen=True, slots=True)
class _Knowledge:
    """What somebody can compute who has seen some figures.

    Attributes:
        atoms: All atoms.
        thresholds: What a computed figure must have behind it.
        large: Which atoms are large enough by themselves.
        secrets: The withheld groups that cannot be computed.
        mixed: Equations with at least one large atom, each with the place of
            its pivot, which no later equation has.
        small: Equations of small atoms only, fully reduced.
    """

    atoms: Sequence[Atom]
    thresholds: Thresholds
    large: NDArray[np.bool_]
    secrets: tuple[_Vector, ...]
    mixed: tuple[tuple[int, _Vector], ...] = ()
    small: tuple[tuple[int, _Vector], ...] = ()

    @classmethod
    def of(
        cls, atoms: Sequence[Atom], thresholds: Thresholds, secret: Sequence[Collection[int]]
    ) -> "_Knowledge":
        large = np.array([thresholds.reached_by([atom]) for atom in atoms], np.bool_)
        return cls(atoms, thresholds, large, tuple(_vector(cell, len(atoms)) for cell in secret if cell))

    def with_figure(self, vector: _Vector) -> "_Knowledge":
        rest = self.rest_of(vector)
        pivots = np.flatnonzero(rest * self.large)
        if pivots.size:
            return self._settled(mixed=(*self.mixed, _normalised(rest, int(pivots[0]))), small=self.small)
        pivots = np.flatnonzero(rest)
        if not pivots.size:
            return self
        place, row = _normalised(rest, int(pivots[0]))
        cleared = tuple((at, _without(one, place, row)) for at, one in self.small)
        return self._settled(mixed=self.mixed, small=(*cleared, (place, row)))

    def tells_more_than(self, before: "_Knowledge") -> bool:
        """Tell whether something can be computed that could not, and must not be."""
        if len(self.secrets) < len(before.secrets):
            return True
        old = {id(row) for _, row in before.small}
        return any(self._too_small(row) for _, row in self.small if id(row) not in old)

    def _settled(
        self, *, mixed: tuple[tuple[int, _Vector], ...], small: tuple[tuple[int, _Vector], ...]
    ) -> "_Knowledge":
        grown = replace(self, mixed=mixed, small=small)
        kept = tuple(secret for secret in self.secrets if grown.rest_of(secret).any())
        return replace(grown, secrets=kept)

    def rest_of(self, vector: _Vector) -> _Vector:
        for place, row in (*self.mixed, *self.small):
            if vector[place]:
                vector = _without(vector, place, row)
        return vector

    def _too_small(self, row: _Vector) -> bool:
        return not self.thresholds.reached_by(self.atoms[int(number)] for number in np.flatnonzero(row))


def _normalised(row: _Vector, place: int) -> tuple[int, _Vector]:
    inverse = pow(int(row[place]), -1, _PRIME)
    return place, row * inverse % _PRIME


def _without(vector: _Vector, place: int, row: _Vector) -> _Vector:
    """Subtract the multiple of a row that leaves nothing at a place."""
    factor = vector[place]
    return (vector - factor * row) % _PRIME if factor else vector
