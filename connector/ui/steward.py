"""What the steward's pages show and decide, taken from the participant's store."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from catalog.model import page_key
from connector.evidence.decisions import REFUSAL
from connector.evidence.proofs import proofs_of
from connector.ports import Clock, LedgerEntry, QueryRecord, Store, Transaction
from connector.protocol.computation import Computation, ComputationState, Output
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation, NegotiationState
from connector.services.computing import Computing
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.negotiating import Negotiating
from connector.services.presenting import Presenting
from connector.services.receipting import RECEIPT_KINDS, kept_receipt
from connector.services.retiring import Retiring
from connector.services.vetting import Vetting
from connector.services.witnessing import Witnessing
from connector.ui.checks import check_sentence
from connector.ui.partners import partners_view
from connector.ui.reading import (
    AgreementLine,
    CheckLine,
    ComputationLine,
    DecisionNotPossibleError,
    DownloadedFile,
    LedgerLine,
    LedgerView,
    MetricLine,
    NegotiationLine,
    OfferLine,
    OutputLine,
    ParticipantView,
    PartnersView,
    Peer,
    QueryLine,
    Question,
    Side,
    TermGroup,
    TreeHead,
)
from connector.ui.terms import term_groups
from policies import purposes
from policies.circumstances import Circumstances
from policies.errors import PolicyRefusedError
from policies.model import Constraint, LanguageMap, Policy
from policies.odrl import parse_policy
from policies.outputs import METRICS
from policies.wording import output_kind_name, sentence
from schemas.strict_json import JsonObject, MalformedJsonError, loads
from schemas.vocabulary import ODRL

_APPROVAL_BY_HAND = "manual"
_MOST_METRICS_BYTES = 64 << 10
_HELD: dict[Question, tuple[str, str]] = {
    Question.REQUEST: (
        "Für dieses Angebot entscheidet eine Person über jede Anfrage.",
        "For this offer a person decides on every request.",
    ),
    Question.OFFER: (
        "Der Anbieter hat ein anderes Angebot gemacht, als Sie angefragt haben.",
        "The provider has made another offer than you asked for.",
    ),
    Question.DELIVERY: (
        "Der Connector des Partners hat unsere Nachricht abgelehnt: „{words}“",
        "The connector of the partner has refused our message: “{words}”",
    ),
}
_OUTPUTS_HELD: LanguageMap = {
    "de": "Der Vertrag verlangt, dass eine Person die Ergebnisse freigibt.",
    "en": "The agreement asks for a person to release the outputs.",
}


class StoreSteward:
    """Reads the store for the pages, and passes decisions to the use cases.

    Args:
        store: Where everything is kept.
        clock: Tells the time.
        negotiating: Takes decisions on negotiations.
        computing: Takes decisions on computations.
        retiring: Ends agreements.
        participant: Who we are.
        circumstances: What is known about partners.
        vetting: Knows the credentials that they have shown.
        presenting: Keeps the credentials about us.
        witnessing: Watches partners' ledgers.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        negotiating: Negotiating,
        computing: Computing,
        retiring: Retiring,
        participant: ParticipantView,
        circumstances: Circumstances,
        vetting: Vetting,
        presenting: Presenting,
        witnessing: Witnessing,
    ) -> None:
        self._store = store
        self._clock = clock
        self._negotiating = negotiating
        self._computing = computing
        self._retiring = retiring
        self._participant = participant
        self._circumstances = circumstances
        self._vetting = vetting
        self._presenting = presenting
        self._witnessing = witnessing

    async def participant(self) -> ParticipantView:
        """Who we are."""
        return self._participant

    async def offers(self) -> tuple[OfferLine, ...]:
        """Every dataset offered, withdrawn ones too."""
        records = await self._store.transact(lambda tx: tx.datasets())
        return tuple(
            OfferLine(
                id=record.dataset.identifier,
                title=record.dataset.title,
                table=record.dataset.table,
                rows=record.dataset.rows,
                published=record.dataset.publishing,
                modified=record.dataset.modified,
                page=f"{self._participant.public_url}/datasets/{page_key(record.dataset.identifier)}",
                by_hand=record.approval == _APPROVAL_BY_HAND,
                accepts_unsigned=record.accepts_unsigned,
                terms=term_groups(record.dataset.offer.policy),
            )
            for record in reversed(records)
        )

    async def negotiations(self) -> tuple[NegotiationLine, ...]:
        """Every negotiation, on both sides."""
        return await self._store.transact(
            lambda tx: tuple(_negotiation(tx, record) for record in reversed(tx.negotiations()))
        )

    async def agreements(self) -> tuple[AgreementLine, ...]:
        """Every agreement, on both sides."""
        now = self._clock.now()
        return await self._store.transact(
            lambda tx: tuple(_agreement(tx, record, now) for record in reversed(tx.agreements()))
        )

    async def evidence(self, agreement: str) -> DownloadedFile | None:
        """The signed document of an agreement; None where there is no such agreement."""
        return await self._document("agreement", agreement)

    async def receipt(self, identifier: str) -> DownloadedFile | None:
        """The signed receipt of a release; None where there is no such receipt."""
        return await self._document("receipt", identifier)

    async def _document(self, kind: str, identifier: str) -> DownloadedFile | None:
        content = await self._store.transact(lambda tx: kept_receipt(tx, identifier))
        name = f"{kind}-{identifier.rsplit(':', 1)[-1][:8]}.json"
        return None if content is None else DownloadedFile(name, content)

    async def output(self, computation: str, name: str) -> DownloadedFile | None:
        """A checked output of a computation; None where there is no such output."""
        content = await self._store.transact(lambda tx: _listed_output(tx, computation, name))
        return None if content is None else DownloadedFile(name, content)

    async def queries(self) -> tuple[QueryLine, ...]:
        """The latest queries, on both sides, refused ones too."""
        return await self._store.transact(
            lambda tx: tuple(_query(tx, record) for record in reversed(tx.queries()))
        )

    async def computations(self) -> tuple[ComputationLine, ...]:
        """Every computation, on both sides."""
        return await self._store.transact(
            lambda tx: tuple(_computation(tx, record) for record in reversed(tx.computations()))
        )

    async def partners(self) -> PartnersView:
        """Who the partners are, and what we show them ourselves."""
        return partners_view(
            circumstances=self._circumstances,
            presentations=self._vetting.presentations(),
            ledgers=await self._witnessing.partners(),
            held=await self._presenting.held(),
            catalogs=await self._store.transact(lambda tx: tx.remote_datasets()),
            now=self._clock.now(),
        )

    async def ledger(self) -> LedgerView:
        """What left the house, and the ledger's head."""
        return await self._store.transact(lambda tx: _ledger(tx, self._participant.did))

    async def accept_negotiation(self, negotiation: str) -> None:
        """Conclude a negotiation that waits for a person."""
        await _decided(lambda: self._negotiating.accept(negotiation))

    async def reject_negotiation(self, negotiation: str, reason: str) -> None:
        """Turn it down; the other side is told the reason."""
        await _decided(lambda: self._negotiating.reject(negotiation, reason))

    async def end_agreement(self, agreement: str, reason: str) -> None:
        """End an agreement before its time; the other side is told the reason."""
        await _decided(lambda: self._retiring.retire(agreement, reason))

    async def release_computation(self, computation: str) -> None:
        """Let the outputs of a computation go to the other side."""
        await _decided(lambda: self._computing.release(computation))

    async def refuse_computation(self, computation: str, reason: str) -> None:
        """Withhold them for good; the other side is told the reason."""
        await _decided(lambda: self._computing.refuse(computation, reason))


