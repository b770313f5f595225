"""Our verdict on every cell of a table is that of the SACRO checker `acro`, an independent program.

`acro` 1.0.2 needs older libraries than we do and half a gigabyte, so it lives in an environment of its own,
made out of `requirements-acro.txt`:

    make acro

makes it and compares. `ALLMENDE_ACRO_PYTHON` names the interpreter of another one. Without that variable, as
in `make test`, there is nothing to compare with, and the tests are skipped; with it, they compare or fail.

Its settings are the defaults: threshold 10, (n,k) = (2, 90 %), p = 10 %. Judged are frequencies, sums and
means: 183 tables with 879 cells.

Where a table has negative values, `acro` judges no cell for dominance and asks for a review
of those with such a value; we withhold those and judge the others.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from catalog.model import Column, ColumnRole
from connector.queries.decompose import judge, site_statement, withhold
from connector.queries.gate import plan_query
from policies.disclosure import Check, Group, Limits, failed_checks
from policies.dominance import Contributions, DominanceRule
from policies.restrictions import QueryRestrictions

ORACLE = Path(__file__).parent / "acro_oracle.py"
NAMES = {
    Check.THRESHOLD: "MinimumThresholdCheck",
    Check.DOMINANCE: "NKCheck",
    Check.P_PERCENT: "PPercentCheck",
}
RULES = (DominanceRule(2, 90),)
LIMITS = Limits(minimum_rows=10, dominance=RULES, p_percent=10)
RESTRICTIONS = QueryRestrictions(None, None, 1, 10, 1000, dominance=RULES, p_percent=10)
COLUMNS = (
    Column("a", "string", ColumnRole.DIMENSION, {}),
    Column("b", "string", ColumnRole.DIMENSION, {}),
    Column("value", "double", ColumnRole.MEASURE, {}),
)
STATEMENTS = {
    "count": "SELECT a, b, count(*) FROM t GROUP BY ALL",
    "sum": "SELECT a, b, sum(value) FROM t GROUP BY ALL",
    "mean": "SELECT a, b, avg(value) FROM t GROUP BY ALL",
}

Cell = tuple[str, str]
Rows = list[tuple[str, str, float]]


def cell_of(values: list[float], a: str, b: str) -> Rows:
    return [(a, b, value) for value in values]


EDGES = [
    [1.0] * 9,
    [1.0] * 10,
    [0.0] * 12,
    [45.0, 45.0, *[1.0] * 10],  # the two largest are exactly 90 percent
    [45.0, 44.0, *[1.0] * 11],
    [450.0, 449.0, *[1.0] * 100],
    [100.0, 50.0, *[1.0] * 10],  # the rest is exactly 10 percent of the largest
    [100.0, 50.0, *[1.0] * 9],
    [100.0, *[1.0] * 11],
    [100.0, *[2.0] * 11],
    [1e6, *[10.0] * 40],
    [5.0],
]


def edges() -> Rows:
    return [
        row
        for number, values in enumerate(EDGES)
        for row in cell_of(values, f"a{number % 4}", f"b{number // 4}")
    ]


def drawn(seed: int) -> Rows:
    """A table whose cells are about as often fine as not, whatever the rule."""
    chance = random.Random(seed)  # noqa: S311 - the same tables in every run
    rows = []
    for a in "pqr"[: chance.randint(1, 3)]:
        for b in "wxyz"[: chance.randint(1, 4)]:
            values = [float(chance.randint(1, 20)) for _ in range(chance.choice([3, 8, 9, 10, 11, 15, 40]))]
            for place in range(chance.choice([0, 0, 1, 2])):
                values[place] *= chance.choice([5, 20, 100])
            rows += cell_of(values, a, b)
    return rows


TABLES = [edges(), *(drawn(seed) for seed in range(60))]
ASKED = [(rows, statistic) for rows in TABLES for statistic in STATEMENTS]


def acro(asked: list[tuple[Rows, str]]) -> list[dict[Cell, set[str]]]:
    interpreter = os.environ.get("ALLMENDE_ACRO_PYTHON")
    if interpreter is None:
        pytest.skip("acro has an environment of its own: make acro")
    tables = json.dumps([{"rows": rows, "statistic": statistic} for rows, statistic in asked])
    done = subprocess.run(
        [interpreter, str(ORACLE)], input=tables, stdout=subprocess.PIPE, text=True, check=True
    )
    return [
        {(a, b): set(checks) & set(NAMES.values()) for a, b, checks in table}
        for table in json.loads(done.stdout)
    ]


@pytest.fixture(scope="module")
def verdicts() -> list[dict[Cell, set[str]]]:
    return acro(ASKED)


def by_cell(rows: Rows) -> Iterator[tuple[Cell, list[float]]]:
    cells = sorted({(a, b) for a, b, _ in rows})
    for cell in cells:
        yield cell, [value for a, b, value in rows if (a, b) == cell]


def named(checks: frozenset[Check]) -> set[str]:
    return {NAMES[check] for check in checks}


def ours(values: list[float], statistic: str) -> set[str]:
    largest = tuple(sorted(values, reverse=True)[:2])
    sums = () if statistic == "count" else (Contributions(sum(values), largest, min(values)),)
    limits = Limits(minimum_rows=10) if statistic == "count" else LIMITS
    return named(failed_checks(Group((len(values),), None, sums), limits))


def test_every_check_of_every_cell_says_what_acro_says(verdicts: list[dict[Cell, set[str]]]) -> None:
    compared = 0
    for (rows, statistic), theirs in zip(ASKED, verdicts, strict=True):
        for cell, values in by_cell(rows):
            assert ours(values, statistic) == theirs[cell], (cell, values, statistic)
            compared += 1
    assert compared == 879
    sys.stdout.write(f"{compared} cells of {len(ASKED)} tables compared: all verdicts are those of acro.\n")


def answered(rows: Rows, statistic: str) -> tuple[dict[Cell, frozenset[Check]], dict[Cell, str]]:
    """Our verdict and our answer, from the client's SQL to the table that leaves."""
    plan = plan_query(STATEMENTS[statistic], table="t", columns=COLUMNS)
    columns = list(zip(*rows, strict=True))
    with duckdb.connect() as engine:
        engine.register("t", pa.table({"a": columns[0], "b": columns[1], "value": columns[2]}))
        partials = engine.sql(site_statement(plan, RESTRICTIONS, COLUMNS)).to_arrow_table()
    checks = judge(plan, RESTRICTIONS, partials)
    left = withhold(plan, RESTRICTIONS, partials)
    cells = list(zip(partials["key_0"].to_pylist(), partials["key_1"].to_pylist(), strict=True))
    return dict(zip(cells, checks, strict=True)), dict(zip(cells, left["status"].to_pylist(), strict=True))


