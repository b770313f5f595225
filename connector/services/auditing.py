"""Auditing: what a query tells together with those that the same agreement answered before.

What was answered is remembered while the connector runs, and found out again from the
record of queries after a restart.

Limitation: where the data of a dataset change, earlier answers are judged by the new
data. Answers under other agreements are not looked at.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from catalog.model import Column
from connector.ports import QueryEngine
from connector.queries.decompose import site_statement
from connector.queries.errors import QueryRefusedError, refusal
from connector.queries.gate import plan_query
from connector.queries.history import Answered, atoms_statement, needs_audit, protect
from connector.queries.plan import QueryPlan
from policies.restrictions import QueryRestrictions

_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class View:
    """What queries of an agreement run over.

    Attributes:
        table: Name of the table in statements.
        columns: Its columns as they look after masking.
        restrictions: What the agreement asks of groups.
        projection: The Arrow file.
    """

    table: str
    columns: Sequence[Column]
    restrictions: QueryRestrictions
    projection: Path


async def examine(
    engine: QueryEngine,
    view: View,
    plan: QueryPlan,
    history: Sequence[Answered],
    seconds: float = _SECONDS,
) -> tuple[pa.Table, Answered]:
    """Compute a query, and find the groups that must be withheld because of earlier answers.

    Args:
        engine: Runs our statements.
        view: What they run over.
        plan: What is asked.
        history: What was answered before.
        seconds: Longest run of a statement.

    Returns:
        The engine's answer with those groups marked, for `withhold`, and what it tells.

    Raises:
        QueryError: It cannot be computed, has too many groups, or tells too much.
    """

    async def run(statement: str) -> pa.Table:
        return await engine.run(
            statement, table=view.table, projection=view.projection, timeout_seconds=seconds
        )

    partials = await run(site_statement(plan, view.restrictions, view.columns, numbered=True))
    if partials.num_rows > view.restrictions.maximum_result_rows:
        raise refusal("too-many-groups")
    audit = needs_audit(plan, history)
    atoms = await run(atoms_statement(plan, history, view.restrictions)) if audit else None
    # Many answers before this one can take seconds, in which others must be served.
    return await asyncio.to_thread(protect, plan, view.restrictions, partials, history, atoms)


def replanned(statement: str, view: View) -> QueryPlan | None:
    """Plan a statement that was answered before; None where the dataset has no such columns any more."""
    try:
        return plan_query(statement, table=view.table, columns=view.columns)
    except QueryRefusedError:
        return None


class QueryHistories:
    """What was answered under each agreement, and whose turn it is to ask next."""

    def __init__(self, engine: QueryEngine) -> None:
        """Start with nothing remembered."""
        self._engine = engine
        self._answered: dict[str, dict[str, Answered]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def turn(self, agreement: str) -> asyncio.Lock:
        """One query of an agreement at a time: two at once would not know of each other."""
        return self._turns.setdefault(agreement, asyncio.Lock())

    def remember(self, agreement: str, query: str, told: Answered) -> None:
        """Remember what a query has told."""
        self._answered.setdefault(agreement, {})[query] = told

    async def of(self, agreement: str, records: Mapping[str, str], view: View) -> tuple[Answered, ...]:
        """What was answered under an agreement, oldest first.

        Args:
            agreement: IRI of the agreement.
            records: The answered statements by their identifiers, oldest first.
            view: What they run over.
        """
        known = self._answered.setdefault(agreement, {})
        history: list[Answered] = []
        for identifier, statement in records.items():
            plan = None if identifier in known else replanned(statement, view)
            if plan is not None:
                known[identifier] = await self._again(plan, history, view)
            if identifier in known:
                history.append(known[identifier])
        return tuple(history)

    async def _again(self, plan: QueryPlan, history: Sequence[Answered], view: View) -> Answered:
        try:
            _, told = await examine(self._engine, view, plan, history)
        except QueryRefusedError:
            # It would be refused today, so nothing of it was told beyond what the others tell.
            return Answered(plan, frozenset(), frozenset())
        return told