async def _decided(decision: Callable[[], Awaitable[None]]) -> None:
    try:
        await decision()
    except (RequestRefusedError, UnknownExchangeError) as refusal:
        raise DecisionNotPossibleError(
            {
                "de": "Hier ist nichts mehr zu entscheiden. Bitte laden Sie die Seite neu.",
                "en": "There is nothing left to decide here. Please load the page again.",
            }
        ) from refusal


def _side(role: Party) -> Side:
    return Side.PROVIDER if role is Party.PROVIDER else Side.CONSUMER


def _title(tx: Transaction, dataset: str) -> LanguageMap:
    own = tx.dataset(dataset)
    if own is not None:
        return own.dataset.title
    remote = tx.remote_dataset(dataset)
    return remote.view.title if remote is not None else {"de": dataset, "en": dataset}


def _peer(tx: Transaction, did: str) -> Peer:
    name = next((one.provider_name for one in tx.remote_datasets() if one.provider == did), None)
    return Peer(did, name)


def _policy(document: JsonObject) -> Policy | None:
    with suppress(PolicyRefusedError):
        return parse_policy(document)
    return None


def _terms(document: JsonObject) -> tuple[TermGroup, ...]:
    policy = _policy(document)
    return term_groups(policy) if policy else ()


def _purpose(purpose: str | None) -> LanguageMap | None:
    return None if purpose is None else purposes.label(purpose)


