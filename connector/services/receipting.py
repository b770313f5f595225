"""Receipting: what a release states is written, checked and countersigned, for every kind of release.

The provider signs before anything leaves. The consumer checks that the receipt
is about exactly what it got, and countersigns; its countersignature travels like
every message to a partner, through the outbox, and the provider keeps it.

Source:
    docs/evidence.md
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import quote

from connector.evidence.documents import digest, mapping, mappings, read_file, text, whole
from connector.evidence.errors import EvidenceError
from connector.evidence.receipts import (
    COUNTERSIGNATURE,
    Release,
    ReleasedOutput,
    countersigned_file,
    receipt_countersignature,
    without_countersignature,
)
from connector.evidence.verification import Verification, verify_file
from connector.ports import Clock, Credentials, OutboundMessage, Participant, Peers, Store, Transaction
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement
from connector.protocol.transfer import TransferProcess
from connector.services.accessing import Access, AccessDeniedError
from connector.services.delivering import reason_in
from connector.services.exchanging import RequestRefusedError
from connector.services.witnessing import note_head
from schemas.strict_json import JsonObject, JsonValue

RECEIPT_HEADER: Final = "allmende-receipt"
"""Names the receipt of what an answer, or a push, carries."""
DOWNLOAD: Final = "download"
"""Kind of a release in which a data file leaves as it is."""
EXCHANGE: Final = "receipts"
"""Countersignatures in the outbox, and first path segment of their addresses."""
RECEIPT_KINDS: Final = frozenset({"query", "computation", DOWNLOAD})
_MOST_RECEIPT_BYTES: Final = 1_000_000
_MOST_COUNTERSIGNATURE_BYTES: Final = 20_000
"""With the DID document; both are about 2,000."""
_SECONDS: Final = 60
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is about to leave, as far as only the use case knows it.

    Attributes:
        kind: `query`, `computation` or `download`.
        action: Absolute IRI of the action that was permitted.
        rule: IRI of the permission that opens it.
        purpose: What for; None for the purpose declared in the negotiation.
        request_digest: SHA-256 of what was asked.
        restrictions: What was enforced, as data.
        started: When it began.
        uses: Uses on the agreement's account before and after.
        tier: How it was isolated.
        data_digest: SHA-256 of the data that were read; None for the published one.
        outputs: What leaves.
        raw_rows: Rows of raw data among it, as counted.
        raw_bytes: Bytes of raw data among it, as counted.
        suppressed: Groups that are withheld as too small.
        part: Which bytes of a file leave; None for a whole one.
        epsilon: What it did to the agreement's budget of epsilon; None where there is none.
    """

    kind: Literal["query", "computation", "download"]
    action: str
    rule: str
    purpose: str | None
    request_digest: str
    restrictions: Mapping[str, JsonValue]
    started: datetime
    uses: tuple[int, int]
    tier: str
    data_digest: str | None = None
    outputs: tuple[ReleasedOutput, ...] = ()
    raw_rows: int = 0
    raw_bytes: int = 0
    suppressed: int = 0
    part: str | None = None
    epsilon: Mapping[str, JsonValue] | None = None


def release_of(
    tx: Transaction,
    credentials: Credentials,
    access: Access,
    leaving: Leaving,
    *,
    identifier: str,
    ended: datetime,
) -> Release:
    """What the receipt of a release states; the only place where one is made.

    Args:
        tx: The transaction that writes the receipt into the ledger.
        credentials: Who signs.
        access: The agreement, and what it gives access to.
        leaving: What leaves.
        identifier: IRI of the receipt.
        ended: When it is released.
    """
    before, after = leaving.uses
    return Release(
        identifier=identifier,
        issuer=credentials.did,
        verification_method=credentials.verification_method,
        did_document_digest=credentials.document.digest,
        recipient=access.agreement.consumer,
        agreement_id=access.agreement.identifier,
        agreement_digest=digest(access.agreement.document),
        dataset_id=access.agreement.dataset,
        dataset_digest=leaving.data_digest or access.published.dataset.digest,
        kind=leaving.kind,
        purpose=leaving.purpose or access.purpose or "",
        request_digest=leaving.request_digest,
        decision={"permitted": True, "action": leaving.action, "rule": leaving.rule},
        rules_applied={"rule": leaving.rule, **leaving.restrictions},
        started=leaving.started,
        ended=ended,
        uses_before=before,
        uses_after=after,
        sandbox_tier=leaving.tier,
        outputs=leaving.outputs,
        raw_rows_out=leaving.raw_rows,
        raw_bytes_out=leaving.raw_bytes,
        suppressed_groups=leaving.suppressed,
        ledger_index=tx.ledger_size(),
        part=leaving.part,
        epsilon=leaving.epsilon,
    )


