"""What several released figures tell together: nothing about a group of too few."""

import itertools
import random
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.atoms import Atom, Thresholds
from policies.suppression import releasable

TEN_ROWS = Thresholds(rows=10)


def rows(*counts: int) -> list[Atom]:
    return [Atom(count) for count in counts]


def test_without_anything_known_every_large_group_may_leave() -> None:
    atoms = rows(50, 40, 3)
    assert releasable(atoms, TEN_ROWS, known=[], secret=[{2}], wanted=[{0}, {1}]) == (True, True)


def test_a_known_total_costs_the_smallest_of_the_other_groups() -> None:
    atoms = rows(50, 40, 3)
    assert releasable(atoms, TEN_ROWS, known=[{0, 1, 2}], secret=[{2}], wanted=[{0}, {1}]) == (True, False)


def test_a_total_does_not_leave_when_all_groups_but_one_small_one_have() -> None:
    atoms = rows(50, 40, 3)
    assert releasable(atoms, TEN_ROWS, known=[{0}, {1}], secret=[{2}], wanted=[{0, 1, 2}]) == (False,)


def test_two_small_groups_that_are_large_together_protect_each_other() -> None:
    atoms = rows(50, 40, 6, 7)
    known = [{0, 1, 2, 3}]
    assert releasable(atoms, TEN_ROWS, known=known, secret=[{2}, {3}], wanted=[{0}, {1}]) == (True, True)


def test_two_small_groups_that_are_small_together_do_not() -> None:
    atoms = rows(50, 40, 3, 4)
    known = [{0, 1, 2, 3}]
    assert releasable(atoms, TEN_ROWS, known=known, secret=[{2}, {3}], wanted=[{0}, {1}]) == (True, False)


def test_one_unit_in_two_small_groups_is_still_one_unit() -> None:
    one, others = frozenset({1}), None
    atoms = [Atom(90, others), Atom(80, others), Atom(20, one), Atom(20, one)]
    limits = Thresholds(rows=10, units=2)
    known = [{0, 1, 2, 3}]
    assert releasable(atoms, limits, known=known, secret=[{2}, {3}], wanted=[{0}, {1}]) == (True, False)


def cell(row: int, column: int, width: int = 3) -> int:
    return row * width + column


def margins(height: int, width: int) -> list[set[int]]:
    lines = [{cell(row, column, width) for column in range(width)} for row in range(height)]
    lines += [{cell(row, column, width) for row in range(height)} for column in range(width)]
    return [*lines, set(range(height * width))]


def test_in_a_table_with_margins_a_small_cell_takes_three_others_with_it() -> None:
    atoms = rows(2, 30, 40, 20, 50, 60, 70, 80, 90)
    wanted = [{number} for number in range(1, 9)]
    allowed = releasable(atoms, TEN_ROWS, known=margins(3, 3), secret=[{0}], wanted=wanted)
    withheld = {number for number, fine in zip(range(1, 9), allowed, strict=True) if not fine}
    # The small cell, one in its row, one in its column, and the one across.
    assert withheld == {cell(0, 1), cell(1, 0), cell(1, 1)}


def test_two_queries_that_differ_by_a_few_are_not_both_answered() -> None:
    atoms = rows(100, 4)
    assert releasable(atoms, TEN_ROWS, known=[{0, 1}], secret=[], wanted=[{0}]) == (False,)
    assert releasable(atoms, TEN_ROWS, known=[{0}], secret=[], wanted=[{0, 1}]) == (False,)


def test_two_queries_that_differ_by_many_are() -> None:
    assert releasable(rows(100, 11), TEN_ROWS, known=[{0, 1}], secret=[], wanted=[{0}]) == (True,)


def test_a_tracker_of_three_queries_is_seen() -> None:
    # The target is {0}; T = {1, 2}: q(target or T) + q(target or not T) - q(all) = q(target).
    atoms = rows(1, 60, 60, 60)
    known = [{0, 1, 2}, {0, 1, 2, 3}]
    assert releasable(atoms, TEN_ROWS, known=known, secret=[], wanted=[{0, 3}]) == (False,)


