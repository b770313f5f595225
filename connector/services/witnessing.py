"""Witnessing: partners keep each other's tree heads, so that nobody can rewrite a ledger unseen.

A keeper who shortens or changes its ledger, or shows different ledgers to
different partners, cannot prove that it still begins as a head says that a
partner has kept. What contradicts is kept, with both signatures, as evidence.

Source:
    docs/evidence.md; RFC 9162, section 8.1 (monitors compare tree heads).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from connector.evidence.audit import require_head
from connector.evidence.documents import digest, file_bytes, mapping, read_file, text, texts, whole
from connector.evidence.errors import EvidenceError, LedgerError
from connector.evidence.ledger import (
    EMPTY_ROOT,
    consistency_path,
    inclusion_path,
    root,
    tree_head,
    verify_consistency,
)
from connector.ports import (
    Clock,
    Credentials,
    DocumentResolver,
    IdentityRefusedError,
    KnownHead,
    Participant,
    PeerAnswer,
    PeerRefusedError,
    Peers,
    PeerUnreachableError,
    Store,
    Transaction,
)
from connector.services.accessing import AccessDeniedError
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from policies.model import LanguageMap
from schemas.strict_json import JsonObject, MalformedJsonError, loads

HEAD_PATH: Final = "/ledger/head"
CONSISTENCY_PATH: Final = "/ledger/consistency"
INCLUSION_PATH: Final = "/ledger/inclusion"
_MOST_COMPARED: Final = 100
_MOST_BYTES: Final = 100_000
_SECONDS: Final = 30
_OK: Final = 200

log = logging.getLogger("allmende.witnessing")


@dataclass(frozen=True, slots=True)
class PartnerLedger:
    """What we know of a partner's ledger.

    Attributes:
        partner: The keeper's DID.
        size: Entries at the largest head that we keep; None where we keep none.
        seen: When we got that head.
        compared: When the keeper last proved that its ledger still begins like all heads that we keep.
        problem: Why its ledger cannot be trusted any more; None while it can.
    """

    partner: str
    size: int | None
    seen: datetime | None
    compared: datetime | None
    problem: LanguageMap | None


def note_head(tx: Transaction, receipt: bytes, now: datetime) -> None:
    """Keep the tree head that a receipt carries, once the receipt has been verified.

    Raises:
        EvidenceExistsError: The keeper has signed another ledger of the same size before.
    """
    head = mapping(mapping(read_file(receipt), "inclusion"), "treeHead")
    keeper, size, stated = text(head, "ledger"), whole(head, "treeSize"), text(head, "rootHash")
    known = next((one for one in tx.heads(keeper) if one.size == size), None)
    tx.save_head(KnownHead(keeper, size, stated, head, now) if known is None else replace(known, root=stated))


class Witnessing:
    """Shows our ledger's state to partners, and compares theirs with what they showed before.

    Args:
        store: Where ledger and tree heads are kept.
        clock: Tells the time.
        credentials: Who signs.
        peers: Talks to partners.
        resolver: Finds their keys.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        credentials: Credentials,
        peers: Peers,
        resolver: DocumentResolver,
    ) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials
        self._peers = peers
        self._resolver = resolver

    # what we show

    async def head(self) -> JsonObject:
        """Our latest signed tree head."""
        latest = await self._store.transact(lambda tx: tx.latest_head(self._credentials.did))
        if latest is not None:
            return dict(latest.head)
        now = self._clock.now()
        empty = tree_head(size=0, root=EMPTY_ROOT, ledger_id=self._credentials.did, created=now)
        return self._credentials.prove(empty, now)

    async def consistency(self, first: int, second: int) -> JsonObject:
        """The proof that our ledger of `second` entries begins with its first `first` ones.

        Raises:
            RequestRefusedError: The ledger never had these sizes.
        """
        hashes = await self._store.transact(lambda tx: tx.ledger_hashes())
        if not 0 <= first <= second <= len(hashes):
            raise RequestRefusedError(f"The ledger has {len(hashes)} entries; it cannot compare these sizes.")
        path = consistency_path(hashes[:second], first)
        return {"first": first, "second": second, "path": [step.hex() for step in path]}

    async def inclusion(self, participant: Participant, identifier: str, size: int) -> JsonObject:
        """The proof that an entry is in our ledger of `size` entries, for a party to its agreement.

        Raises:
            AccessDeniedError: There is no such entry for this participant.
            RequestRefusedError: The ledger never had this size, or the entry came later.
        """

        def read(tx: Transaction) -> tuple[int, tuple[bytes, ...]]:
            entry = tx.ledger_entry(identifier)
            agreement = tx.agreement(entry.agreement_id) if entry else None
            if (
                entry is None
                or agreement is None
                or participant.did
                not in {
                    agreement.provider,
                    agreement.consumer,
                }
            ):
                raise AccessDeniedError("There is no such entry.")
            return entry.index, tx.ledger_hashes()

        index, hashes = await self._store.transact(read)
        if not index < size <= len(hashes):
            raise RequestRefusedError(f"The ledger has {len(hashes)} entries, and this is entry {index}.")
        path = inclusion_path(hashes[:size], index)
        return {
            "leafIndex": index,
            "treeSize": size,
            "path": [step.hex() for step in path],
            "rootHash": root(hashes[:size]).hex(),
        }

    # what we ask

    async def partners(self) -> tuple[PartnerLedger, ...]:
        """The ledgers of all whom we have an agreement with."""
        return await self._store.transact(
            lambda tx: tuple(_known(tx, did) for did in sorted(_addresses(tx, self._credentials.did)))
        )

    async def compare_all(self) -> None:
        """Compare the ledgers of all our partners; who does not answer is asked next time."""
        for known in await self.partners():
            try:
                await self.compare(known.partner)
            except (
                RequestRefusedError,
                UnknownExchangeError,
                PeerUnreachableError,
                PeerRefusedError,
            ) as problem:
                log.warning("the ledger of %s could not be compared: %s", known.partner, problem)
            except (EvidenceError, IdentityRefusedError) as problem:
                log.warning("the ledger of %s is not to be had: %s", known.partner, problem)

    async def compare(self, partner: str) -> PartnerLedger:
        """Ask a partner for its tree head, and to prove that its ledger only grew.

        Raises:
            UnknownExchangeError: We have no agreement with this partner.
            RequestRefusedError: It shows no ledger.
            PeerUnreachableError: It does not answer.
        """
        addresses = await self._store.transact(lambda tx: _addresses(tx, self._credentials.did))
        if partner not in addresses:
            raise UnknownExchangeError(partner)
        address, keeper = addresses[partner], await self._resolver.document(partner)
        head = await self._asked(partner, address + HEAD_PATH)
        now = self._clock.now()
        size, root_hash = require_head(head, keeper)
        shown = KnownHead(partner, size, root_hash.hex(), head, now, compared=now)
        kept = await self._store.transact(lambda tx: tx.heads(partner))
        try:
            for known in kept[-_MOST_COMPARED:]:
                await self._require_continued(known, shown, address)
        except EvidenceError as problem:
            return await self._alarm(kept[-1], head, problem)
        return await self._keep(kept, shown, now)

    async def _require_continued(self, known: KnownHead, shown: KnownHead, address: str) -> None:
        """Have a partner prove that the ledger it shows begins like one that it has shown before."""
        path: tuple[bytes, ...] = ()
        if 0 < known.size < shown.size:
            query = urlencode({"first": known.size, "second": shown.size})
            answer = await self._asked(shown.ledger, f"{address}{CONSISTENCY_PATH}?{query}")
            path = tuple(_hash(step) for step in texts(answer, "path"))
        verify_consistency(
            old_size=known.size,
            new_size=shown.size,
            old_root=bytes.fromhex(known.root),
            new_root=bytes.fromhex(shown.root),
            path=path,
        )

    async def _keep(self, kept: tuple[KnownHead, ...], shown: KnownHead, now: datetime) -> PartnerLedger:
        def work(tx: Transaction) -> PartnerLedger:
            for known in kept:
                tx.save_head(replace(known, compared=now))
            if all(known.size != shown.size for known in kept):
                tx.save_head(shown)
            return _known(tx, shown.ledger)

        return await self._store.transact(work)

    async def _alarm(self, known: KnownHead, head: JsonObject, problem: EvidenceError) -> PartnerLedger:
        """Remember for good that a partner contradicts itself, with what it has signed."""
        sentence: LanguageMap = {
            "de": f"Der Partner widerspricht dem, was er früher unterschrieben hat: {problem}",
            "en": f"The partner contradicts what it has signed before: {problem}",
        }

        def work(tx: Transaction) -> PartnerLedger:
            contradiction = file_bytes({"type": "LedgerContradiction", "treeHeads": [dict(known.head), head]})
            tx.save_document(f"{known.ledger}#contradiction-{digest(head)}", contradiction)
            tx.save_head(replace(known, problem=known.problem or sentence))
            return _known(tx, known.ledger)

        return await self._store.transact(work)

    async def _asked(self, partner: str, url: str) -> JsonObject:
        answer = await self._peers.send(
            "GET", url, audience=partner, timeout=timedelta(seconds=_SECONDS), max_bytes=_MOST_BYTES
        )
        return _document(answer)