def _in_every_language(words: str | None) -> LanguageMap | None:
    """What a person or a partner has written: shown as it is, and marked as a quotation."""
    return None if words is None else {"de": words, "en": words}


def _question(tx: Transaction, record: ContractNegotiation) -> Question:
    """What a held negotiation waits for."""
    if record.approved:
        return Question.DELIVERY
    if record.role is Party.CONSUMER:
        return Question.OFFER if record.state is NegotiationState.OFFERED else Question.DELIVERY
    own = tx.dataset(record.dataset)
    by_hand = own is not None and own.approval == _APPROVAL_BY_HAND
    return Question.REQUEST if by_hand and record.state is NegotiationState.REQUESTED else Question.DELIVERY


def _held_reason(question: Question, held: str | None) -> LanguageMap | None:
    if held is None:
        return None
    return sentence(*_HELD[question], words=held.partition(": ")[2] or held)


def _negotiation(tx: Transaction, record: ContractNegotiation) -> NegotiationLine:
    question = _question(tx, record)
    return NegotiationLine(
        id=record.pid,
        role=_side(record.role),
        peer=_peer(tx, record.peer),
        dataset=record.dataset,
        dataset_title=_title(tx, record.dataset),
        state=record.state.value if record.state else NegotiationState.REQUESTED.value,
        held_reason=_held_reason(question, record.held),
        updated=record.updated,
        question=question,
        purpose=_purpose(record.purpose),
        reason=record.reason,
        terms=_terms(record.offer),
    )


def _agreement(tx: Transaction, record: ContractAgreement, now: datetime) -> AgreementLine:
    negotiation = tx.negotiation(record.negotiation)
    until = _until(record.document)
    in_force = negotiation is not None and negotiation.is_in_force
    proofs = proofs_of(record.statement) if record.statement else ()
    retirement = record.retirement
    return AgreementLine(
        id=record.identifier,
        role=_side(record.role),
        peer=_peer(tx, record.consumer if record.role is Party.PROVIDER else record.provider),
        dataset=record.dataset,
        dataset_title=_title(tx, record.dataset),
        concluded=record.agreed,
        until=until,
        signed_by=tuple(str(proof["verificationMethod"]).partition("#")[0] for proof in proofs),
        signed=record.signed,
        in_force=in_force and retirement is None and (until is None or now <= until),
        terms=_terms(record.document),
        ended=None if retirement is None else retirement.ended,
        reason=None if retirement is None else _in_every_language(retirement.reason),
    )


def _until(document: JsonObject) -> datetime | None:
    """The latest end that a permission states; None where one has no end."""
    policy = _policy(document)
    if policy is None or not policy.permissions:
        return None
    ends = [
        min(
            (
                datetime.fromisoformat(constraint.right_operand[0])
                for constraint in permission.constraints
                if isinstance(constraint, Constraint)
                and constraint.left_operand == ODRL + "dateTime"
                and constraint.operator.value in {"lt", "lteq"}
            ),
            default=None,
        )
        for permission in policy.permissions
    ]
    dated = [end for end in ends if end is not None]
    return max(dated) if len(dated) == len(ends) else None


