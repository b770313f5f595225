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
    ConsentRegisters,
    Credentials,
    Identifiers,
    Noise,
    Projections,
    PublishedDataset,
    QueryEngine,
    QueryRecord,
    Store,
    Transaction,
)
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferFormat
from connector.queries.decompose import site_statement, withhold
from connector.queries.errors import DataUnreadableError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.history import Answered
from connector.queries.noisy import NoisyQuestion, noisy_partials, noisy_question
from connector.queries.partials import ROWS, STATUS, GroupStatus
from connector.queries.permitted import (
    masked_columns,
    permitted_columns,
    projected_columns,
    redaction_under,
)
from connector.queries.plan import QueryPlan
from connector.services.accessing import (
    Access,
    UseRefusedError,
    agreement_behind,
    close_use,
    give_back,
    open_access,
    open_use,
    permitted,
)
from connector.services.auditing import QueryHistories, View, examine
from connector.services.consenting import consent_filters
from connector.services.deciding import Decided, Deciding, TooManyRefusalsError, refused_under
from connector.services.noising import EpsilonSpentError, Inquiry, Noised, Noising
from connector.services.receipting import Leaving, release_of
from connector.services.releasing import record_release
from policies.circumstances import NOTHING_STATED, Circumstances
from policies.evaluation import Where
from policies.model import LanguageMap, Permission
from policies.restrictions import QueryRestrictions, as_data, limits_in_words, query_restrictions
from policies.row_filters import RowFilterError
from schemas.vocabulary import POLICY

QUERY_ACTION = POLICY + "query"
ARROW_STREAM = "application/vnd.apache.arrow.stream"
_ENGINE_SECONDS = 30.0
_OVERLAP_CHECK = "nothing about fewer together with earlier answers"
_NOISE_CHECK = "the same answer whenever the same question is asked"


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """What leaves: partial aggregates, and the name of their receipt."""

    content: bytes
    receipt: str


@dataclass(frozen=True, slots=True)
class _Admission:
    """A query on its way through the provider; its counted use and its receipt have the same name."""

    receipt: str
    access: Access
    permission: Permission
    plan: QueryPlan
    restrictions: QueryRestrictions
    uses: tuple[int, int]
    started: datetime
    purpose: str | None
    question: NoisyQuestion | None = None


