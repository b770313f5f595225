"""Complementary suppression: no figure may leave that, with those that left before, tells about a few.

All rows are cut into *atoms*: rows that no released figure tells apart. A released sum
is then the sum of some atoms, and whoever holds several released sums holds a system
of linear equations. A group of too few is told if the system has a solution for it
alone. That one question covers a total minus all groups but one, two tables with
common margins, two queries that differ by one unit, and trackers of several queries.

A figure that would let such a group be computed is withheld, the smallest first.

Equations are kept in a reduced form in which the large atoms are eliminated first, so
that those of small atoms only stand by themselves. Whether these can be combined to
speak of too few is the matter of `policies.combinations`. It may take long to tell, so
the effort is limited; a figure of which it is not proven that it is harmless is withheld.

Limitations: bounds (all parts are at least zero), extremes, and figures of other
agreements are not looked at. Only noise protects against everything; see differential
privacy.

Source:
    F. Y. Chin, G. Özsoyoğlu, Auditing and inference control in statistical
    databases, IEEE TSE 8 (6), 1982; L. H. Cox, Suppression methodology and
    statistical disclosure control, JASA 75, 1980.
"""

import functools
import itertools
import operator
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from policies.atoms import Atom, Thresholds
from policies.combinations import Effort, always_large

_BITS: Final = 31
_PRIME: Final = (1 << _BITS) - 1
"""Equations are solved modulo this prime: exactly, and with numbers that stay small."""
_LANE: Final = 8
"""Bytes per factor in an equation: enough for a product of two."""
_WHOLE_LANE: Final = (1 << 8 * _LANE) - 1

_EFFORT: Final = 3_000_000
"""Factors that may be looked at to prove that what leaves is harmless."""
_EFFORT_PER_FIGURE: Final = 300_000
"""Of these, for a single figure, so that one hard figure does not cost all others."""
_FACTORS_READ: Final = 16
"""So many factors of a long number are read in the time in which the search looks at one."""
_FACTORS_MARKED: Final = 64
"""Likewise, of so many the places are marked."""
_FACTORS_COMPARED: Final = 512
"""Likewise, so many are compared."""
_ATOMS_TRIED: Final = 32
"""Where these are not enough, the search has to tell."""


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
    left = _EFFORT
    for position in sorted(range(len(wanted)), key=lambda one: -_size(atoms, wanted[one])):
        grown = knowledge.with_figure(wanted[position])
        effort = Effort(min(left, _EFFORT_PER_FIGURE))
        before = effort.left
        if not grown.tells_more_than(knowledge, effort):
            knowledge, allowed[position] = grown, True
        left -= before - max(0, effort.left)
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

    def factors(self, clear: int) -> dict[int, int]:
        """Give the factors that are not zero, by their places."""
        factors = struct.unpack(f"<{self.length}Q", clear.to_bytes(_LANE * self.length, "little"))
        return dict(zip(itertools.compress(range(self.length), factors), filter(None, factors), strict=True))

    def lanes_of(self, clear: int) -> int:
        """Give all bits of the factors that are not zero."""
        return ((clear + self.mask) >> _BITS & self.ones) * _PRIME

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

    place: int
    row: int
    shift: int
    lane: int

    @classmethod
    def normalised(cls, clear: int, place: int, field: _Field) -> "_Equation":
        shift = 8 * _LANE * place
        inverse = pow(clear >> shift & _PRIME, -1, _PRIME)
        return cls(place, field.cleared(field.plus(0, inverse, clear)), shift, _WHOLE_LANE << shift)

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
        places = self.field.factors(rest)
        if not places:
            return self
        place = next((number for number in places if number in self.large), next(iter(places)))
        new = _Equation.normalised(rest, place, self.field)
        # No earlier pivot is in the new equation, so what is left of a secret need not be looked at anew.
        secrets = tuple(left for secret in self.secrets if (left := self._without(secret, new)))
        if place in self.large:
            return replace(self, secrets=secrets, mixed=(*self.mixed, new))
        reduced = tuple(replace(one, row=self._without(one.row, new)) for one in self.small)
        return replace(self, secrets=secrets, small=(*reduced, new))

    def tells_more_than(self, before: "_Knowledge", effort: Effort) -> bool:
        """Tell whether something may be computed that could not be before one figure, and must not be.

        Args:
            before: What was known without the figure.
            effort: What may be spent on a proof; without one, the answer is yes.
        """
        if len(self.secrets) < len(before.secrets):
            return True
        if len(self.small) == len(before.small):
            return False
        new = self.small[-1].row
        others = before.relevant_to(new, effort)
        if others is None:
            return False
        if not effort.spend(self.field.length // _FACTORS_READ * (1 + len(others))):
            return True
        return not always_large(
            self.field.factors(new),
            {one.place: self.field.factors(one.row) for one in others},
            self.atoms,
            self.thresholds,
            _PRIME,
            effort,
        )

    def relevant_to(self, clear: int, effort: Effort) -> list[_Equation] | None:
        """Find the equations of small atoms that could make a new one speak of few; None where none can.

        Atoms that only one equation has stay wherever it takes part. Where these are
        enough, it cannot make another one small, nor be made small itself.
        """
        lanes = self.field.lanes_of(clear)
        relevant = self._connected([(one, None) for one in self.small], lanes, effort)
        while effort.spend(1 + len(relevant)):
            once, again = lanes, 0
            for _, others in relevant:
                once, again = once | others, again | once & others
            if self._are_enough(lanes & ~again):
                return None
            fewer = [(one, others) for one, others in relevant if not self._are_enough(others & ~again)]
            if len(fewer) == len(relevant):
                break
            relevant = self._connected(fewer, lanes, effort)
        return [one for one, _ in relevant]

    def _connected(
        self, equations: Sequence[tuple[_Equation, int | None]], reached: int, effort: Effort
    ) -> list[tuple[_Equation, int]]:
        """Find the equations that have one of these places, or share one with such an equation."""
        found: list[tuple[_Equation, int]] = []
        rest = list(equations)
        while effort.spend(len(rest) * (1 + self.field.length // _FACTORS_COMPARED)):
            more = [(one, self._lanes(one, lanes, effort)) for one, lanes in rest if one.row & reached]
            if not more:
                break
            found += more
            rest = [(one, lanes) for one, lanes in rest if not one.row & reached]
            reached = functools.reduce(operator.or_, (lanes for _, lanes in more))
        return found

    def _lanes(self, equation: _Equation, known: int | None, effort: Effort) -> int:
        if known is not None:
            return known
        effort.spend(self.field.length // _FACTORS_MARKED)
        return self.field.lanes_of(equation.row)

    def _are_enough(self, lanes: int) -> bool:
        """Tell whether the first of some atoms are rows and units enough."""
        found: list[Atom] = []
        while lanes and len(found) < _ATOMS_TRIED:
            place = ((lanes & -lanes).bit_length() - 1) // (8 * _LANE)
            found.append(self.atoms[place])
            lanes ^= _PRIME << 8 * _LANE * place
        return self.thresholds.reached_by(found)

    def _rest_of(self, vector: int) -> int:
        for equation in (*self.mixed, *self.small):
            vector = equation.out_of(vector, self.field)
        return self.field.cleared(vector)

    def _without(self, clear: int, equation: _Equation) -> int:
        left = equation.out_of(clear, self.field)
        return clear if left is clear else self.field.cleared(left)