def test_what_leaves_is_what_acro_lets_pass(verdicts: list[dict[Cell, set[str]]]) -> None:
    shown = withheld = 0
    for (rows, statistic), theirs in zip(ASKED, verdicts, strict=True):
        checks, statuses = answered(rows, statistic)
        for cell, values in by_cell(rows):
            assert (statuses[cell] == "released") == (not theirs[cell]), (cell, values, statistic)
            if len(values) >= 10:
                assert named(checks[cell]) == theirs[cell]
            shown += not theirs[cell]
            withheld += bool(theirs[cell])
    assert min(shown, withheld) > 200
    sys.stdout.write(f"{shown} cells leave and {withheld} are withheld, as acro says.\n")


def test_a_cell_with_a_negative_value_is_withheld_where_acro_asks_for_a_review() -> None:
    rows = [*cell_of([-1.0, *[5.0] * 20], "p", "x"), *cell_of([5.0] * 20, "q", "x")]
    (theirs,) = acro([(rows, "sum")])
    _, statuses = answered(rows, "sum")
    assert theirs == {("p", "x"): {"NKCheck", "PPercentCheck"}, ("q", "x"): set()}
    assert statuses == {("p", "x"): "suppressed", ("q", "x"): "released"}


@pytest.mark.parametrize("named", ["", "no-such-python"])
def test_where_an_interpreter_is_named_and_not_there_nothing_is_skipped(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLMENDE_ACRO_PYTHON", named)
    with pytest.raises((OSError, pytest.skip.Exception)) as found:
        acro(ASKED[:1])
    assert issubclass(found.type, OSError)