def _document(answer: PeerAnswer) -> JsonObject:
    if answer.status != _OK:
        raise RequestRefusedError(f"The partner shows no ledger: {reason_in(answer)}.")
    try:
        document = loads(answer.body)
    except MalformedJsonError as problem:
        raise RequestRefusedError("The partner's answer about its ledger is not JSON.") from problem
    if not isinstance(document, dict):
        raise RequestRefusedError("The partner's answer about its ledger is no JSON object.")
    return document


def _hash(step: str) -> bytes:
    try:
        return bytes.fromhex(step)
    except ValueError as error:
        raise LedgerError("The consistency proof holds something that is no hash.") from error


def _addresses(tx: Transaction, own: str) -> Mapping[str, str]:
    """Where the ledgers are of all whom we have an agreement with."""
    found = {}
    for agreement in tx.agreements():
        negotiation = tx.negotiation(agreement.negotiation)
        if negotiation is not None:
            partner = agreement.consumer if agreement.provider == own else agreement.provider
            found[partner] = negotiation.peer_address
    return found


def _known(tx: Transaction, partner: str) -> PartnerLedger:
    heads = tx.heads(partner)
    if not heads:
        return PartnerLedger(partner, None, None, None, None)
    moments = [known.compared for known in heads]
    compared = min((moment for moment in moments if moment is not None), default=None)
    problem = next((known.problem for known in heads if known.problem is not None), None)
    return PartnerLedger(
        partner, heads[-1].size, heads[-1].seen, None if None in moments else compared, problem
    )
