"""What several queries of one agreement tell together; DuckDB cuts the rows, Python is the oracle."""
# ruff: noqa: S608 - the statements are the tests' own

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalog.model import Column, ColumnRole
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import PartialsInvalidError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.history import Answered, atoms_statement, needs_audit, protect
from connector.queries.plan import QueryPlan
from policies.dominance import DominanceRule
from policies.restrictions import QueryRestrictions

COLUMNS = (
    Column("person", "string", ColumnRole.UNIT, {}),
    Column("region", "string", ColumnRole.DIMENSION, {}),
    Column("branch", "string", ColumnRole.DIMENSION, {}),
    Column("age", "int64", ColumnRole.DIMENSION, {}),
    Column("income", "double", ColumnRole.MEASURE, {}),
    Column("wealth", "double", ColumnRole.MEASURE, {}),
)
LIMITS = QueryRestrictions(None, "person", minimum_units=5, minimum_rows=5, maximum_result_rows=1000)
Row = tuple[str, str, str, int, float | None, float | None]


def table_of(rows: Sequence[Row]) -> pa.Table:
    types = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.float64(), pa.float64())
    return pa.table(
        {
            column.name: pa.array([row[place] for row in rows], types[place])
            for place, column in enumerate(COLUMNS)
        }
    )


class Partner:
    """Asks one query after the other and keeps what it was told."""

    def __init__(self, rows: Sequence[Row], limits: QueryRestrictions = LIMITS) -> None:
        self.engine = duckdb.connect()
        self.engine.register("people", table_of(rows))
        self.limits = limits
        self.history: list[Answered] = []
        self.looked = 0

    def run(self, statement: str) -> pa.Table:
        found = self.engine.sql(statement).to_arrow_table()
        assert isinstance(found, pa.Table)
        return found

    def plan(self, sql: str) -> QueryPlan:
        return plan_query(sql, table="people", columns=COLUMNS)

    def ask(self, sql: str) -> dict[tuple, dict]:
        plan = self.plan(sql)
        partials = self.run(site_statement(plan, self.limits, COLUMNS))
        atoms = None
        if needs_audit(plan, self.history):
            self.looked += 1
            atoms = self.run(atoms_statement(plan, self.history, self.limits))
        marked, told = protect(plan, self.limits, partials, self.history, atoms)
        self.history.append(told)
        rows = withhold(plan, self.limits, marked).to_pylist()
        keys = [f"key_{place}" for place in range(len(plan.keys))]
        return {tuple(row[key] for key in keys): row for row in rows if row["status"] == "released"}

    def refuses(self, sql: str) -> str:
        with pytest.raises(QueryRefusedError) as refused:
            self.ask(sql)
        return refused.value.code


def people(region: str, branch: str, count: int, start: int = 0) -> list[Row]:
    return [
        (f"{region}{branch}{number}", region, branch, 20 + number, 1000.0 + number, None)
        for number in range(start, start + count)
    ]


TOWNS = [*people("Ulm", "x", 40), *people("Aalen", "x", 30), *people("Calw", "x", 3)]
BY_REGION = "SELECT region, sum(income), count(*) FROM people GROUP BY region"


def test_the_first_query_is_answered_as_it_is() -> None:
    partner = Partner(TOWNS)
    assert set(partner.ask(BY_REGION)) == {("Ulm",), ("Aalen",)}
    assert partner.looked == 0


def test_after_the_total_the_smallest_other_group_is_withheld_as_well() -> None:
    partner = Partner(TOWNS)
    assert partner.ask("SELECT count(*) FROM people")
    assert set(partner.ask(BY_REGION)) == {("Ulm",)}


def test_after_the_groups_the_total_is_refused() -> None:
    partner = Partner(TOWNS)
    partner.ask(BY_REGION)
    assert partner.refuses("SELECT count(*) FROM people") == "overlap"


@pytest.mark.parametrize(
    "second",
    [
        "SELECT avg(income) FROM people WHERE region <> 'Calw'",
        "SELECT avg(income) FROM people WHERE region IN ('Ulm', 'Aalen')",
        "SELECT avg(income) FROM people WHERE NOT (region = 'Calw')",
        "SELECT avg(income) FROM people WHERE age <> 22 AND region = 'Ulm' OR region IN ('Aalen', 'Calw')",
    ],
)
def test_two_queries_that_differ_by_a_few_people_are_not_both_answered(second: str) -> None:
    partner = Partner(TOWNS)
    partner.ask("SELECT avg(income) FROM people")
    assert partner.refuses(second) == "overlap"
    partner = Partner(TOWNS)
    partner.ask(second)
    assert partner.refuses("SELECT avg(income) FROM people") == "overlap"


def test_two_queries_that_differ_by_enough_people_are_both_answered() -> None:
    partner = Partner(TOWNS)
    assert partner.ask("SELECT avg(income) FROM people")
    assert partner.ask("SELECT avg(income) FROM people WHERE region <> 'Aalen'")