def test_the_same_figure_again_tells_nothing_new() -> None:
    assert releasable(rows(100, 4), TEN_ROWS, known=[{0, 1}], secret=[], wanted=[{0, 1}]) == (True,)


def test_a_dominated_group_is_protected_although_it_is_large() -> None:
    atoms = rows(50, 40, 30)
    assert releasable(atoms, TEN_ROWS, known=[{0, 1, 2}], secret=[{2}], wanted=[{0}, {1}]) == (True, False)


def test_what_was_told_before_is_no_reason_to_withhold_what_tells_no_more() -> None:
    atoms = rows(100, 4, 50)
    assert releasable(atoms, TEN_ROWS, known=[{0, 1}, {0}], secret=[], wanted=[{2}]) == (True,)


def solvable(figures: list[set[int]], target: set[int], length: int) -> bool:
    """Gauss over the rationals: is the target a combination of the figures?"""
    basis: list[list[Fraction]] = []

    def reduced(vector: list[Fraction]) -> list[Fraction]:
        for row in basis:
            pivot = next(place for place, value in enumerate(row) if value)
            if vector[pivot]:
                factor = vector[pivot] / row[pivot]
                vector = [value - factor * other for value, other in zip(vector, row, strict=True)]
        return vector

    for figure in figures:
        rest = reduced([Fraction(int(place in figure)) for place in range(length)])
        if any(rest):
            basis.append(rest)
    return not any(reduced([Fraction(int(place in target)) for place in range(length)]))


def test_two_figures_that_differ_by_two_small_atoms_are_not_both_told_in_a_larger_system() -> None:
    # No reduced equation has so few atoms as {0, 1}, the difference of two figures.
    atoms = [*rows(*[2] * 12), Atom(50)]
    known = [set(range(13)), {0, *range(2, 7), 12}, {0, 1, *range(2, 8)}]
    wanted = [set(range(2, 8))]
    assert releasable(atoms, TEN_ROWS, known=known, secret=[], wanted=wanted) == (False,)


def halves_of(people: int, count: int) -> list[set[int]]:
    chance = random.Random(4711)  # noqa: S311 - the same sets in every run
    return [{number for number in range(people) if chance.random() < 0.5} for _ in range(count)]


NINETY = [Atom(1, frozenset({number})) for number in range(90)]


def test_what_cannot_be_proven_with_the_effort_allowed_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = halves_of(90, 6)
    assert all(releasable(NINETY, Thresholds(5, 5), known=[], secret=[], wanted=halves))
    monkeypatch.setattr("policies.suppression._EFFORT", 100)
    assert not all(releasable(NINETY, Thresholds(5, 5), known=[], secret=[], wanted=halves))
    monkeypatch.setattr("policies.suppression._EFFORT", 0)
    assert not any(releasable(NINETY, Thresholds(5, 5), known=[], secret=[], wanted=halves))


def test_many_halves_of_a_few_people_are_decided_soon() -> None:
    started = time.process_time()
    allowed = releasable(NINETY, Thresholds(5, 5), known=[], secret=[], wanted=halves_of(90, 60))
    assert time.process_time() - started < 30
    # Few halves are harmless, and all sixty would tell of a few.
    assert 10 < sum(allowed) < 60


def test_fine_groups_after_their_total_need_no_search() -> None:
    atoms = [Atom(3, frozenset(range(3 * number, 3 * number + 3))) for number in range(5000)]
    groups = [set(range(start, start + 50)) for start in range(0, 5000, 50)]
    allowed = releasable(atoms, Thresholds(10, 10), known=[set(range(5000))], secret=[], wanted=groups)
    assert all(allowed)


