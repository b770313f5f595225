"""What the gate lets through, and what it makes of it."""
# ruff: noqa: S608 - the statements are the tests' own, and some are meant to be hostile

from datetime import UTC, date, datetime

import pytest

from catalog.model import Column, ColumnRole
from connector.queries.errors import REFUSALS, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.plan import (
    Aggregate,
    AggregateKind,
    Comparison,
    ComparisonOperator,
    Connective,
    Junction,
    KeyExpression,
    KeyKind,
    KeyOutput,
    Literal,
    Membership,
    Negation,
    QueryPlan,
    Sorting,
)

COLUMNS = (
    Column("profile", "string", ColumnRole.UNIT, {}),
    Column("sector", "string", ColumnRole.DIMENSION, {}),
    Column("district", "int16", ColumnRole.DIMENSION, {}),
    Column("metered", "bool", ColumnRole.DIMENSION, {}),
    Column("ts", "timestamp[us, tz=UTC]", ColumnRole.TIME, {}),
    Column("load_kw", "double", ColumnRole.MEASURE, {}, "kW", 0.05),
    Column("price", "double", ColumnRole.MEASURE, {}),
)


def plan(sql: str) -> QueryPlan:
    return plan_query(sql, table="load_profiles", columns=COLUMNS)


def code(sql: str) -> str:
    with pytest.raises(QueryRefusedError) as refused:
        plan(sql)
    return refused.value.code


def test_the_demo_query_becomes_a_plan() -> None:
    assert plan(
        "SELECT hour(ts) AS hour, avg(load_kw) AS mean_kw, max(load_kw) AS peak_kw, count(*) "
        "FROM load_profiles WHERE sector = 'household' GROUP BY ALL ORDER BY hour LIMIT 24"
    ) == QueryPlan(
        table="load_profiles",
        keys=(KeyExpression(KeyKind.HOUR, "ts"),),
        outputs=(
            KeyOutput("hour", 0),
            Aggregate("mean_kw", AggregateKind.AVG, "load_kw"),
            Aggregate("peak_kw", AggregateKind.MAX, "load_kw", 0.05),
            Aggregate("count(*)", AggregateKind.COUNT),
        ),
        condition=Comparison(KeyExpression(KeyKind.VALUE, "sector"), ComparisonOperator.EQ, "household"),
        order=(Sorting(0),),
        limit=24,
    )


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        ("sector", KeyExpression(KeyKind.VALUE, "sector")),
        ("district", KeyExpression(KeyKind.VALUE, "district")),
        ("HOUR(ts)", KeyExpression(KeyKind.HOUR, "ts")),
        ("dayofweek(ts)", KeyExpression(KeyKind.DAY_OF_WEEK, "ts")),
        ("month(load_profiles.ts)", KeyExpression(KeyKind.MONTH, "ts")),
        ('year("TS")', KeyExpression(KeyKind.YEAR, "ts")),
        ("date_trunc('day', ts)", KeyExpression(KeyKind.DAY_START, "ts")),
        ("date_trunc('MONTH', ts)", KeyExpression(KeyKind.MONTH_START, "ts")),
    ],
)
def test_dimensions_and_parts_of_times_can_be_grouped_by(expression: str, key: KeyExpression) -> None:
    for grouping in (expression, "1", "k", "ALL"):
        found = plan(f"SELECT {expression} AS k, count(*) FROM load_profiles GROUP BY {grouping}")
        assert found.keys == (key,)
        assert found.outputs[0] == KeyOutput("k", 0)


def test_a_grouping_need_not_be_shown() -> None:
    found = plan("SELECT count(*) AS n FROM load_profiles GROUP BY sector, hour(ts), sector")
    assert found.keys == (KeyExpression(KeyKind.VALUE, "sector"), KeyExpression(KeyKind.HOUR, "ts"))


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("count(*)", AggregateKind.COUNT),
        ("sum(load_kw)", AggregateKind.SUM),
        ("avg(load_kw)", AggregateKind.AVG),
        ("var_samp(load_kw)", AggregateKind.VAR_SAMP),
        ("stddev_samp(load_kw)", AggregateKind.STDDEV_SAMP),
        ("stddev(load_kw)", AggregateKind.STDDEV_SAMP),
        ("max(load_kw)", AggregateKind.MAX),
        ("min(load_kw)", AggregateKind.MIN),
    ],
)
def test_figures_over_all_rows_need_no_grouping(expression: str, kind: AggregateKind) -> None:
    found = plan(f"SELECT {expression} FROM load_profiles")
    assert found.keys == ()
    assert [aggregate.kind for aggregate in found.aggregates] == [kind]


