"""Three-valued logic, as truth tables typed from Kleene and from ODRL 2.2, section 2.5.2."""

import pytest

from policies.logic import all_in_sequence, all_of, any_of, exactly_one, not_

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
