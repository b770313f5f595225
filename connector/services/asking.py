"""Asking: the consumer's half of a federated query: one statement, many providers, each under its contract.

Source:
    docs/adr/0007-federated-queries.md
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote

import pyarrow as pa
import pyarrow.ipc

from connector.evidence.errors import EvidenceError
from connector.ports import (
    Clock,
    EvidenceExistsError,
    Identifiers,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    QueryRecord,
    RemoteDataset,
    Store,
    Transaction,
)
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferFormat
from connector.queries.errors import QueryError, QueryRefusedError
from connector.queries.gate import plan_query
from connector.queries.merge import merge_partials
from connector.queries.partials import STATUS, GroupStatus
from connector.queries.plan import QueryPlan
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.opening import OpenedEndpoint, Opening
from connector.services.receipting import RECEIPT_HEADER, Receipting, require_receipt
from policies.left_operands import FEDERATED_MIN_PARTICIPANTS
from policies.odrl import parse_policy
from policies.restrictions import values_in

_SECONDS = 60
_MOST_RESULT_BYTES = 64_000_000
_MOST_RECEIPT_BYTES = 1_000_000
_OK = 200


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """What one provider made of a federated query.

    Attributes:
        provider: The provider's DID.
        name: What the provider calls itself.
        agreement_id: IRI of the agreement that was used.
        status: `released`, `refused` or `unreachable`.
        reason: Why not, where it was not released.
        groups: Groups that it released.
        suppressed: Groups that it withheld.
        result_bytes: Bytes that it sent.
        receipt: IRI of its receipt.
    """

    provider: str
    name: str
    agreement_id: str
    status: str
    reason: str | None
    groups: int
    suppressed: int
    result_bytes: int
    receipt: str | None


@dataclass(frozen=True, slots=True)
class FederatedResult:
    """The merged answer, and what each site contributed."""

    table: pa.Table
    sites: tuple[SiteAnswer, ...]


@dataclass(frozen=True, slots=True)
class _Site:
    agreement: ContractAgreement
    dataset: RemoteDataset


class AskingQueries:
    """Sends one statement to every provider of a table, and merges the partial aggregates.

    Args:
        store: Where agreements and remote datasets are kept.
        clock: Tells the time.
        identifiers: Names queries.
        peers: Talks to providers.
        opening: Opens their data planes.
        receipting: Countersigns receipts.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        peers: Peers,
        opening: Opening,
        receipting: Receipting,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._peers = peers
        self._opening = opening
        self._receipting = receipting

    async def ask(
        self, statement: str, purpose: str | None = None, agreements: Sequence[str] | None = None
    ) -> FederatedResult:
        """Ask all providers with whom we have an agreement on the statement's table.

        Args:
            statement: One SELECT with aggregates over one table.
            purpose: What for; None for the purposes declared in the negotiations.
            agreements: Restricts the query to these agreements; None for all.

        Returns:
            The merged result. A site that gives nothing is listed with the
            reason; it is never dropped silently.

        Raises:
            QueryRefusedError: The statement asks for more than aggregates.
            QueryError: The sites' answers do not fit together.
            RequestRefusedError: There is no agreement on the table.
        """
        sites = await self._store.transact(lambda tx: _sites(tx, agreements))
        plan, chosen = _plan(statement, sites)
        answers = await asyncio.gather(*(self._ask_site(site, plan, statement, purpose) for site in chosen))
        answers = enough_together(
            list(zip(answers, (_fewest(site.agreement) for site in chosen), strict=True))
        )
        partials = {answer.agreement_id: table for answer, table in answers if table is not None}
        merged = merge_partials(plan, partials) if partials else pa.table({})
        return FederatedResult(merged, tuple(answer for answer, _ in answers))

    async def _ask_site(
        self, site: _Site, plan: QueryPlan, statement: str, purpose: str | None
    ) -> tuple[SiteAnswer, pa.Table | None]:
        table: pa.Table | None = None
        try:
            found, size, receipt = await self._fetch(site, statement, purpose)
            # Read alone first: an answer that is not what was asked for costs its own site, not the others.
            merge_partials(plan, {site.agreement.provider: found})
            table, answer = found, _released(site, found, size, receipt)
        except PeerUnreachableError as failure:
            answer = _none(site, "unreachable", str(failure))
        except (
            RequestRefusedError,
            UnknownExchangeError,
            PeerRefusedError,
            EvidenceError,
            EvidenceExistsError,
            QueryError,
        ) as refusal:
            answer = _none(site, "refused", str(refusal))
        await self._note(site, statement, purpose, answer)
        return answer, table

    async def _fetch(self, site: _Site, statement: str, purpose: str | None) -> tuple[pa.Table, int, str]:
        endpoint = await self._opening.endpoint(site.agreement.identifier, TransferFormat.QUERY)
        body = {"statement": statement, **({"purpose": purpose} if purpose else {})}
        answer = await self._peers.send(
            "POST",
            f"{endpoint.url}/queries",
            token=endpoint.token,
            body=json.dumps(body).encode(),
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=_MOST_RESULT_BYTES,
        )
        if answer.status != _OK:
            raise RequestRefusedError(reason_in(answer))
        receipt = await self._receipt(site, endpoint, answer)
        return _table(answer.body), len(answer.body), receipt

    async def _receipt(self, site: _Site, endpoint: OpenedEndpoint, answer: PeerAnswer) -> str:
        """Fetch and check the receipt: a result without a valid one is not used."""
        identifier = answer.headers.get(RECEIPT_HEADER, "")
        found = await self._peers.send(
            "GET",
            f"{endpoint.url}/receipts/{quote(identifier, safe=':')}",
            token=endpoint.token,
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=_MOST_RECEIPT_BYTES,
        )
        if found.status != _OK:
            raise RequestRefusedError(f"The provider gave a result, but no receipt: {reason_in(found)}.")
        require_receipt(found.body, identifier, site.agreement, {"partials.arrow": answer.body})
        await self._store.transact(
            lambda tx: self._receipting.keep(tx, identifier, found.body, endpoint.transfer_pid)
        )
        return identifier

    async def _note(self, site: _Site, statement: str, purpose: str | None, answer: SiteAnswer) -> None:
        refused = answer.status != "released"
        record = QueryRecord(
            identifier=answer.receipt or self._identifiers.new(),
            role=Party.CONSUMER,
            peer=site.agreement.provider,
            dataset=site.agreement.dataset,
            agreement_id=site.agreement.identifier,
            statement=statement,
            purpose=purpose,
            refusal={"de": answer.reason or "", "en": answer.reason or ""} if refused else None,
            groups_out=answer.groups,
            bytes_out=answer.result_bytes,
            suppressed_groups=answer.suppressed,
            created=self._clock.now(),
        )
        await self._store.transact(lambda tx: tx.save_query(record))