def test_outputs_without_a_name_get_the_name_of_what_they_are() -> None:
    sql = "SELECT date_trunc('day', ts), hour(ts), sector, avg(load_kw) FROM load_profiles GROUP BY 1, 2, 3"
    assert [output.alias for output in plan(sql).outputs] == [
        "date_trunc('day', ts)",
        "hour(ts)",
        "sector",
        "avg(load_kw)",
    ]


SECTOR = KeyExpression(KeyKind.VALUE, "sector")
DISTRICT = KeyExpression(KeyKind.VALUE, "district")
TS = KeyExpression(KeyKind.VALUE, "ts")


@pytest.mark.parametrize(
    ("condition", "operand", "operator", "value"),
    [
        ("sector <> 'it''s'", SECTOR, "<>", "it's"),
        ("'a' < sector", SECTOR, ">", "a"),
        ("(district) >= (-7)", DISTRICT, ">=", -7),
        ("metered = true", KeyExpression(KeyKind.VALUE, "metered"), "=", True),
        ("hour(ts) < 6", KeyExpression(KeyKind.HOUR, "ts"), "<", 6),
        ("ts >= '2016-07-01'", TS, ">=", datetime(2016, 7, 1, tzinfo=UTC)),
        ("ts < TIMESTAMP '2016-07-01 12:00'", TS, "<", datetime(2016, 7, 1, 12, tzinfo=UTC)),
        ("ts < '2016-07-01T12:00:00+02:00'::timestamptz", TS, "<", datetime(2016, 7, 1, 10, tzinfo=UTC)),
        (
            "date_trunc('month', ts) = DATE '2016-07-01'",
            KeyExpression(KeyKind.MONTH_START, "ts"),
            "=",
            date(2016, 7, 1),
        ),
    ],
)
def test_conditions_compare_dimensions_and_times_with_fixed_values(
    condition: str, operand: KeyExpression, operator: str, value: Literal
) -> None:
    found = plan(f"SELECT count(*) FROM load_profiles WHERE {condition}").condition
    assert found == Comparison(operand, ComparisonOperator(operator), value)


