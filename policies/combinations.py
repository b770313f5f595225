"""Combining released sums: can they be added and subtracted so that only a few rows remain?

Released sums are linear equations over atoms, and everybody may add multiples of one to
another. Asked is whether a new equation, plus any multiples of the others, can be made to
speak of a set of atoms that is too small. That is the search for a word of small weight in
a linear code, for which no quick way is known in general. Three observations end it early:

- Atoms whose factors are proportional in all equations come and go together. They are
  merged, and what is enough once merged can be left out of the search altogether.
- Where the new equation has an atom, either that atom stays, or the pivot of an equation
  that removes it. From disjoint sets of this kind, of which one atom each must stay, follows
  how many rows and units every combination keeps at least.
- What is left is halved: an atom stays, or it does not.

The search is complete, but its effort is limited, counted in factors and not in seconds, so
that the same figures always get the same verdict. What it cannot prove counts as not proven.

Source:
    A. Vardy, The intractability of computing the minimum distance of a code,
    IEEE TIT 43 (6), 1997.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from policies.atoms import NOTHING, Atom, Thresholds

Equation = Mapping[int, int]
"""Factors by the numbers of atoms; none is zero."""

_TARGET: Final = -1
"""Stands for the new equation where equations are named by their pivots."""


@dataclass(slots=True)
class Effort:
    """How many factors may still be looked at."""

    left: int

    def spend(self, amount: int) -> bool:
        """Take something from what is left; False where it is not there."""
        self.left -= amount
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class _Case:
    """A part of the search.

    Attributes:
        target: The new equation, which every combination has once.
        rows: The other equations by their pivots, which no other equation has.
        blocks: The atoms behind each place.
        kept: What every combination of this part has for certain.
        staying: Places that must not vanish in this part; they count in `kept`.
    """

    target: Equation
    rows: Mapping[int, Equation]
    blocks: Mapping[int, Atom]
    kept: Atom = NOTHING
    staying: frozenset[int] = field(default_factory=frozenset)

    @property
    def size(self) -> int:
        return len(self.target) + sum(len(row) for row in self.rows.values())


def always_large(
    target: Equation,
    others: Mapping[int, Equation],
    atoms: Sequence[Atom],
    thresholds: Thresholds,
    prime: int,
    effort: Effort,
) -> bool:
    """Tell whether it is proven that no combination of equations speaks of too few.

    Args:
        target: A new equation, which takes part in each combination.
        others: The equations so far, by their pivots: a place where the equation
            has the factor 1, and no other equation and not the target has any.
        atoms: All atoms.
        thresholds: What must be reached.
        prime: What factors are counted modulo.
        effort: How much may be looked at; what is used is taken from it.

    Returns:
        True where every combination reaches the thresholds. False where one does
        not, or where the effort did not suffice to tell.
    """
    places = {place for equation in (target, *others.values()) for place in equation}
    search = _Search(thresholds, prime)
    open_cases = [_Case(target, others, {place: atoms[place] for place in places})]
    while open_cases:
        case = open_cases.pop()
        simple = search.simplified(case, effort)
        if effort.left < 0:
            return False
        if simple is None:
            continue
        if search.is_small(simple):
            return False
        if not search.keeps_enough(simple, effort):
            open_cases += search.halves(simple)
    return True


@dataclass(frozen=True, slots=True)
class _Search:
    thresholds: Thresholds
    prime: int

    def simplified(self, case: _Case, effort: Effort) -> _Case | None:
        """Merge and leave out until nothing changes; None where every combination is large."""
        while effort.spend(1 + case.size):
            merged = self._merged(case)
            if merged is None or self._reached(merged.kept):
                return None
            excess = [
                place
                for place, block in merged.blocks.items()
                if place not in merged.staying and self._reached(self._joined(merged.kept, [block]))
            ]
            if not excess:
                return merged
            shorter = self._without_all(merged, excess, effort)
            if shorter is None:
                return None
            case = shorter
        return None

    def keeps_enough(self, case: _Case, effort: Effort) -> bool:
        """Find disjoint sets of places of which every combination keeps one each, and add up the fewest."""
        return self._adds_up(case, sorted(self._choices(case), key=len)) or self._adds_up(
            case, self._determining(case, effort)
        )

    def _adds_up(self, case: _Case, choices: Iterable[Sequence[int]]) -> bool:
        used, counted = set(case.staying), set(case.kept.members or ())
        rows, units = case.kept.rows, self._units(case.kept)
        for choice in choices:
            blocks = [case.blocks[place] for place in choice]
            members = _members(case, choice)
            if used.isdisjoint(choice) and counted.isdisjoint(members):
                used.update(choice)
                counted |= members
                rows += min(block.rows for block in blocks)
                units += min(map(self._units, blocks))
                if rows >= self.thresholds.rows and units >= self.thresholds.units:
                    return True
        return False

    def _determining(self, case: _Case, effort: Effort) -> Iterator[list[int]]:
        """Give disjoint sets of places that cannot vanish all at once.

        Whether a combination has the new equation shows at such places alone: their
        columns add up to one that has a factor in the new equation and in no other.
        """
        rest = sorted(
            case.blocks.keys() - case.staying, key=lambda place: self._order(case, place), reverse=True
        )
        columns = _columns(case)
        counted = set(case.kept.members or ())
        rest = [one for one in rest if counted.isdisjoint(_members(case, [one]))]
        while chosen := self._determining_set(rest, columns, effort):
            yield chosen
            gone = set(chosen)
            counted |= _members(case, chosen)
            rest = [one for one in rest if one not in gone and counted.isdisjoint(_members(case, [one]))]

    def _determining_set(
        self, places: Sequence[int], columns: Mapping[int, Equation], effort: Effort
    ) -> list[int]:
        """Take places until their columns tell whether the new equation takes part; none if they never do."""
        basis: dict[int, Equation] = {}
        chosen: list[int] = []
        for place in places:
            column = columns[place]
            for name, other in basis.items():
                if not effort.spend(1):
                    return []
                if name in column:
                    effort.spend(len(other))
                    column = self._cleared(column, other, name)
            if not column:
                continue
            chosen.append(place)
            name = max(column)
            if name == _TARGET:
                return chosen
            basis[name] = column
        return []

    def is_small(self, case: _Case) -> bool:
        """Tell whether the new equation speaks of too few as it is."""
        others = (case.blocks[place] for place in case.target if place not in case.staying)
        return not self._reached(self._joined(case.kept, others))

    def halves(self, case: _Case) -> Iterator[_Case]:
        """Give the combinations that lack a place, and those that have it."""
        place = self._place_to_decide(case)
        without = self._without(case, place)
        if without is not None:
            yield without
        kept = self._joined(case.kept, [case.blocks[place]])
        yield replace(case, kept=kept, staying=case.staying | {place})

    def _place_to_decide(self, case: _Case) -> int:
        open_choices = [choice for choice in self._choices(case) if case.staying.isdisjoint(choice)]
        choice = min(open_choices, key=len, default=case.blocks.keys() - case.staying)
        return max(choice, key=lambda place: self._order(case, place))

    def _order(self, case: _Case, place: int) -> tuple[int, int, int]:
        block = case.blocks[place]
        return self._units(block), min(block.rows, self.thresholds.rows), place

    def _units(self, block: Atom) -> int:
        return self.thresholds.units if block.members is None else len(block.members)

    def _choices(self, case: _Case) -> Iterator[list[int]]:
        """Give, for each place of the target, the places of which one stays."""
        pivots: dict[int, list[int]] = {place: [place] for place in case.target}
        for pivot, row in case.rows.items():
            for place in row:
                if place in pivots:
                    pivots[place].append(pivot)
        yield from pivots.values()

    def _merged(self, case: _Case) -> _Case | None:
        """Merge places with proportional factors; None where a place vanished that must stay."""
        columns = _columns(case)
        if not case.staying <= columns.keys():
            return None
        alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for place, column in columns.items():
            alike.setdefault(self._normalised([*column.items()]), []).append(place)
        kept, blocks, staying = case.kept, dict[int, Atom](), set[int]()
        for direction, places in alike.items():
            counted = [place for place in places if place in case.staying]
            if direction == ((_TARGET, 1),):
                kept = self._joined(
                    kept, (case.blocks[place] for place in places if place not in case.staying)
                )
                continue
            # A pivot must not go, since equations are named by it; it comes alone in its equation.
            first = next((place for place in places if place in case.rows), places[0])
            blocks[first] = self._joined(NOTHING, (case.blocks[place] for place in places))
            if counted:
                staying.add(first)
                kept = self._joined(
                    kept, (case.blocks[place] for place in places if place not in case.staying)
                )
        target = {place: factor for place, factor in case.target.items() if place in blocks}
        rows = {
            pivot: {place: factor for place, factor in row.items() if place in blocks}
            for pivot, row in case.rows.items()
        }
        return _Case(target, rows, blocks, kept, frozenset(staying))

    def _normalised(self, column: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        (name, first), *others = column
        if not others:
            return ((name, 1),)
        inverse = pow(first, -1, self.prime)
        return ((name, 1), *((other, factor * inverse % self.prime) for other, factor in others))

    def _without_all(self, case: _Case, places: Sequence[int], effort: Effort) -> _Case | None:
        # At a pivot a whole equation goes and no other one grows, so these come first.
        for place in sorted(places, key=lambda one: one not in case.rows):
            shorter = self._without(case, place)
            if shorter is None or not effort.spend(1 + shorter.size):
                return None
            case = shorter
        return case

    def _without(self, case: _Case, place: int) -> _Case | None:
        """Give the combinations in which a place vanishes; None where there is none."""
        having = [pivot for pivot, row in case.rows.items() if place in row]
        if not having:
            return None if place in case.target else case
        leaving = min(having, key=lambda pivot: (pivot != place, len(case.rows[pivot])))
        removed = case.rows[leaving]
        rows = {
            pivot: self._cleared(row, removed, place) for pivot, row in case.rows.items() if pivot != leaving
        }
        return replace(case, target=self._cleared(case.target, removed, place), rows=rows)

    def _cleared(self, equation: Equation, by: Equation, place: int) -> Equation:
        if place not in equation:
            return equation
        times = -equation[place] * pow(by[place], -1, self.prime)
        cleared = dict(equation)
        for other, factor in by.items():
            value = (cleared.get(other, 0) + times * factor) % self.prime
            if value:
                cleared[other] = value
            else:
                cleared.pop(other, None)
        return cleared

    def _joined(self, block: Atom, others: Iterable[Atom]) -> Atom:
        """Take the rows of several places together; whose they are is of interest only while it is few."""
        rows, members = block.rows, None if block.members is None else set(block.members)
        for other in others:
            rows += other.rows
            if members is not None:
                members = None if other.members is None else members.union(other.members)
            if members is not None and len(members) >= self.thresholds.units:
                members = None
        return Atom(rows, None if members is None else frozenset(members))

    def _reached(self, block: Atom) -> bool:
        return self.thresholds.reached_by([block])


def _columns(case: _Case) -> dict[int, dict[int, int]]:
    """Give for each place its factors, by the equations that have them."""
    columns: dict[int, dict[int, int]] = {}
    for name, equation in ((_TARGET, case.target), *case.rows.items()):
        for place, factor in equation.items():
            columns.setdefault(place, {})[name] = factor
    return columns


def _members(case: _Case, places: Iterable[int]) -> set[int]:
    return {member for place in places for member in case.blocks[place].members or ()}
