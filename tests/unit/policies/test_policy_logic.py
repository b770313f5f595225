"""Three-valued logic, as truth tables typed from Kleene and from ODRL 2.2, section 2.5.2."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.logic import JOIN, Truth, all_in_sequence, all_of, any_of, exactly_one, not_
from policies.model import Connective

T, F, U = True, False, None


@pytest.mark.parametrize(
    ("left", "right", "conjunction", "disjunction", "exclusive"),
    [
        (T, T, T, T, F),
        (T, F, F, T, T),
        (T, U, U, T, U),
        (F, T, F, T, T),
        (F, F, F, F, F),
        (F, U, F, U, U),
        (U, T, U, T, U),
        (U, F, F, U, U),
        (U, U, U, U, U),
    ],
)
def test_two_truths_join_as_the_tables_say(
    left: object, right: object, conjunction: object, disjunction: object, exclusive: object
) -> None:
    assert all_of([left, right]) is conjunction
    assert any_of([left, right]) is disjunction
    assert exactly_one([left, right]) is exclusive


@pytest.mark.parametrize(
    ("truths", "expected"),
    [([T, T], T), ([T, F], F), ([T, U], U), ([F, U], F), ([U, F], U), ([F, T], F)],
)
def test_a_sequence_stops_at_the_first_that_does_not_hold(truths: list, expected: object) -> None:
    assert all_in_sequence(truths) is expected


def test_two_that_hold_decide_an_exclusive_choice_whatever_is_unknown() -> None:
    assert exactly_one([T, U, T]) is F


@pytest.mark.parametrize(("truth", "expected"), [(T, F), (F, T), (U, U)])
def test_the_negation_of_the_unknown_is_unknown(truth: object, expected: object) -> None:
    assert not_(truth) is expected


@pytest.mark.parametrize(
    ("truths", "conjunction", "disjunction", "exclusive", "sequence"),
    [
        ([], T, F, F, T),
        ([T], T, T, T, T),
        ([F], F, F, F, F),
        ([U], U, U, U, U),
        ([T, T, T], T, T, F, T),
        ([T, T, F], F, T, F, F),
        ([T, F, F], F, T, T, F),
        ([F, F, F], F, F, F, F),
        ([T, T, U], U, T, F, U),
        ([T, U, U], U, T, U, U),
        ([U, U, U], U, U, U, U),
        ([F, U, U], F, U, U, F),
        ([U, F, T], F, T, U, U),
        ([U, T, F], F, T, U, U),
    ],
)
def test_several_truths_join_as_the_tables_say(
    truths: list, conjunction: object, disjunction: object, exclusive: object, sequence: object
) -> None:
    assert all_of(truths) is conjunction
    assert any_of(truths) is disjunction
    assert exactly_one(truths) is exclusive
    assert all_in_sequence(truths) is sequence


Tree = object
TREES = st.recursive(
    st.sampled_from([T, F, U, U]),
    lambda inner: st.tuples(st.sampled_from(list(Connective)), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=7,
)


def truth_of(tree: Tree, known: list[bool]) -> Truth:
    """The truth of a tree of connectives, once what is unknown turned out as given."""
    if isinstance(tree, tuple):
        connective, parts = tree
        return JOIN[connective]([truth_of(part, known) for part in parts])
    return known.pop(0) if tree is U and known else tree


def unknowns(tree: Tree) -> int:
    return sum(unknowns(part) for part in tree[1]) if isinstance(tree, tuple) else tree is U


@given(TREES)
def test_what_is_decided_stays_so_whatever_the_unknown_turns_out_to_be(tree: Tree) -> None:
    decided = truth_of(tree, [])
    for outcome in product([T, F], repeat=unknowns(tree)):
        found = truth_of(tree, list(outcome))
        assert found is not U
        assert decided in {U, found}