# the consumer's half


def checked_receipt(data: bytes, identifier: str, agreement: ContractAgreement) -> Verification:
    """A receipt file that is the provider's signed word, to us, about a release under an agreement.

    Args:
        data: The receipt file.
        identifier: IRI under which the provider announced it.
        agreement: The agreement under which the release was asked for.

    Raises:
        EvidenceError: The receipt is forged, or is about something else.
    """
    known = agreement.documents.get(agreement.provider)
    verification = verify_file(data, pinned={} if known is None else {agreement.provider: known})
    if verification.kind != "receipt" or verification.agreement_id != agreement.identifier:
        raise EvidenceError("The receipt is about another agreement.")
    if verification.identifier != identifier:
        raise EvidenceError("The receipt is not the one that was announced.")
    if [party.did for party in verification.parties] != [agreement.provider]:
        raise EvidenceError("The receipt is not signed by the provider alone.")
    if text(verification.statement, "recipient") != agreement.consumer:
        raise EvidenceError("The receipt is for somebody else.")
    return verification


def require_receipt(
    data: bytes, identifier: str, agreement: ContractAgreement, contents: Mapping[str, bytes]
) -> None:
    """Refuse a result whose receipt is not the provider's signed word about exactly this result.

    Args:
        data: The receipt file.
        identifier: IRI under which the provider announced it.
        agreement: The agreement under which the result was asked for.
        contents: What arrived, by name.

    Raises:
        EvidenceError: The receipt is forged, or is about something else.
    """
    outputs = mappings(checked_receipt(data, identifier, agreement).statement, "outputs")
    stated = {text(output, "name"): text(output, "sha256") for output in outputs}
    arrived = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if stated != arrived:
        raise EvidenceError("The receipt is about another result than the one that arrived.")


def require_file_receipt(
    data: bytes, identifier: str, agreement: ContractAgreement, *, size: int, sha256: str
) -> None:
    """Refuse a data file whose receipt is not the provider's signed word about exactly this file, whole.

    Args:
        data: The receipt file.
        identifier: IRI under which the provider announced it.
        agreement: The agreement under which the file was asked for.
        size: Bytes that arrived.
        sha256: Of these bytes.

    Raises:
        EvidenceError: The receipt is forged, or is about something else.
    """
    statement = checked_receipt(data, identifier, agreement).statement
    raw = mapping(statement, "rawData")
    whole_file = text(statement, "kind") == DOWNLOAD and "part" not in raw
    stated = (whole(raw, "bytesOut"), text(mapping(statement, "dataset"), "digest"))
    if not whole_file or stated != (size, sha256):
        raise EvidenceError("The receipt is about another file than the one that arrived.")


def kept_receipt(tx: Transaction, identifier: str) -> bytes | None:
    """A receipt file as far as it has been signed: countersigned, if it is."""
    return tx.document(_countersigned(identifier)) or tx.document(identifier)


def _countersigned(identifier: str) -> str:
    return f"{identifier}#{COUNTERSIGNATURE}"


def _place(identifier: str) -> str:
    return f"/{EXCHANGE}/{quote(identifier, safe=':')}"