def _query(tx: Transaction, record: QueryRecord) -> QueryLine:
    return QueryLine(
        id=record.identifier,
        role=_side(record.role),
        peer=_peer(tx, record.peer),
        dataset_title=_title(tx, record.dataset),
        statement=record.statement,
        at=record.created,
        refusal=record.refusal,
        rows_out=record.groups_out,
        bytes_out=record.bytes_out,
        suppressed_groups=record.suppressed_groups,
        receipt=record.identifier if record.refusal is None else None,
    )


def _computation(tx: Transaction, record: Computation) -> ComputationLine:
    return ComputationLine(
        id=record.identifier,
        role=_side(record.role),
        peer=_peer(tx, record.peer),
        dataset=record.dataset,
        dataset_title=_title(tx, record.dataset),
        algorithm=record.algorithm_digest,
        state=record.state.value,
        held_reason=_OUTPUTS_HELD if record.held and record.state is ComputationState.REVIEWED else None,
        updated=record.updated,
        outputs=tuple(_output(tx, record, output) for output in record.outputs),
        purpose=_purpose(record.purpose),
        reason=record.reason,
        receipt=record.receipt,
    )


def _output(tx: Transaction, record: Computation, output: Output) -> OutputLine:
    return OutputLine(
        name=output.name,
        kind=output_kind_name(output.kind),
        size=output.size,
        digest=output.sha256,
        checks=tuple(CheckLine(passed=True, sentence=check_sentence(check)) for check in output.checks),
        metrics=_metrics(tx.output(record.identifier, output.name)) if output.kind == METRICS else (),
    )


def _listed_output(tx: Transaction, computation: str, name: str) -> bytes | None:
    """The content of an output that the record lists: after a refusal it lists none."""
    record = tx.computation(computation)
    listed = record is not None and any(output.name == name for output in record.outputs)
    return tx.output(computation, name) if listed else None


def _metrics(content: bytes | None) -> tuple[MetricLine, ...]:
    """The numbers of an output, so that whoever releases it sees what leaves; none where it holds others."""
    with suppress(MalformedJsonError):
        metrics = loads(content or b"", max_bytes=_MOST_METRICS_BYTES, max_depth=2)
        return tuple(_numbers("", metrics)) if isinstance(metrics, dict) else ()
    return ()


def _numbers(prefix: str, metrics: JsonObject) -> Iterator[MetricLine]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _numbers(f"{prefix}{name}.", value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield MetricLine(prefix + name, value)


def _ledger(tx: Transaction, did: str) -> LedgerView:
    entries = tx.ledger()
    own = [record.dataset for record in tx.datasets()]
    lines = tuple(
        _ledger_line(
            dataset.identifier, dataset.title, [e for e in entries if e.dataset == dataset.identifier]
        )
        for dataset in own
    )
    return LedgerView(lines, _head(tx, did))


def _ledger_line(identifier: str, title: LanguageMap, entries: list[LedgerEntry]) -> LedgerLine:
    return LedgerLine(
        dataset=identifier,
        dataset_title=title,
        raw_rows_out=sum(entry.raw_rows_out for entry in entries),
        raw_bytes_out=sum(entry.raw_bytes_out for entry in entries),
        result_bytes_out=sum(entry.result_bytes_out for entry in entries),
        releases=sum(entry.kind in RECEIPT_KINDS for entry in entries),
        refusals=sum(entry.kind == REFUSAL for entry in entries),
    )


def _head(tx: Transaction, did: str) -> TreeHead | None:
    """The tree head after the last entry, as it was signed."""
    known = tx.latest_head(did)
    if known is None:
        return None
    signed = datetime.fromisoformat(str(known.head["timestamp"])).astimezone(UTC)
    return TreeHead(size=known.size, root=known.root, signed=signed)