def test_a_difference_that_shows_in_one_group_costs_that_group() -> None:
    partner = Partner([*TOWNS, *people("Ulm", "y", 2, 500)])
    partner.ask("SELECT region, sum(income) FROM people GROUP BY region")
    answered = partner.ask("SELECT region, sum(income) FROM people WHERE branch = 'x' GROUP BY region")
    # Two people of another branch live in Ulm only.
    assert set(answered) == {("Aalen",)}


def test_the_same_rows_by_other_words_are_answered_again() -> None:
    partner = Partner(TOWNS)
    partner.ask("SELECT avg(income) FROM people WHERE age < 50")
    assert partner.ask("SELECT avg(income) FROM people WHERE age <= 49")
    assert partner.ask("SELECT avg(income) FROM people WHERE NOT age >= 50")


def test_the_same_query_again_costs_no_second_look() -> None:
    partner = Partner(TOWNS)
    first = partner.ask(BY_REGION)
    assert partner.ask(BY_REGION) == first
    assert partner.ask("SELECT region, avg(income) AS mean FROM people GROUP BY 1 ORDER BY mean") == {
        key: {**row, "status": "released"} for key, row in first.items()
    }
    assert partner.looked == 0


def test_a_tracker_of_three_queries_is_refused() -> None:
    rows = [*people("Ulm", "x", 40), *people("Aalen", "x", 40), *people("Ulm", "z", 1, 900)]
    partner = Partner(rows)
    target, screen = "branch = 'z'", "region = 'Aalen'"
    assert partner.ask(f"SELECT sum(income) FROM people WHERE {target} OR {screen}")
    assert partner.refuses(f"SELECT sum(income) FROM people WHERE {screen}") == "overlap"
    partner = Partner(rows)
    assert partner.ask(f"SELECT sum(income) FROM people WHERE {target} OR {screen}")
    assert partner.ask("SELECT sum(income) FROM people")
    assert partner.refuses(f"SELECT sum(income) FROM people WHERE {target} OR NOT {screen}") == "overlap"


def test_a_small_cell_of_a_table_is_protected_from_its_margins() -> None:
    rows = [
        *people("Ulm", "x", 3),
        *people("Ulm", "y", 30),
        *people("Aalen", "x", 20),
        *people("Aalen", "y", 25),
    ]
    partner = Partner(rows)
    partner.ask("SELECT region, count(*) FROM people GROUP BY 1")
    partner.ask("SELECT branch, count(*) FROM people GROUP BY 1")
    assert partner.refuses("SELECT region, branch, count(*) FROM people GROUP BY ALL") == "overlap"
    rows += [*people("Calw", "x", 50), *people("Calw", "y", 60), *people("Calw", "z", 70)]
    rows += [*people("Ulm", "z", 80), *people("Aalen", "z", 90)]
    partner = Partner(rows)
    partner.ask("SELECT region, count(*) FROM people GROUP BY 1")
    partner.ask("SELECT branch, count(*) FROM people GROUP BY 1")
    answered = partner.ask("SELECT region, branch, count(*) FROM people GROUP BY ALL")
    # The small cell, and with it a rectangle of three others.
    assert len(answered) == 9 - 4


def test_many_rows_with_few_values_are_few() -> None:
    rows = [
        *people("Ulm", "x", 40),
        *[(f"y{number}", "Ulm", "y", 30, None if number else 5000.0, None) for number in range(20)],
    ]
    partner = Partner(rows)
    assert partner.ask("SELECT count(*) FROM people")
    assert partner.ask("SELECT count(*) FROM people WHERE branch = 'x'")
    partner = Partner(rows)
    assert partner.ask("SELECT sum(income) FROM people")
    assert partner.refuses("SELECT sum(income) FROM people WHERE branch = 'x'") == "overlap"


def test_a_dominated_group_stays_secret_although_it_is_large() -> None:
    rich: list[Row] = [("rich", "Calw", "x", 60, 300_000.0, None), *people("Calw", "x", 30)]
    limits = replace(LIMITS, dominance=(DominanceRule(2, 90),))
    partner = Partner([*TOWNS[:70], *rich], limits)
    assert set(partner.ask(BY_REGION)) == {("Ulm",), ("Aalen",)}
    assert partner.refuses("SELECT sum(income) FROM people WHERE region <> 'Ulm'") == "overlap"


def test_without_a_unit_rows_are_counted() -> None:
    limits = replace(LIMITS, group_unit=None, minimum_rows=10)
    partner = Partner(TOWNS, limits)
    partner.ask("SELECT count(*) FROM people")
    assert partner.refuses("SELECT count(*) FROM people WHERE region <> 'Calw'") == "overlap"