class Receipting:
    """Countersigns receipts that we get, and keeps countersignatures of those that we gave.

    Args:
        store: Where receipts are kept.
        clock: Tells the time.
        credentials: Who signs.
        peers: Talks to providers.
    """

    def __init__(self, *, store: Store, clock: Clock, credentials: Credentials, peers: Peers) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials
        self._peers = peers

    # as consumer

    async def of_file(
        self, transfer: TransferProcess, announced: str | None, *, size: int, sha256: str
    ) -> bytes | None:
        """Fetch and check the receipt of a data file that has arrived.

        Args:
            transfer: The transfer process that brought it.
            announced: IRI of the receipt, as the provider named it with the file.
            size: Bytes that arrived.
            sha256: Of these bytes.

        Returns:
            The receipt file; None where the provider signs nothing at all, not
            even agreements, as EDC.

        Raises:
            RequestRefusedError: There is none, although the provider signs.
            EvidenceError: It is forged, or about something else.
            PeerUnreachableError: The provider does not answer.
        """
        agreement = await self._store.transact(lambda tx: tx.agreement(transfer.agreement_id))
        if agreement is None or (announced is None and agreement.provider in agreement.documents):
            raise RequestRefusedError("The provider names no receipt for its data; they are not used.")
        if announced is None:
            return None
        answer = await self._peers.send(
            "GET",
            transfer.peer_address + _place(announced),
            audience=transfer.peer,
            timeout=timedelta(seconds=_SECONDS),
            max_bytes=_MOST_RECEIPT_BYTES,
        )
        if answer.status != _OK:
            raise RequestRefusedError(f"The provider gave data, but no receipt: {reason_in(answer)}.")
        require_file_receipt(answer.body, announced, agreement, size=size, sha256=sha256)
        return answer.body

    def keep(self, tx: Transaction, identifier: str, data: bytes, transfer_pid: str) -> None:
        """Keep a receipt that has been checked, countersign it, and tell the provider.

        Args:
            tx: The transaction that also keeps what the receipt is about.
            identifier: IRI of the receipt.
            data: The receipt file.
            transfer_pid: Our pid of the transfer process that brought it.

        Raises:
            EvidenceExistsError: The provider gave this name to another receipt before.
        """
        tx.save_document(identifier, data)
        if tx.document(_countersigned(identifier)) is not None:
            return
        now = self._clock.now()
        note_head(tx, data, now)
        file = self._signed(data, now)
        tx.save_document(_countersigned(identifier), file)
        transfer = tx.transfer(transfer_pid)
        if transfer is not None:
            tx.enqueue(
                OutboundMessage(
                    exchange=EXCHANGE,
                    pid=identifier,
                    kind=COUNTERSIGNATURE,
                    peer=transfer.peer,
                    address=transfer.peer_address,
                    path=f"{_place(identifier)}/{COUNTERSIGNATURE}",
                    body=file.decode(),
                    not_before=now,
                )
            )

    def _signed(self, data: bytes, now: datetime) -> bytes:
        own = self._credentials
        statement = receipt_countersignature(
            mapping(read_file(data), "signedReceipt"),
            verification_method=own.verification_method,
            did_document_digest=own.document.digest,
            received=now,
        )
        return countersigned_file(data, own.prove(statement, now), own.document.content)

    def acknowledged(self, tx: Transaction, pid: str, answer: JsonObject | None, now: datetime) -> None:
        """The provider keeps our countersignature: nothing is left to do."""

    def refused(self, tx: Transaction, pid: str, reason: str, now: datetime) -> None:
        """The provider does not want our countersignature; we keep it all the same."""

    # as provider

    async def shown(self, participant: Participant, identifier: str) -> bytes:
        """A receipt of ours, for its recipient.

        Raises:
            AccessDeniedError: There is none for this participant.
        """
        return await self._store.transact(lambda tx: _given(tx, participant, identifier))

    async def take(self, participant: Participant, identifier: str, data: bytes) -> None:
        """Keep the countersignature of a receipt of ours.

        Args:
            participant: Who sends it; its DID document is the one that it shows today.
            identifier: IRI of the receipt.
            data: Our receipt file with the countersignature in it.

        Raises:
            AccessDeniedError: There is no such receipt for this participant.
            EvidenceError: It is another receipt, or the signature is not the recipient's.
            EvidenceExistsError: It has countersigned before, in other words.
        """
        # Whoever has no receipt from us, or sends more than one, makes us compute nothing.
        given = await self.shown(participant, identifier)
        if len(data) > len(given) + _MOST_COUNTERSIGNATURE_BYTES:
            raise EvidenceError("What is countersigned is not the receipt that was given.")
        verification = verify_file(data, pinned=_pinned(participant))

        def work(tx: Transaction) -> None:
            own = _given(tx, participant, identifier)
            if without_countersignature(data) != own or verification.missing:
                raise EvidenceError("What is countersigned is not the receipt that was given.")
            tx.save_document(_countersigned(identifier), data)

        await self._store.transact(work)


def _pinned(participant: Participant) -> dict[str, JsonObject]:
    """The keys that a countersignature must have been made with.

    Raises:
        EvidenceError: The participant has proved who it is by something else than keys.
    """
    if participant.document is None:
        raise EvidenceError(f"{participant.did} has shown no DID document: its signature proves nothing.")
    return {participant.did: dict(participant.document.content)}


def _given(tx: Transaction, participant: Participant, identifier: str) -> bytes:
    entry = tx.ledger_entry(identifier)
    agreement = tx.agreement(entry.agreement_id) if entry else None
    content = tx.document(identifier)
    if (
        entry is None
        or agreement is None
        or content is None
        or entry.kind not in RECEIPT_KINDS
        or agreement.role is not Party.PROVIDER
        or agreement.consumer != participant.did
    ):
        raise AccessDeniedError("There is no such receipt.")
    return content
