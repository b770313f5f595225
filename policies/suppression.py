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

import itertools
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

_BITS: Final = 31
_PRIME: Final = (1 << _BITS) - 1
"""Equations are solved modulo this prime: exactly, and with numbers that stay small."""
_LANE: Final = 8
"""Bytes per factor in an equation: enough for a product of two."""
_WHOLE_LANE: Final = (1 << 8 * _LANE) - 1


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
        knowledge = knowledge.with_figure(cell)
    allowed = [False] * len(wanted)
    for position in sorted(range(len(wanted)), key=lambda one: -_size(atoms, wanted[one])):
        grown = knowledge.with_figure(wanted[position])
        if not grown.tells_more_than(knowledge):
            knowledge, allowed[position] = grown, True
    return tuple(allowed)


def _size(atoms: Sequence[Atom], cell: Collection[int]) -> int:
    return sum(atoms[number].rows for number in cell)


@dataclass(frozen=True, slots=True)
class _Field:
    """Arithmetic with equations of a fixed length.

    The factors of an equation stand side by side in one long number, so that one
    operation on long numbers works on all of them. They are below twice the prime;
    in a *clear* equation they are below the prime.

    Attributes:
        length: Number of factors.
        ones: The equation whose factors are all 1.
        mask: All bits that a clear factor may have.
    """

    length: int
    ones: int
    mask: int

    @classmethod
    def of(cls, length: int) -> "_Field":
        ones = int.from_bytes((1).to_bytes(_LANE, "little") * length, "little")
        return cls(length, ones, ones * _PRIME)

    def of_cell(self, cell: Collection[int]) -> int:
        lanes = bytearray(_LANE * self.length)
        for number in cell:
            lanes[_LANE * number] = 1
        return int.from_bytes(lanes, "little")

    def places(self, clear: int) -> list[int]:
        """Give the places of the factors that are not zero."""
        factors = struct.unpack(f"<{self.length}Q", clear.to_bytes(_LANE * self.length, "little"))
        return list(itertools.compress(range(self.length), factors))

    def plus(self, vector: int, times: int, clear: int) -> int:
        """Add the multiple of a clear equation."""
        total = vector + times * clear
        # Two to the 31 is one more than the prime, so what is above these bits counts once.
        return (total & self.mask) + (total >> _BITS & self.mask)

    def cleared(self, vector: int) -> int:
        reached = (vector + self.ones) >> _BITS & self.ones
        return (vector + reached) & self.mask


@dataclass(frozen=True, slots=True)
class _Equation:
    """A clear equation whose factor at one place, its pivot, is 1."""

    row: int
    shift: int
    lane: int

    @classmethod
    def normalised(cls, clear: int, place: int, field: _Field) -> "_Equation":
        shift = 8 * _LANE * place
        inverse = pow(clear >> shift & _PRIME, -1, _PRIME)
        return cls(field.cleared(field.plus(0, inverse, clear)), shift, _WHOLE_LANE << shift)

    def out_of(self, vector: int, field: _Field) -> int:
        """Subtract the multiple of this equation that leaves nothing at its pivot."""
        factor = vector & self.lane
        return field.plus(vector, -(factor >> self.shift) % _PRIME, self.row) if factor else vector


@dataclass(frozen=True, slots=True)
class _Knowledge:
    """What somebody can compute who has seen some figures.

    Attributes:
        atoms: All atoms.
        thresholds: What a computed figure must have behind it.
        field: The arithmetic.
        large: The atoms that are large enough by themselves.
        secrets: What the equations leave of the withheld groups that cannot be computed.
        mixed: Equations with at least one large atom, which is its pivot, and
            which no later equation has.
        small: Equations of small atoms only, fully reduced.
    """

    atoms: Sequence[Atom]
    thresholds: Thresholds
    field: _Field
    large: frozenset[int]
    secrets: tuple[int, ...]
    mixed: tuple[_Equation, ...] = ()
    small: tuple[_Equation, ...] = ()

    @classmethod
    def of(
        cls, atoms: Sequence[Atom], thresholds: Thresholds, secret: Sequence[Collection[int]]
    ) -> "_Knowledge":
        field = _Field.of(len(atoms))
        large = frozenset(number for number, atom in enumerate(atoms) if thresholds.reached_by([atom]))
        return cls(atoms, thresholds, field, large, tuple(field.of_cell(cell) for cell in secret if cell))

    def with_figure(self, cell: Collection[int]) -> "_Knowledge":
        rest = self._rest_of(self.field.of_cell(cell))
        places = self.field.places(rest)
        if not places:
            return self
        place = next((number for number in places if number in self.large), places[0])
        new = _Equation.normalised(rest, place, self.field)
        # No earlier pivot is in the new equation, so what is left of a secret need not be looked at anew.
        secrets = tuple(left for secret in self.secrets if (left := self._without(secret, new)))
        if place in self.large:
            return replace(self, secrets=secrets, mixed=(*self.mixed, new))
        reduced = tuple(replace(one, row=self._without(one.row, new)) for one in self.small)
        return replace(self, secrets=secrets, small=(*reduced, new))

    def tells_more_than(self, before: "_Knowledge") -> bool:
        """Tell whether something can be computed that could not, and must not be."""
        if len(self.secrets) < len(before.secrets):
            return True
        old = {id(one.row) for one in before.small}
        return any(self._too_small(one.row) for one in self.small if id(one.row) not in old)

    def _rest_of(self, vector: int) -> int:
        for equation in (*self.mixed, *self.small):
            vector = equation.out_of(vector, self.field)
        return self.field.cleared(vector)

    def _without(self, clear: int, equation: _Equation) -> int:
        left = equation.out_of(clear, self.field)
        return clear if left is clear else self.field.cleared(left)

    def _too_small(self, row: int) -> bool:
        return not self.thresholds.reached_by(self.atoms[place] for place in self.field.places(row))