def test_units_that_come_again_are_counted_once() -> None:
    one = [("same", "Calw", "x", 30, 1.0, None)] * 50
    partner = Partner([*people("Ulm", "x", 40), *one])
    partner.ask("SELECT count(*) FROM people")
    assert partner.refuses("SELECT count(*) FROM people WHERE region = 'Ulm'") == "overlap"


def test_what_is_too_fine_to_be_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.queries.history.MAXIMUM_ATOMS", 3)
    partner = Partner([row for number in range(9) for row in people(f"r{number}", "x", 9)])
    partner.ask("SELECT count(*) FROM people")
    assert partner.refuses("SELECT region, count(*) FROM people GROUP BY 1") == "overlap-too-fine"


def test_a_history_that_nobody_looked_at_is_no_leave() -> None:
    partner = Partner(TOWNS)
    partner.ask(BY_REGION)
    plan = partner.plan("SELECT count(*) FROM people")
    partials = partner.run(site_statement(plan, LIMITS, COLUMNS))
    with pytest.raises(PartialsInvalidError):
        protect(plan, LIMITS, partials, partner.history, None)


def test_the_statement_of_the_audit_is_a_single_select_without_a_name_of_the_client() -> None:
    partner = Partner(TOWNS)
    partner.ask("SELECT region AS s3cret, count(*) AS n4me FROM people WHERE branch = 'it''s' GROUP BY 1")
    plan = partner.plan("SELECT count(*) FROM people AS al1as")
    statement = atoms_statement(plan, partner.history, LIMITS)
    assert len(duckdb.extract_statements(statement)) == 1
    assert not any(name in statement for name in ("s3cret", "n4me", "al1as"))


CONDITIONS: dict[str, Callable[[Row], bool]] = {
    "region = 'Ulm'": lambda row: row[1] == "Ulm",
    "region <> 'Calw'": lambda row: row[1] != "Calw",
    "branch = 'x'": lambda row: row[2] == "x",
    "age < 30": lambda row: row[3] < 30,
    "age >= 25": lambda row: row[3] >= 25,
    "NOT (age = 27 AND branch = 'y')": lambda row: not (row[3] == 27 and row[2] == "y"),
}
KEYS: dict[str, Callable[[Row], object]] = {"region": lambda row: row[1], "branch": lambda row: row[2]}
questions = st.tuples(
    st.lists(st.sampled_from([*KEYS]), unique=True, max_size=2),
    st.lists(st.sampled_from([*CONDITIONS]), unique=True, max_size=2),
)


def _population() -> list[Row]:
    chance = random.Random(4711)  # noqa: S311 - the same people in every run
    return [
        (
            f"p{number}",
            chance.choice(["Ulm"] * 5 + ["Aalen"] * 4 + ["Calw"]),
            chance.choice("xxy"),
            chance.randint(20, 40),
            1.0,
            None,
        )
        for number in range(90)
    ]


POPULATION = _population()
FOUR_QUESTIONS: list[tuple[list[str], list[str]]] = [
    ([], []),
    ([], ["age >= 25"]),
    (["region", "branch"], []),
    (["region", "branch"], ["age >= 25", "NOT (age = 27 AND branch = 'y')"]),
]


def written(keys: Sequence[str], conditions: Sequence[str]) -> str:
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
    return f"SELECT {', '.join([*keys, 'count(*)'])} FROM people{where}{grouping}"


def test_two_tables_do_not_tell_together_of_a_few_whom_only_one_of_them_counts() -> None:
    partner = Partner(POPULATION)
    for keys, conditions in FOUR_QUESTIONS[:3]:
        partner.ask(written(keys, conditions))
    everybody = {row[0] for row in POPULATION if row[1:3] == ("Aalen", "y")}
    others = {row[0] for row in POPULATION if row[1:3] == ("Aalen", "y") and row[3] >= 25 and row[3] != 27}
    assert (len(everybody), len(others)) == (13, 9)
    assert ("Aalen", "y") in partner.history[2].released
    answered = partner.ask(written(*FOUR_QUESTIONS[3]))
    assert set(answered) == {("Aalen", "x"), ("Ulm", "x"), ("Ulm", "y")}


@settings(max_examples=60, deadline=None)
@example(FOUR_QUESTIONS)
@given(st.lists(questions, min_size=2, max_size=5))
def test_no_two_answers_differ_by_fewer_people_than_the_threshold(asked: list) -> None:
    partner = Partner(POPULATION)
    told: list[frozenset[str]] = []
    for keys, conditions in asked:
        try:
            answer = partner.ask(written(keys, conditions))
        except QueryRefusedError as refused:
            assert refused.code == "overlap"  # noqa: PT017 - what else may happen is no error
            continue
        rows = [row for row in POPULATION if all(CONDITIONS[one](row) for one in conditions)]
        told += [
            frozenset(row[0] for row in rows if tuple(KEYS[one](row) for one in keys) == key)
            for key in answer
        ]
    for one in told:
        for other in told:
            if other < one:
                assert len(one - other) >= 5
