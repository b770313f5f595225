"""Issuing: we state something about somebody else, sign it, and can take it back.

A cooperative that runs a connector makes its members' credentials with it.
Whether one has been taken back stands in a list that everybody may read; it
says so by place, and tells nobody whom a place is about.

Source:
    docs/credentials.md; W3C Verifiable Credentials Data Model 2.0; Bitstring Status List 1.0.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from connector.evidence.credentials import CREDENTIALS_CONTEXT, VERIFIABLE_CREDENTIAL
from connector.evidence.documents import canonical
from connector.evidence.status_lists import LEAST_ENTRIES, write_status_list
from connector.ports import (
    Clock,
    Credentials,
    CredentialSigner,
    Identifiers,
    IssuedCredential,
    Store,
    Transaction,
)
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from schemas.strict_json import JsonObject
from schemas.vocabulary import POLICY_PROFILE

REVOCATION: Final = "revocation"
STATUS_PATH: Final = "/status/1"
"""Where our list of states lies, below the address of our credentials."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is to be stated about somebody.

    Attributes:
        subject: DID of whom it is about.
        kind: Type of the credential, such as `MembershipCredential`.
        claims: What is stated, such as `{"membership": "https://…"}`.
        valid_until: Until when it counts.
    """

    subject: str
    kind: str
    claims: JsonObject
    valid_until: datetime


class Issuing:
    """Makes credentials about others, and takes them back.

    Args:
        store: Where they are kept.
        clock: Tells the time.
        identifiers: Names them.
        credentials: Who we are.
        signer: Signs them.
        address: Address of our credentials on the public listener.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        identifiers: Identifiers,
        credentials: Credentials,
        signer: CredentialSigner,
        address: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identifiers = identifiers
        self._did = credentials.did
        self._signer = signer
        self._list = address + STATUS_PATH

    async def issue(self, statement: Statement) -> IssuedCredential:
        """Make a credential.

        Args:
            statement: What it states.

        Raises:
            RequestRefusedError: It would be over before it begins, states something under
                the subject's own name, or the list of states is full.
            EvidenceError: It states a number that JSON cannot carry.
        """
        if "id" in statement.claims:
            raise RequestRefusedError("No claim may be called id: that is the subject itself.")
        canonical(statement.claims)
        now = self._clock.now().replace(microsecond=0)
        if statement.valid_until <= now:
            raise RequestRefusedError(
                "The credential would have expired before it is issued; name a later end."
            )
        identifier = self._identifiers.new()

        def work(tx: Transaction) -> IssuedCredential:
            place = _free_place(identifier, {one.index for one in tx.issued_credentials()})
            record = IssuedCredential(
                identifier=identifier,
                index=place,
                subject=statement.subject,
                kind=statement.kind,
                token=self._signer.credential(self._written(identifier, place, statement, now)),
                issued=now,
                valid_until=statement.valid_until,
            )
            tx.save_issued_credential(record)
            return record

        return await self._store.transact(work)

    def _written(self, identifier: str, place: int, statement: Statement, now: datetime) -> JsonObject:
        return {
            "@context": [CREDENTIALS_CONTEXT, POLICY_PROFILE],
            "id": identifier,
            "type": [VERIFIABLE_CREDENTIAL, statement.kind],
            "issuer": self._did,
            "iss": self._did,
            "sub": statement.subject,
            "validFrom": _written(now),
            "validUntil": _written(statement.valid_until),
            "credentialSubject": {**statement.claims, "id": statement.subject},
            "credentialStatus": {
                "id": f"{self._list}#{place}",
                "type": "BitstringStatusListEntry",
                "statusPurpose": REVOCATION,
                "statusListIndex": str(place),
                "statusListCredential": self._list,
            },
        }

    async def take_back(self, identifier: str) -> IssuedCredential:
        """Take a credential back, for good; whoever asks from now on is told so.

        Raises:
            UnknownExchangeError: We have issued no such credential.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> IssuedCredential:
            known = next((one for one in tx.issued_credentials() if one.identifier == identifier), None)
            if known is None:
                raise UnknownExchangeError(identifier)
            record = replace(known, taken_back=known.taken_back or now)
            tx.save_issued_credential(record)
            return record

        return await self._store.transact(work)

    async def issued(self) -> tuple[IssuedCredential, ...]:
        """All credentials that we have issued."""
        return await self._store.transact(lambda tx: tx.issued_credentials())

    async def status_list(self) -> str:
        """Our list of states, signed."""
        taken_back = {one.index for one in await self.issued() if one.taken_back is not None}
        return self._signer.credential(
            write_status_list(address=self._list, issuer=self._did, purpose=REVOCATION, taken_back=taken_back)
        )


def _free_place(identifier: str, taken: Collection[int]) -> int:
    """A place that follows from a random name: places in order would tell who came when."""
    if len(taken) >= LEAST_ENTRIES:
        raise RequestRefusedError("The list of states is full.")
    place = int.from_bytes(sha256(identifier.encode()).digest()[:8], "big") % LEAST_ENTRIES
    while place in taken:
        place = (place + 1) % LEAST_ENTRIES
    return place


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
