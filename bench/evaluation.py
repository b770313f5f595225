"""What a decision costs: a policy of five rules, and one of 262 windows of time.

Both in one process, over and over with the same policy, as a provider decides
over the same agreements: the values of a policy are read once. No sentence is
written, for nobody asks for one. What other programs do does not count.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from timeit import Timer
from typing import Final

from bench.measuring import Table
from policies.evaluation import Decision, Facts, Request, assess, evaluate
from policies.model import Policy
from policies.odrl import Limits, Reading, parse_policy, read_policy
from schemas.vocabulary import DPV, ODRL, POLICY

TIMES: Final = 9
_CALLS: Final = 200
_MICROSECONDS: Final = 1e6
_NOW: Final = datetime(2024, 12, 30, 12, tzinfo=UTC)
_TARGET: Final = "urn:bench:dataset"
_PARTNER: Final = "did:web:partner.example"
_PURPOSE: Final = POLICY + "LoadForecasting"


def measure() -> list[Table]:
    """Decisions of both policies: permitted, refused, and with every rule told."""
    five, windows = _five_rules(), _windows()
    facts = Facts(_NOW, {rule.identifier: 0 for rule in five.permissions})
    asked = Request(POLICY + "query", _TARGET, _PARTNER, _PURPOSE)
    other = Request(POLICY + "query", _TARGET, _PARTNER, DPV + "Marketing")
    computing = Request(POLICY + "compute", _TARGET, _PARTNER, _PURPOSE)
    reading = Request(ODRL + "read", _TARGET, _PARTNER)
    at_night = Facts(_NOW.replace(hour=3))
    rows = [
        _row("5 rules, permitted", lambda: evaluate(five, asked, facts), permitted=True),
        _row("5 rules, refused", lambda: evaluate(five, other, facts), permitted=False),
        _row("5 rules, every rule told", lambda: assess(five, computing, facts), permitted=True),
        _row("262 windows, in the last one", lambda: evaluate(windows, reading, facts), permitted=True),
        _row("262 windows, in none", lambda: evaluate(windows, reading, at_night), permitted=False),
    ]
    note = (
        f"Processor time, medians of {TIMES} times {_CALLS} calls. The policy of five rules has four "
        "permissions of four to eight constraints and a prohibition; the other one is an `or` of 262 "
        "`and` of two times each."
    )
    return [Table("One decision over a policy", ("decision", "time"), rows, [note])]


def _row(name: str, decide: Callable[[], Decision], *, permitted: bool) -> list[str]:
    assert decide().permitted is permitted, name
    seconds = statistics.median(Timer(decide, timer=time.process_time).repeat(TIMES, _CALLS)) / _CALLS
    return [name, f"{seconds * _MICROSECONDS:.0f} µs"]


def _compared(left_operand: str, operator: str, right_operand: object) -> dict[str, object]:
    return {"leftOperand": left_operand, "operator": operator, "rightOperand": right_operand}


def _five_rules() -> Policy:
    common = [
        _compared("purpose", "isA", _PURPOSE),
        _compared("dateTime", "gteq", "2024-01-01T00:00:00Z"),
        _compared("dateTime", "lteq", "2027-12-31T23:59:59Z"),
        _compared("count", "lteq", "20"),
    ]
    limits = [
        _compared(POLICY + "queryClass", "eq", "aggregate"),
        _compared(POLICY + "groupUnit", "eq", "profile"),
        _compared(POLICY + "minGroupSize", "gteq", "5"),
        _compared(POLICY + "minGroupRows", "gteq", "10"),
    ]
    compute = {"action": POLICY + "compute", "constraint": common}
    query = {"action": POLICY + "query", "constraint": [*common, *limits]}
    return parse_policy(
        {
            "@type": "Set",
            "@id": "urn:bench:five",
            "target": _TARGET,
            "permission": [compute, compute, query, query],
            "prohibition": [{"action": "reproduce"}],
        }
    )


def _windows() -> Policy:
    """Every weekday of 2024, from nine to five."""
    days = (date(2024, 1, 1) + timedelta(days=number) for number in range(366))
    weekdays = [day for day in days if day.isoweekday() <= 5]  # noqa: PLR2004 - Friday
    windows = [
        {
            "and": [
                _compared("dateTime", "gt", f"{day}T09:00:00Z"),
                _compared("dateTime", "lt", f"{day}T17:00:00Z"),
            ]
        }
        for day in weekdays
    ]
    rule = {"action": "read", "constraint": [{"or": windows}]}
    document = {"@type": "Set", "@id": "urn:bench:windows", "target": _TARGET, "permission": [rule]}
    return read_policy(document, Reading(wide=True, limits=Limits(constraints=2_000)))
