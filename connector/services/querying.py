"""Querying, the provider's half: a query that an agreement permits is answered with partial aggregates.

Source:
    docs/adr/0006-enforcement.md; docs/adr/0007-federated-queries.md.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.ipc

from catalog.model import Column, ColumnRole
from connector.evidence.receipts import ReleasedOutput
from connector.ports import (
    Clock,
    Credentials,
    Identifiers,
    Projections,
    QueryEngine,
    QueryRecord,
    Store,
    Transaction,
)
from connector.protocol.machine import Party
from connector.protocol.transfer import TransferFormat
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import DataUnreadableError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.history import Answered
from connector.queries.partials import ROWS, STATUS, GroupStatus
from connector.queries.permitted import (
    masked_columns,
    permitted_columns,
    projected_columns,
    redaction_under,
)
from connector.queries.plan import QueryPlan
from connector.services.accessing import Access, UseRefusedError, open_access, permitted, reserve
from connector.services.auditing import QueryHistories, View, examine
from connector.services.receipting import Leaving, release_of
from connector.services.releasing import record_release
from policies.evaluation import Where
from policies.model import LanguageMap, Permission
from policies.restrictions import QueryRestrictions, as_data, limits_in_words, query_restrictions
from policies.row_filters import RowFilterError
from schemas.vocabulary import POLICY

QUERY_ACTION = POLICY + "query"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
_ENGINE_SECONDS = 30.0
_OVERLAP_CHECK = "nothing about fewer together with earlier answers"
_UNREADABLE = "The provider could not read its data. The use was not counted."


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What leaves: partial aggregates, and the name of their receipt."""

    content: bytes
    receipt: str


@dataclass(frozen=True, slots=True)
class _Admission:
    """A query on its way through the provider."""

    access: Access
    permission: Permission
    plan: QueryPlan
    restrictions: QueryRestrictions
    uses: tuple[int, int]
    started: datetime


