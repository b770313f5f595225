"""Presenting: we keep credentials about us, and show them to partners to whom we send messages.

Who gets a message of ours gets with it an access token that opens our
credentials to that partner alone, for a few minutes. Nobody else sees any.

Source:
    docs/credentials.md; DCP 1.0, section 5.
"""

from collections.abc import Callable
from typing import Final

from connector.evidence.credentials import Credential, write_presentations
from connector.evidence.errors import CredentialError
from connector.ports import (
    Clock,
    Credentials,
    CredentialSigner,
    CredentialVerifier,
    HeldCredential,
    IdentityRefusedError,
    Participant,
    Store,
    Transaction,
)
from connector.services.exchanging import UnknownExchangeError
from connector.services.vetting import require_kept
from schemas.dcp import IDENTIFIER_SCOPE, READ, TYPE_SCOPE, presentation_response, scopes_in
from schemas.strict_json import JsonObject, JsonValue

_GENERAL: Final = "VerifiableCredential"
"""What every credential is: nobody asks for that."""


class Presenting:
    """Keeps and shows our credentials.

    Args:
        store: Where they are kept.
        clock: Tells the time.
        credentials: Who we are.
        verifier: Proves what we are given.
        signer: Signs what we show.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        credentials: Credentials,
        verifier: CredentialVerifier,
        signer: CredentialSigner,
    ) -> None:
        self._store = store
        self._clock = clock
        self._did = credentials.did
        self._verifier = verifier
        self._signer = signer

    async def load(self) -> None:
        """Offer partners to see what we keep."""
        await self.held()

    async def held(self) -> tuple[HeldCredential, ...]:
        """All credentials about us."""
        return await self._changed(lambda _: None)

    async def keep(self, token: str) -> HeldCredential:
        """Keep a credential about us, once it is proven.

        Args:
            token: The credential as its issuer has signed it.

        Raises:
            CredentialError: It is malformed, about somebody else, does not count, or its
                signature does not fit.
            CredentialsUnavailableError: Its issuer's keys could not be read.
        """
        credential = await self._verifier.proven(token)
        now = self._clock.now()
        credential.require_about(self._did)
        credential.require_current(now)
        await require_kept(self._verifier, credential)
        record = HeldCredential(credential, token, now)

        def work(tx: Transaction) -> None:
            for known in tx.held_credentials():
                same = known.credential.identifier == credential.identifier
                if same and known.credential.issuer != credential.issuer:
                    raise CredentialError(
                        "Another issuer's credential with this identifier is kept already. Discard it first.",
                        "Ein Nachweis eines anderen Ausstellers mit dieser Kennung liegt schon hier. "
                        "Entfernen Sie ihn zuerst.",
                    )
            tx.save_held_credential(record)

        await self._changed(work)
        return record

    async def discard(self, identifier: str) -> None:
        """Forget a credential about us: nobody sees it any more.

        Raises:
            UnknownExchangeError: There is no such credential.
        """

        def work(tx: Transaction) -> None:
            if not tx.discard_held_credential(identifier):
                raise UnknownExchangeError(identifier)

        await self._changed(work)

    async def shown(self, verifier: Participant, query: JsonValue) -> JsonObject:
        """Show a partner the credentials that it asks for, and that we have opened to it.

        Args:
            verifier: The partner; its identity is proven.
            query: Its message.

        Returns:
            The answer. It holds less than what was asked for where we have not opened or do
            not have that.

        Raises:
            SchemaError: The message is malformed, or asks in a way that is not understood.
            IdentityRefusedError: The partner has no access token of ours, or another one's.
        """
        scopes = scopes_in(query)
        if verifier.access_token is None:
            raise IdentityRefusedError("The request carries no access token to our credentials.")
        opened = self._signer.opened(verifier.access_token, verifier.did)
        now = self._clock.now()
        found = {
            one.token: one.credential
            for one in await self.held()
            if one.credential.counts_at(now)
            and not opened.isdisjoint(one.credential.types)
            and any(_asks_for(scope, one.credential) for scope in scopes)
        }
        return presentation_response(
            [self._signer.presentation(claims, verifier.did) for claims in write_presentations(found)]
        )

    async def _changed(self, work: Callable[[Transaction], None]) -> tuple[HeldCredential, ...]:
        """Change what we keep, and offer what is there then."""

        def changed(tx: Transaction) -> tuple[HeldCredential, ...]:
            work(tx)
            return tx.held_credentials()

        held = await self._store.transact(changed)
        now = self._clock.now()
        self._signer.offer(
            {
                kind
                for one in held
                for kind in one.credential.types
                if kind != _GENERAL and one.credential.counts_at(now)
            }
        )
        return held


def _asks_for(scope: str, credential: Credential) -> bool:
    if scope.startswith(TYPE_SCOPE):
        return scope.removeprefix(TYPE_SCOPE).removesuffix(READ) in {*credential.types} - {_GENERAL}
    return scope == IDENTIFIER_SCOPE + credential.identifier