class AnsweringQueries:
    """The provider's half: answers a query that an agreement permits, and nothing else.

    Args:
        store: Where agreements, uses and the ledger are kept.
        clock: Tells the time.
        identifiers: Names receipts.
        credentials: Who signs receipts.
        projections: Cuts data down to what is permitted.
        consents: Reads registers of consents.
        engine: Runs our statements in a sandbox.
        tier: Sandbox measures in force, for the receipt.
        deciding: Writes decisions into the ledger.
        circumstances: What we state about ourselves, the calendar and our partners.
        noise: Draws noise; None where the extra `dp` is not installed.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        projections: Projections,
        consents: ConsentRegisters,
        engine: QueryEngine,
        tier: str,
        deciding: Deciding,
        circumstances: Circumstances = NOTHING_STATED,
        noise: Noise | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._credentials = credentials
        self._projections = projections
        self._consents = consents
        self._engine = engine
        self._tier = tier
        self._deciding = deciding
        self._circumstances = circumstances
        self._histories = QueryHistories(engine)
        self._noising = Noising(store=store, clock=clock, identifiers=identifiers, engine=engine, noise=noise)

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
            TooManyRefusalsError: It is refused, like too many before it.
        """
        try:
            access = await self._store.transact(lambda tx: open_access(tx, token, TransferFormat.QUERY))
        except UseRefusedError as refusal:
            await self._turn_away(token, statement, purpose, refusal.reason)
            raise
        try:
            admission = await self._admit(access, token, statement, purpose)
        except (UseRefusedError, QueryRefusedError) as refusal:
            await self._note_refusal(access, statement, purpose, refusal.reason)
            raise
        agreement = access.agreement.identifier
        try:
            async with self._histories.turn(agreement):
                if admission.question is not None:
                    return await self._answer_with_noise(
                        admission, admission.question, token, statement, purpose
                    )
                partials, told = await self._compute(admission)
                answer = await self._release(admission, token, statement, purpose, partials)
                self._histories.remember(agreement, answer.receipt, told)
                return answer
        except EpsilonSpentError as refusal:
            # Nothing was read.
            await self._return_use(admission)
            await self._note_refusal(access, statement, purpose, refusal.reason)
            raise
        except QueryRefusedError as refusal:
            # It took the data to find this out, and it tells something about them: the use stays spent.
            await self._note_refusal(access, statement, purpose, refusal.reason, spent=admission)
            raise
        except Exception as failure:
            await self._give_back(admission, statement, purpose, failure)
            if isinstance(failure, DataUnreadableError):
                # Its own sentence names files and values: it is for our steward, not for the consumer.
                raise DataUnreadableError.for_counterparties() from failure
            raise

    async def _admit(self, access: Access, token: str, statement: str, purpose: str | None) -> _Admission:
        now = self._clock.now()
        permission = permitted(
            access, action=QUERY_ACTION, purpose=purpose, now=now, circumstances=self._circumstances
        )
        restrictions = query_restrictions(permission)
        dataset = access.published.dataset
        plan = plan_query(
            statement, table=dataset.table, columns=permitted_columns(dataset.columns, restrictions)
        )
        # Asked and written here to refuse before a use is counted; written again where it is run.
        question = _question(plan, restrictions, access.published)
        if question is None:
            site_statement(plan, restrictions, masked_columns(dataset.columns, restrictions))

        receipt = self._identifiers.new()

        def count(tx: Transaction) -> tuple[int, int]:
            current = open_access(tx, token, TransferFormat.QUERY)
            return open_use(tx, current, permission, receipt, now)

        uses = await self._store.transact(count)
        return _Admission(
            receipt, access, permission, plan, restrictions, uses, now, purpose or access.purpose, question
        )

    async def _compute(self, admission: _Admission) -> tuple[pa.Table, Answered]:
        """Compute what may leave, and note what it tells."""
        agreement, restrictions = admission.access.agreement.identifier, admission.restrictions
        view = await self._view(admission)
        records = await self._store.transact(lambda tx: _answered_statements(tx, agreement))
        history = await self._histories.of(agreement, records, view)
        partials, told = await examine(self._engine, view, admission.plan, history, _ENGINE_SECONDS)
        return withhold(admission.plan, restrictions, partials), told

    async def _answer_with_noise(
        self,
        admission: _Admission,
        question: NoisyQuestion,
        token: str,
        statement: str,
        purpose: str | None,
    ) -> QueryAnswer:
        view = await self._view(admission)
        inquiry = _inquiry(admission, question, view)
        noised = await self._noising.answer(inquiry, view, _ENGINE_SECONDS)
        partials = noisy_partials(admission.plan, question, noised.answer.figures)
        return await self._release(admission, token, statement, purpose, partials, noised)

    async def _view(self, admission: _Admission) -> View:
        published, restrictions = admission.access.published, admission.restrictions
        dataset = published.dataset
        agreement = admission.access.agreement.identifier
        consented = await consent_filters(
            self._consents, published.consents, restrictions.consents, admission.purpose, self._clock.now()
        )
        try:
            redaction = redaction_under(restrictions, published.row_filters, agreement, consented)
        except RowFilterError as problem:
            raise DataUnreadableError(str(problem), problem.reason["de"]) from problem
        names = projected_columns(dataset.columns, restrictions)
        projection = await self._projections.materialise(
            published.source, names, dataset.digest, redaction, numbered=True
        )
        columns = masked_columns(dataset.columns, restrictions)
        return View(dataset.table, columns, restrictions, projection)

    async def _release(
        self,
        admission: _Admission,
        token: str,
        statement: str,
        purpose: str | None,
        partials: pa.Table,
        noised: Noised | None = None,
    ) -> QueryAnswer:
        content = _stream(partials)
        leaving = self._leaving(admission, statement, purpose, partials, content, noised)
        receipt, now = admission.receipt, self._clock.now()
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
                circumstances=self._circumstances,
            )
            close_use(tx, receipt)
            if noised is not None:
                tx.save_noisy_answer(noised.answer)
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
        noised: Noised | None,
    ) -> Leaving:
        # A noisy count of one is no row.
        raw = 0 if noised else raw_rows(partials, admission.access.published.dataset.columns)
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
            epsilon=None if noised is None else noised.account.as_data(),
        )

    async def _turn_away(self, token: str, statement: str, purpose: str | None, reason: LanguageMap) -> None:
        """Note a refusal by an agreement that opens nothing."""

        def work(tx: Transaction) -> None:
            agreement = agreement_behind(tx, token)
            if agreement is not None:
                self._deciding.tell(tx, _refused(agreement, statement, purpose, reason))

        await self._store.transact(work)

    async def _note_refusal(
        self,
        access: Access,
        statement: str,
        purpose: str | None,
        reason: LanguageMap,
        spent: _Admission | None = None,
    ) -> None:
        record = self._refusal(access, statement, purpose, reason)
        refused = _refused(access.agreement, statement, record.purpose, reason)

        def work(tx: Transaction) -> None:
            self._deciding.tell(tx, refused)
            if spent is not None:
                close_use(tx, spent.receipt)
            tx.save_query(record)

        try:
            await self._store.transact(work)
        except TooManyRefusalsError:
            if spent is not None:
                await self._store.transact(lambda tx: close_use(tx, spent.receipt))
            raise

    async def _return_use(self, admission: _Admission) -> None:
        agreement, rule = admission.access.agreement.identifier, admission.permission.identifier
        await self._store.transact(
            lambda tx: give_back(tx, agreement, rule, admission.receipt, admission.started)
        )

    async def _give_back(
        self, admission: _Admission, statement: str, purpose: str | None, failure: Exception
    ) -> None:
        """A use that failed on our side costs the consumer nothing."""
        reason = {"de": "Die Abfrage konnte nicht berechnet werden.", "en": str(failure) or "It failed."}
        record = self._refusal(admission.access, statement, purpose, reason)

        def work(tx: Transaction) -> None:
            agreement = admission.access.agreement.identifier
            rule = admission.permission.identifier
            give_back(tx, agreement, rule, admission.receipt, admission.started)
            if isinstance(failure, UseRefusedError):
                # It was permitted when it was asked, and is not any more.
                refused = _refused(admission.access.agreement, statement, record.purpose, failure.reason)
                self._deciding.write(tx, refused, account=agreement)
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