class AnsweringQueries:
    """The provider's half: answers a query that an agreement permits, and nothing else.

    Args:
        store: Where agreements, uses and the ledger are kept.
        clock: Tells the time.
        identifiers: Names receipts.
        credentials: Who signs receipts.
        projections: Cuts data down to what is permitted.
        engine: Runs our statements in a sandbox.
        tier: Sandbox measures in force, for the receipt.
        place: Where this connector runs; None where nobody has said so.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        projections: Projections,
        engine: QueryEngine,
        tier: str,
        place: str | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._projections = projections
        self._engine = engine
        self._tier = tier
        self._place = place
        self._histories = QueryHistories(engine)

    async def answer(self, token: str, statement: str, purpose: str | None) -> QueryAnswer:
        """Answer a query with partial aggregates.

        Args:
            token: Access token of the transfer process.
            statement: What the consumer asks, as SQL.
            purpose: What for; None for the purpose declared in the negotiation.

        Returns:
            An Arrow IPC stream with the columns of `connector.queries.partials`.

        Raises:
            AccessDeniedError: The token opens nothing.
            UseRefusedError: The agreement does not permit it.
            QueryRefusedError: The statement asks for more than aggregates.
            QueryError: It could not be computed.
        """
        access = await self._store.transact(lambda tx: open_access(tx, token, TransferFormat.QUERY))
        try:
            admission = await self._admit(access, token, statement, purpose)
        except (UseRefusedError, QueryRefusedError) as refusal:
            await self._note_refusal(access, statement, purpose, refusal.reason)
            raise
        agreement = access.agreement.identifier
        try:
            async with self._histories.turn(agreement):
                partials, told = await self._compute(admission)
                answer = await self._release(admission, token, statement, purpose, partials)
                self._histories.remember(agreement, answer.receipt, told)
                return answer
        except QueryRefusedError as refusal:
            # It took the data to find this out, and it tells something about them: the use stays spent.
            await self._note_refusal(access, statement, purpose, refusal.reason)
            raise
        except Exception as failure:
            await self._give_back(admission, statement, purpose, failure)
            if isinstance(failure, DataUnreadableError):
                # Its own sentence names files and values: it is for our steward, not for the consumer.
                raise DataUnreadableError(_UNREADABLE) from failure
            raise

    async def _admit(self, access: Access, token: str, statement: str, purpose: str | None) -> _Admission:
        now = self._clock.now()
        permission = permitted(access, action=QUERY_ACTION, purpose=purpose, now=now, place=self._place)
        restrictions = query_restrictions(permission)
        dataset = access.published.dataset
        plan = plan_query(
            statement, table=dataset.table, columns=permitted_columns(dataset.columns, restrictions)
        )
        # Written here to refuse before a use is counted; `examine` writes and runs it.
        site_statement(plan, restrictions, masked_columns(dataset.columns, restrictions))

        def count(tx: Transaction) -> tuple[int, int]:
            current = open_access(tx, token, TransferFormat.QUERY)
            return reserve(tx, current, permission)

        uses = await self._store.transact(count)
        return _Admission(access, permission, plan, restrictions, uses, now)

    async def _compute(self, admission: _Admission) -> tuple[pa.Table, Answered]:
        """Compute what may leave, and note what it tells."""
        agreement, restrictions = admission.access.agreement.identifier, admission.restrictions
        view = await self._view(admission)
        records = await self._store.transact(lambda tx: _answered_statements(tx, agreement))
        history = await self._histories.of(agreement, records, view)
        partials, told = await examine(self._engine, view, admission.plan, history, _ENGINE_SECONDS)
        return withhold(admission.plan, restrictions, partials), told

    async def _view(self, admission: _Admission) -> View:
        published, restrictions = admission.access.published, admission.restrictions
        dataset = published.dataset
        agreement = admission.access.agreement.identifier
        try:
            redaction = redaction_under(restrictions, published.row_filters, agreement)
        except RowFilterError as problem:
            raise DataUnreadableError(str(problem)) from problem
        names = projected_columns(dataset.columns, restrictions)
        projection = await self._projections.materialise(published.source, names, dataset.digest, redaction)
        columns = masked_columns(dataset.columns, restrictions)
        return View(dataset.table, columns, restrictions, projection)

    async def _release(
        self, admission: _Admission, token: str, statement: str, purpose: str | None, partials: pa.Table
    ) -> QueryAnswer:
        content = _stream(partials)
        leaving = self._leaving(admission, statement, purpose, partials, content)
        receipt, now = self._identifiers.new(), self._clock.now()
        agreement = admission.access.agreement
        record = QueryRecord(
            identifier=receipt,
            role=Party.PROVIDER,
            peer=agreement.consumer,
            dataset=agreement.dataset,
            agreement_id=agreement.identifier,
            statement=statement,
            purpose=purpose or admission.access.purpose or "",
            refusal=None,
            groups_out=partials.num_rows - leaving.suppressed,
            bytes_out=len(content),
            suppressed_groups=leaving.suppressed,
            created=admission.started,
        )

        def work(tx: Transaction) -> None:
            # Asked again: the agreement or the access may have ended while the engine was busy.
            current = open_access(tx, token, TransferFormat.QUERY)
            permitted(
                current,
                action=QUERY_ACTION,
                purpose=purpose,
                now=now,
                at=Where.RELEASE,
                place=self._place,
            )
            release = release_of(tx, self._credentials, current, leaving, identifier=receipt, ended=now)
            record_release(tx, self._credentials, release)
            tx.save_query(record)

        await self._store.transact(work)
        return QueryAnswer(content, receipt)

    def _leaving(
        self,
        admission: _Admission,
        statement: str,
        purpose: str | None,
        partials: pa.Table,
        content: bytes,
    ) -> Leaving:
        raw = raw_rows(partials, admission.access.published.dataset.columns)
        output = ReleasedOutput(
            name="partials.arrow",
            kind="aggregate",
            media_type=ARROW_STREAM,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            checks=_checks(admission.restrictions),
        )
        return Leaving(
            kind="query",
            action=QUERY_ACTION,
            rule=admission.permission.identifier,
            purpose=purpose,
            request_digest=hashlib.sha256(statement.encode()).hexdigest(),
            restrictions=as_data(admission.restrictions),
            started=admission.started,
            uses=admission.uses,
            tier=self._tier,
            outputs=(output,),
            raw_rows=raw,
            raw_bytes=len(content) if raw else 0,
            suppressed=_suppressed(partials),
        )

    async def _note_refusal(
        self, access: Access, statement: str, purpose: str | None, reason: LanguageMap
    ) -> None:
        record = self._refusal(access, statement, purpose, reason)
        await self._store.transact(lambda tx: tx.save_query(record))

    async def _give_back(
        self, admission: _Admission, statement: str, purpose: str | None, failure: Exception
    ) -> None:
        """A use that failed on our side costs the consumer nothing."""
        reason = {"de": "Die Abfrage konnte nicht berechnet werden.", "en": str(failure) or "It failed."}
        record = self._refusal(admission.access, statement, purpose, reason)

        def work(tx: Transaction) -> None:
            tx.refund(admission.access.agreement.identifier, admission.permission.identifier)
            tx.save_query(record)

        await self._store.transact(work)

    def _refusal(
        self, access: Access, statement: str, purpose: str | None, reason: LanguageMap
    ) -> QueryRecord:
        return QueryRecord(
            identifier=self._identifiers.new(),
            role=Party.PROVIDER,
            peer=access.agreement.consumer,
            dataset=access.agreement.dataset,
            agreement_id=access.agreement.identifier,
            statement=statement,
            purpose=purpose or access.purpose,
            refusal=dict(reason),
            groups_out=0,
            bytes_out=0,
            suppressed_groups=0,
            created=self._clock.now(),
        )


def _answered_statements(tx: Transaction, agreement: str) -> dict[str, str]:
    """The statements that were answered under an agreement, by their receipts, oldest first."""
    return {
        record.identifier: record.statement
        for record in tx.queries()
        if record.agreement_id == agreement and record.role is Party.PROVIDER and record.refusal is None
    }


def raw_rows(partials: pa.Table, columns: Sequence[Column]) -> int:
    """Count rows in a result that are raw data: released groups of a single row, or rows that name a unit.

    It is zero for every result of the gate; it is counted all the same, because
    a figure in a receipt is measured and not asserted.
    """
    units = {column.name for column in columns if column.role is ColumnRole.UNIT}
    if units & set(partials.column_names):
        return int(partials.num_rows)
    return sum(rows is not None and rows <= 1 for rows in partials.column(ROWS).to_pylist())


def _suppressed(partials: pa.Table) -> int:
    return partials.column(STATUS).to_pylist().count(GroupStatus.SUPPRESSED.value)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _checks(restrictions: QueryRestrictions) -> tuple[str, ...]:
    return ("aggregates only", *(limit["en"] for limit in limits_in_words(restrictions)), _OVERLAP_CHECK)
