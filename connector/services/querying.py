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
from connector.evidence.documents import digest
from connector.evidence.receipts import Release, ReleasedOutput
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
from connector.queries.partials import ROWS, STATUS, GroupStatus
from connector.queries.plan import QueryPlan
from connector.services.accessing import Access, UseRefusedError, open_access, permitted, reserve
from connector.services.releasing import record_release
from policies.evaluation import Where
from policies.model import LanguageMap, Permission
from policies.restrictions import QueryRestrictions, as_data, query_restrictions
from schemas.vocabulary import POLICY

QUERY_ACTION = POLICY + "query"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
_ENGINE_SECONDS = 30.0
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
    statement: str
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
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._projections = projections
        self._engine = engine
        self._tier = tier

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
        try:
            partials = await self._compute(admission)
            return await self._release(admission, token, statement, purpose, partials)
        except Exception as failure:
            await self._give_back(admission, statement, purpose, failure)
            if isinstance(failure, DataUnreadableError):
                # Its own sentence names files and values: it is for our steward, not for the consumer.
                raise DataUnreadableError(_UNREADABLE) from failure
            raise

    async def _admit(self, access: Access, token: str, statement: str, purpose: str | None) -> _Admission:
        now = self._clock.now()
        permission = permitted(access, action=QUERY_ACTION, purpose=purpose, now=now)
        restrictions = query_restrictions(permission)
        dataset = access.published.dataset
        plan = plan_query(statement, table=dataset.table, columns=dataset.columns)
        ours = site_statement(plan, restrictions, dataset.columns)

        def count(tx: Transaction) -> tuple[int, int]:
            current = open_access(tx, token, TransferFormat.QUERY)
            return reserve(tx, current, permission)

        uses = await self._store.transact(count)
        return _Admission(access, permission, plan, restrictions, ours, uses, now)

    async def _compute(self, admission: _Admission) -> pa.Table:
        published = admission.access.published
        dataset = published.dataset
        columns = projected_columns(dataset.columns, admission.restrictions)
        projection = await self._projections.materialise(published.source, columns, dataset.digest)
        partials = await self._engine.run(
            admission.statement, table=dataset.table, projection=projection, timeout_seconds=_ENGINE_SECONDS
        )
        return withhold(admission.plan, admission.restrictions, partials)

    async def _release(
        self, admission: _Admission, token: str, statement: str, purpose: str | None, partials: pa.Table
    ) -> QueryAnswer:
        content = _stream(partials)
        release = self._statement_of_release(admission, statement, purpose, partials, content)
        record = QueryRecord(
            identifier=release.identifier,
            role=Party.PROVIDER,
            peer=release.recipient,
            dataset=release.dataset_id,
            agreement_id=release.agreement_id,
            statement=statement,
            purpose=release.purpose,
            refusal=None,
            groups_out=partials.num_rows - release.suppressed_groups,
            bytes_out=len(content),
            suppressed_groups=release.suppressed_groups,
            created=admission.started,
        )

        def work(tx: Transaction) -> None:
            # Asked again: the agreement or the access may have ended while the engine was busy.
            current = open_access(tx, token, TransferFormat.QUERY)
            permitted(current, action=QUERY_ACTION, purpose=purpose, now=release.ended, at=Where.RELEASE)
            record_release(tx, self._credentials, release)
            tx.save_query(record)

        await self._store.transact(work)
        return QueryAnswer(content, release.identifier)

    def _statement_of_release(
        self,
        admission: _Admission,
        statement: str,
        purpose: str | None,
        partials: pa.Table,
        content: bytes,
    ) -> Release:
        access = admission.access
        own = self._credentials.document
        before, after = admission.uses
        raw = raw_rows(partials, access.published.dataset.columns)
        output = ReleasedOutput(
            name="partials.arrow",
            kind="aggregate",
            media_type=ARROW_STREAM,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            checks=_checks(admission.restrictions),
        )
        return Release(
            identifier=self._identifiers.new(),
            issuer=self._credentials.did,
            verification_method=self._credentials.verification_method,
            did_document_digest=own.digest,
            recipient=access.agreement.consumer,
            agreement_id=access.agreement.identifier,
            agreement_digest=digest(access.agreement.document),
            dataset_id=access.agreement.dataset,
            dataset_digest=access.published.dataset.digest,
            kind="query",
            purpose=purpose or access.purpose or "",
            request_digest=hashlib.sha256(statement.encode()).hexdigest(),
            rules_applied={"rule": admission.permission.identifier, **as_data(admission.restrictions)},
            started=admission.started,
            ended=self._clock.now(),
            uses_before=before,
            uses_after=after,
            sandbox_tier=self._tier,
            outputs=(output,),
            raw_rows_out=raw,
            raw_bytes_out=len(content) if raw else 0,
            suppressed_groups=_suppressed(partials),
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


def projected_columns(columns: Sequence[Column], restrictions: QueryRestrictions) -> tuple[str, ...]:
    """The columns that exist for a query: the permitted ones, and the group unit, which is only counted."""
    if restrictions.columns is None:
        return tuple(column.name for column in columns)
    kept = {*restrictions.columns, restrictions.group_unit}
    return tuple(column.name for column in columns if column.name in kept)


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
    units = f"at least {restrictions.minimum_units} different {restrictions.group_unit}"
    return (
        "aggregates only",
        *([units] if restrictions.group_unit else []),
        f"at least {restrictions.minimum_rows} rows per group",
        f"at most {restrictions.maximum_result_rows} groups",
    )