def _refused(
    agreement: ContractAgreement, statement: str, purpose: str | None, reason: LanguageMap
) -> Decided:
    return refused_under(
        agreement,
        reason,
        action=QUERY_ACTION,
        purpose=purpose,
        request_digest=hashlib.sha256(statement.encode()).hexdigest(),
    )


def _question(
    plan: QueryPlan, restrictions: QueryRestrictions, published: PublishedDataset
) -> NoisyQuestion | None:
    """What is asked with noise; None where the agreement asks for none."""
    if restrictions.noise is None:
        return None
    return noisy_question(plan, restrictions, published.privacy, published.dataset.columns)


def _inquiry(admission: _Admission, question: NoisyQuestion, view: View) -> Inquiry:
    terms, privacy = admission.restrictions.noise, admission.access.published.privacy
    assert terms is not None  # noqa: S101 - there is no question without
    assert privacy is not None  # noqa: S101 - likewise
    # The projection's name stands for the data, and for all that was done to them.
    data = {"projection": view.projection.name}
    return Inquiry(question, admission.access.agreement, terms, privacy.epsilon_total, data)


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
    last = _OVERLAP_CHECK if restrictions.noise is None else _NOISE_CHECK
    return ("aggregates only", *(limit["en"] for limit in limits_in_words(restrictions)), last)