cells = st.sets(st.integers(0, 6), min_size=1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=7, max_size=7), st.lists(cells, max_size=8))
def test_no_small_atom_and_no_withheld_group_can_be_computed_from_what_leaves(
    counts: list[int], figures: list[set[int]]
) -> None:
    atoms = rows(*counts)
    wanted = [figure for figure in figures if sum(counts[number] for number in figure) >= 10]
    secret = [figure for figure in figures if figure not in wanted]
    allowed = releasable(atoms, TEN_ROWS, known=[], secret=secret, wanted=wanted)
    leaving = [figure for figure, fine in zip(wanted, allowed, strict=True) if fine]
    small = [{number} for number, count in enumerate(counts) if count < 10]
    for target in [*small, *secret]:
        assert not solvable(leaving, target, 7)


def rank(vectors: list[list[int]]) -> int:
    basis: list[list[Fraction]] = []
    for vector in vectors:
        rest = [Fraction(value) for value in vector]
        for row in basis:
            pivot = next(place for place, value in enumerate(row) if value)
            factor = rest[pivot] / row[pivot]
            rest = [value - factor * other for value, other in zip(rest, row, strict=True)]
        if any(rest):
            basis.append(rest)
    return len(basis)


def tells_about(figures: list[set[int]], few: tuple[int, ...], length: int) -> bool:
    """Whether a combination of the figures speaks of these atoms only."""
    whole = [[int(place in figure) for place in range(length)] for figure in figures]
    others = [[value for place, value in enumerate(vector) if place not in few] for vector in whole]
    return rank(others) < rank(whole)


def speaks_of_too_few(figures: list[set[int]], atoms: list[Atom], limits: Thresholds) -> bool:
    sets = itertools.chain.from_iterable(
        itertools.combinations(range(len(atoms)), size) for size in range(1, 6)
    )
    small = (few for few in sets if not limits.reached_by(atoms[number] for number in few))
    return any(tells_about(figures, few, len(atoms)) for few in small)


several = st.integers(1, 4).map(Atom)
someone = st.builds(Atom, st.integers(1, 4), st.frozensets(st.integers(0, 6), min_size=1, max_size=2))


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(st.lists(several, min_size=7, max_size=7), st.lists(someone, min_size=7, max_size=7)),
    st.lists(cells, min_size=2, max_size=7),
)
def test_a_figure_leaves_exactly_if_no_combination_speaks_of_too_few(
    atoms: list[Atom], figures: list[set[int]]
) -> None:
    limits = Thresholds(rows=5) if atoms[0].members is None else Thresholds(rows=4, units=3)
    wanted = [figure for figure in figures if limits.reached_by(atoms[number] for number in figure)]
    wanted.sort(key=lambda figure: -sum(atoms[number].rows for number in figure))
    leaving: list[set[int]] = []
    for figure, fine in zip(
        wanted, releasable(atoms, limits, known=[], secret=[], wanted=wanted), strict=True
    ):
        assert fine != speaks_of_too_few([*leaving, figure], atoms, limits)
        leaving += [figure] if fine else []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=9, max_size=9))
def test_no_small_cell_of_a_table_can_be_computed_from_its_margins(counts: list[int]) -> None:
    numbers = [number for number, count in enumerate(counts) if count]
    atoms = rows(*(counts[number] for number in numbers))
    place = {number: position for position, number in enumerate(numbers)}

    def large(figure: set[int]) -> bool:
        return sum(atoms[position].rows for position in figure) >= 10

    lines = [{place[number] for number in line if number in place} for line in margins(3, 3)]
    known = [line for line in lines if large(line)]
    # Margins alone may tell: those tables are the business of the query that asked for the margins.
    small = [{position} for position in range(len(atoms)) if not large({position})]
    told = {position for (position,) in map(tuple, small) if solvable(known, {position}, len(atoms))}
    wanted = [{position} for position in range(len(atoms)) if large({position})]
    allowed = releasable(atoms, TEN_ROWS, known=known, secret=small, wanted=wanted)
    leaving = [*known, *itertools.compress(wanted, allowed)]
    for target in small:
        assert target <= told or not solvable(leaving, target, len(atoms))