Answered = tuple[SiteAnswer, pa.Table | None]


def enough_together(answers: Sequence[tuple[Answered, int]]) -> list[Answered]:
    """Set aside the answers of providers who asked for more company than they got.

    Whoever is set aside is missing for the others, too, so this is repeated
    until all who are left have enough.

    Args:
        answers: What each site answered, with how many providers its agreement
            wants to see in an answer, itself included.

    Returns:
        The same answers in the same order; one that is set aside has no table
        and says why.
    """
    left = {place for place, ((_, table), _) in enumerate(answers) if table is not None}
    while True:
        together = len({answers[place][0][0].provider for place in left})
        lonely = {place for place in left if answers[place][1] > together}
        if not lonely:
            break
        left -= lonely
    return [
        answered if place in left or answered[1] is None else (_alone(answered[0], fewest), None)
        for place, (answered, fewest) in enumerate(answers)
    ]


def _alone(answer: SiteAnswer, fewest: int) -> SiteAnswer:
    reason = f"The agreement asks for results of at least {fewest} providers together; too few have answered."
    return replace(answer, status="refused", reason=reason)


def _fewest(agreement: ContractAgreement) -> int:
    """How many providers an agreement wants to see in an answer; one where it does not say."""
    permissions = parse_policy(agreement.document).permissions
    stated = {value for rule in permissions for value in values_in(rule, FEDERATED_MIN_PARTICIPANTS)}
    return max(map(int, stated), default=1)


def _sites(tx: Transaction, agreements: Sequence[str] | None) -> list[_Site]:
    sites = []
    for agreement in tx.agreements():
        negotiation = tx.negotiation(agreement.negotiation)
        dataset = tx.remote_dataset(agreement.dataset)
        wanted = agreements is None or agreement.identifier in agreements
        in_force = negotiation is not None and negotiation.is_in_force and agreement.retirement is None
        if wanted and in_force and agreement.role is Party.CONSUMER and dataset and dataset.view.table:
            sites.append(_Site(agreement, dataset))
    return sites


def _plan(statement: str, sites: Sequence[_Site]) -> tuple[QueryPlan, list[_Site]]:
    """Plan a statement for the one table that it names, and find who provides that table.

    Where several agreements cover the same dataset, the latest is used: a
    dataset must not be counted twice.
    """
    if not sites:
        raise RequestRefusedError("There is no agreement in force on any table; negotiate one first.")
    refusal: QueryRefusedError | None = None
    for table in dict.fromkeys(site.dataset.view.table or "" for site in sites):
        members = [site for site in sites if site.dataset.view.table == table]
        try:
            plan = plan_query(statement, table=table, columns=members[0].dataset.view.columns)
        except QueryRefusedError as found:
            refusal = refusal if refusal and found.code == "unknown-table" else found
        else:
            return plan, list({site.agreement.dataset: site for site in members}.values())
    raise refusal or RequestRefusedError("There is no agreement in force on this table.")


def _table(content: bytes) -> pa.Table:
    try:
        with pa.ipc.open_stream(content) as reader:
            table = reader.read_all()
        # Offsets that lead outside the message would be followed when values are read.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as problem:
        raise RequestRefusedError("The provider's answer is no Arrow stream.") from problem
    return table


def _none(site: _Site, status: str, reason: str) -> SiteAnswer:
    return SiteAnswer(
        provider=site.agreement.provider,
        name=site.dataset.provider_name,
        agreement_id=site.agreement.identifier,
        status=status,
        reason=reason,
        groups=0,
        suppressed=0,
        result_bytes=0,
        receipt=None,
    )


def _released(site: _Site, table: pa.Table, size: int, receipt: str) -> SiteAnswer:
    withheld = [status for status in table.column(STATUS).to_pylist() if status != GroupStatus.RELEASED]
    return SiteAnswer(
        provider=site.agreement.provider,
        name=site.dataset.provider_name,
        agreement_id=site.agreement.identifier,
        status="released",
        reason=None,
        groups=table.num_rows - len(withheld),
        suppressed=len(withheld),
        result_bytes=size,
        receipt=receipt,
    )
