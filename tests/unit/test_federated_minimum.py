"""How many providers have to contribute to a federated answer, as their agreements ask for."""

import pyarrow as pa
import pytest

from connector.services.asking import SiteAnswer, enough_together

TABLE = pa.table({"n": [1]})


def answered(provider: str, *, refused: bool = False) -> tuple[SiteAnswer, pa.Table | None]:
    status, reason = ("refused", "No.") if refused else ("released", None)
    answer = SiteAnswer(provider, provider, f"urn:{provider}", status, reason, 1, 0, 10, None)
    return answer, None if refused else TABLE


def kept(*answers: tuple[tuple[SiteAnswer, pa.Table | None], int]) -> list[str]:
    return [answer.provider for answer, table in enough_together(answers) if table is not None]


def test_without_a_minimum_every_answer_counts() -> None:
    assert kept((answered("a"), 1), (answered("b"), 1)) == ["a", "b"]


@pytest.mark.parametrize(("minimum", "expected"), [(2, ["a", "b"]), (3, ["b"])])
def test_a_provider_who_wants_more_company_than_there_is_is_set_aside(
    minimum: int, expected: list[str]
) -> None:
    assert kept((answered("a"), minimum), (answered("b"), 1)) == expected


def test_whoever_is_set_aside_is_missing_for_the_others_too() -> None:
    # Without the first there are three, without the second two, without the third one.
    assert kept((answered("a"), 5), (answered("b"), 4), (answered("c"), 3), (answered("d"), 1)) == ["d"]


def test_a_site_that_gave_nothing_is_no_company() -> None:
    assert kept((answered("a"), 2), (answered("b", refused=True), 1)) == []


def test_two_datasets_of_one_provider_are_one_provider() -> None:
    assert kept((answered("a"), 2), (answered("a"), 1)) == ["a"]


def test_what_is_set_aside_says_why_and_the_rest_stays_as_it_was() -> None:
    refused = answered("c", refused=True)
    (first, none), second, third = enough_together([(answered("a"), 3), (answered("b"), 1), (refused, 1)])
    assert none is None
    assert first.status == "refused"
    assert first.reason == (
        "The agreement asks for results of at least 3 providers together; too few have answered."
    )
    assert second == answered("b")
    assert third == refused