def test_conditions_nest() -> None:
    found = plan(
        "SELECT count(*) FROM load_profiles "
        "WHERE NOT sector IN ('a', 'b') AND (hour(ts) BETWEEN 1 AND 2 OR district NOT IN (3))"
    ).condition
    hour = KeyExpression(KeyKind.HOUR, "ts")
    assert found == Junction(
        Connective.AND,
        (
            Negation(Membership(SECTOR, ("a", "b"))),
            Junction(
                Connective.OR,
                (
                    Junction(
                        Connective.AND,
                        (
                            Comparison(hour, ComparisonOperator.GTEQ, 1),
                            Comparison(hour, ComparisonOperator.LTEQ, 2),
                        ),
                    ),
                    Negation(Membership(DISTRICT, (3,))),
                ),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("ordering", "sorting"),
    [
        ("peak DESC", (Sorting(1, descending=True),)),
        ("2, 1", (Sorting(1), Sorting(0))),
        ("max(load_kw)", (Sorting(1),)),
        ("sector NULLS FIRST", (Sorting(0, nulls_first=True),)),
    ],
)
def test_the_result_is_ordered_by_its_own_columns(ordering: str, sorting: tuple[Sorting, ...]) -> None:
    sql = f"SELECT sector, max(load_kw) AS peak FROM load_profiles GROUP BY 1 ORDER BY {ordering}"
    assert plan(sql).order == sorting


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", "empty"),
        (" ;; ", "empty"),
        ("SELECT * FROM load_profiles", "row-level"),
        ("SELECT load_kw FROM load_profiles", "row-level"),
        ("SELECT profile, avg(load_kw) FROM load_profiles GROUP BY profile", "row-level"),
        ("SELECT load_kw, count(*) FROM load_profiles GROUP BY ALL", "row-level"),
        ("SELECT ts, count(*) FROM load_profiles GROUP BY ALL", "row-level"),
        ("SELECT sector FROM load_profiles GROUP BY sector", "row-level"),
        ("SELECT hour(ts) FROM load_profiles GROUP BY 1", "row-level"),
        ("SELECT sector, count(*) FROM load_profiles", "not-grouped"),
        ("SELECT count(*) FROM load_profiles GROUP BY profile", "column-role"),
        ("SELECT count(*) FROM load_profiles GROUP BY load_kw", "column-role"),
        ("SELECT count(*) FROM load_profiles GROUP BY ts", "column-role"),
        ("SELECT count(*) FROM load_profiles GROUP BY 1", "group-by"),
        ("SELECT count(*) FROM load_profiles GROUP BY 2", "group-by"),
        ("SELECT hour(ts) AS sector, count(*) FROM load_profiles GROUP BY sector", "ambiguous-name"),
        ("SELECT count(*) FROM load_profiles WHERE profile = 'H0-1'", "column-role"),
        ("SELECT count(*) FROM load_profiles WHERE load_kw > 100", "column-role"),
        ("SELECT count(*) FROM load_profiles WHERE hour(ts) = sector", "literal"),
        ("SELECT count(*) FROM load_profiles WHERE sector = 1", "literal"),
        ("SELECT count(*) FROM load_profiles WHERE hour(ts) = '6'", "literal"),
        ("SELECT count(*) FROM load_profiles WHERE ts > 'yesterday'", "literal"),
        ("SELECT count(*) FROM load_profiles WHERE date_trunc('day', ts) = '2016-01-01 01:00'", "literal"),
        ("SELECT count(*) FROM load_profiles WHERE district = " + "9" * 40, "literal"),
        ("SELECT count(*) FROM load_profiles WHERE true", "filter"),
        ("SELECT count(*) FROM load_profiles WHERE nothing = 1", "unknown-column"),
        ("SELECT max(price) FROM load_profiles", "extreme-not-released"),
        ("SELECT sum(district) FROM load_profiles", "aggregate-column"),
        ("SELECT max(profile) FROM load_profiles", "aggregate-column"),
        ("SELECT count(profile) FROM load_profiles", "function-not-allowed"),
        ("SELECT sum(load_kw * 2) FROM load_profiles", "function-not-allowed"),
        ("SELECT sum(load_kw) + 1 FROM load_profiles", "syntax"),
        ("SELECT median(load_kw) FROM load_profiles", "function-not-allowed"),
        ("SELECT minute(ts), count(*) FROM load_profiles GROUP BY 1", "function-not-allowed"),
        ("SELECT date_trunc('hour', ts), count(*) FROM load_profiles GROUP BY 1", "function-not-allowed"),
        ("SELECT count(*) AS status FROM load_profiles", "name"),
        ("SELECT count(*) AS n, sum(load_kw) AS N FROM load_profiles", "name"),
        ('SELECT count(*) AS "<script>" FROM load_profiles', "name"),
        ("SELECT count(*) FROM load_profiles ORDER BY sector", "order-by"),
        ("SELECT count(*) FROM load_profiles ORDER BY 2", "order-by"),
        ("SELECT count(*) FROM load_profiles LIMIT 10000000", "limit"),
        ("SELECT count(*) FROM load_profiles LIMIT '1'", "limit"),
        ("SELECT count(*) FROM load_profiles LIMIT 1 OFFSET 1", "offset"),
        ("SELECT count(*) FROM load_profiles HAVING count(*) < 3", "having"),
        ("SELECT count(*)", "no-table"),
        ("SELECT count(*) FROM weather", "unknown-table"),
    ],
)
def test_everything_else_is_refused_with_its_reason(sql: str, expected: str) -> None:
    assert code(sql) == expected


def test_withheld_columns_do_not_exist() -> None:
    with pytest.raises(QueryRefusedError) as refused:
        plan_query("SELECT avg(price) FROM load_profiles", table="load_profiles", columns=COLUMNS[:-1])
    assert refused.value.code == "unknown-column"


def test_a_column_may_be_called_like_a_word_of_sql() -> None:
    columns = (Column("format", "string", ColumnRole.DIMENSION, {}),)
    found = plan_query("SELECT format, count(*) FROM t GROUP BY ALL", table="t", columns=columns)
    assert found.keys == (KeyExpression(KeyKind.VALUE, "format"),)


def test_every_reason_exists_in_both_languages_and_says_no_more_than_itself() -> None:
    for reason in REFUSALS.values():
        assert set(reason) == {"de", "en"}
        assert all(sentence.endswith(".") for sentence in reason.values())


def test_a_refusal_does_not_repeat_the_statement() -> None:
    with pytest.raises(QueryRefusedError) as refused:
        plan("SELECT secret_4711 FROM load_profiles WHERE sector = 'secret_4711'")
    assert "4711" not in str(refused.value) + repr(refused.value.reason)


def test_row_level_queries_are_refused_in_words_that_name_the_remedy() -> None:
    with pytest.raises(QueryRefusedError) as refused:
        plan("SELECT * FROM load_profiles LIMIT 10")
    assert refused.value.reason["de"].startswith("Zeilenweise Abfragen sind nicht erlaubt.")
    assert "GROUP BY" in refused.value.reason["en"]
