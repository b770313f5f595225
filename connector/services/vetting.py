"""Vetting: what partners prove about themselves with credentials of issuers whom we trust.

A partner says with each message how its credentials can be had. They are asked
for when we have seen none for a while, proven, and kept. What they prove counts
as long as they are in time and their issuer is known not to have taken them
back: it is asked every few minutes, and where it gives no answer for longer, the
credentials count no longer.

Source:
    docs/credentials.md; DCP 1.0, section 5.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from connector.evidence.credentials import Credential
from connector.evidence.did import DidDocument
from connector.evidence.errors import CredentialError
from connector.evidence.trusted_issuers import TrustedIssuer, attested
from connector.ports import (
    Clock,
    CredentialsUnavailableError,
    CredentialVerifier,
    Participant,
    Presentation,
    ShownCredential,
    Store,
)
from policies.facts import Partner
from policies.model import LanguageMap

BETWEEN_CHECKS: Final = timedelta(minutes=4)
"""How often issuers are asked whether they have taken credentials back."""
UNCHECKED_FOR: Final = timedelta(minutes=15)
"""How long a credential counts whose issuer gives no answer."""
_FRESH_FOR: Final = timedelta(minutes=5)
_AGAIN_AFTER: Final = timedelta(seconds=5)
_MOST_SHOWN: Final = 20

log = logging.getLogger("allmende.vetting")


class Vetting:
    """Knows what the credentials of partners prove.

    Args:
        store: Where it is kept what they have shown.
        clock: Tells the time.
        verifier: Asks for credentials and proves them.
        trusted: Whose credentials count for what; without any, nobody is asked.
    """

    def __init__(
        self, *, store: Store, clock: Clock, verifier: CredentialVerifier, trusted: Sequence[TrustedIssuer]
    ) -> None:
        self._store = store
        self._clock = clock
        self._verifier = verifier
        self._trusted = tuple(trusted)
        self._issuers = frozenset(rule.issuer for rule in trusted)
        self._kinds = tuple(sorted({rule.credential for rule in trusted}))
        self._known: dict[str, Presentation] = {}
        self._asked: dict[str, datetime] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def load(self) -> None:
        """Remember what partners had shown before the start."""
        kept = await self._store.transact(lambda tx: tx.presentations())
        self._known = {presentation.partner: presentation for presentation in kept}

    # what decisions ask

    def proofs(self, partner: str, now: datetime) -> Partner | None:
        """What the credentials of a partner prove at a moment; None where that is nothing.

        Args:
            partner: The partner's DID.
            now: The moment.
        """
        shown = self._known.get(partner)
        if shown is None:
            return None
        return attested((one.credential for one in shown.credentials if _counts(one, now)), self._trusted)

    def presentations(self) -> tuple[Presentation, ...]:
        """What partners have shown the last time."""
        return tuple(self._known.values())

    # what messages and the worker bring

    async def meet(self, participant: Participant) -> None:
        """See the credentials of somebody who sends us a message, unless we have just seen them.

        Whatever goes wrong proves nothing, and refuses nothing by itself: a policy that
        asks for what is not proven does.

        Args:
            participant: Who it is; its identity is proven.
        """
        document, token, did = participant.document, participant.access_token, participant.did
        if not self._trusted or document is None or token is None or not self._is_due(did):
            return
        task = self._asking.get(did)
        if task is None:
            task = self._asking[did] = asyncio.create_task(self._see(document, token))
            task.add_done_callback(lambda _: self._asking.pop(did, None))
        await asyncio.shield(task)

    def _is_due(self, did: str) -> bool:
        now = self._clock.now()
        asked = self._asked.get(did)
        if asked is not None and now - asked < _AGAIN_AFTER:
            return did in self._asking
        shown = self._known.get(did)
        if shown is None or not shown.credentials or now - shown.shown >= _FRESH_FOR:
            return True
        return not all(_counts(one, now) for one in shown.credentials)

    async def _see(self, holder: DidDocument, token: str) -> None:
        self._note_asked(holder.did)
        try:
            tokens = await self._verifier.ask(holder, token, self._kinds)
        except (CredentialError, CredentialsUnavailableError) as problem:
            log.warning("the credentials of %s could not be seen: %s", holder.did, problem)
            return
        shown: list[ShownCredential] = []
        refused = [_TOO_MANY] if len(tokens) > _MOST_SHOWN else []
        for one in tokens[:_MOST_SHOWN]:
            try:
                shown.append(await self._proven(one, holder.did))
            except (CredentialError, CredentialsUnavailableError) as problem:
                log.warning("a credential of %s does not count: %s", holder.did, problem)
                refused.append(problem.reason)
        await self._keep(Presentation(holder.did, self._clock.now(), tuple(shown), tuple(refused)))

    def _note_asked(self, did: str) -> None:
        now = self._clock.now()
        self._asked = {one: when for one, when in self._asked.items() if now - when < _AGAIN_AFTER}
        self._asked[did] = now

    async def _proven(self, token: str, holder: str) -> ShownCredential:
        """A credential that counts: trusted, about its holder, in time, and not taken back."""
        credential = await self._verifier.proven(token, self._issuers)
        now = self._clock.now()
        credential.require_about(holder)
        if attested((credential,), self._trusted) is None:
            issuer, kinds = credential.issuer, ", ".join(credential.types)
            raise CredentialError(
                f"{issuer} is not trusted for credentials of type {kinds}.",
                f"Nachweise der Art {kinds} zählen von {issuer} nicht.",
            )
        credential.require_current(now)
        await require_kept(self._verifier, credential)
        return ShownCredential(credential, now)

    async def recheck(self) -> None:
        """Ask issuers whether they have taken back what partners have shown."""
        for partner, shown in list(self._known.items()):
            checked = tuple([await self._rechecked(one) for one in shown.credentials])
            # A partner may have shown others meanwhile.
            if checked != shown.credentials and self._known.get(partner) is shown:
                await self._keep(replace(shown, credentials=checked))

    async def _rechecked(self, shown: ShownCredential) -> ShownCredential:
        credential, now = shown.credential, self._clock.now()
        if not credential.statuses or not credential.counts_at(now):
            return shown
        try:
            return replace(shown, checked=now, taken_back=await self._verifier.is_taken_back(credential))
        except (CredentialError, CredentialsUnavailableError) as problem:
            log.warning("whether %s has been taken back is unknown: %s", credential.identifier, problem)
            return shown

    async def _keep(self, presentation: Presentation) -> None:
        await self._store.transact(lambda tx: tx.save_presentation(presentation))
        self._known[presentation.partner] = presentation


async def require_kept(verifier: CredentialVerifier, credential: Credential) -> None:
    """Refuse a credential that its issuer has taken back.

    Raises:
        CredentialError: It has been, or where it should stand is no list of the issuer's.
        CredentialsUnavailableError: The list could not be read.
    """
    if await verifier.is_taken_back(credential):
        raise CredentialError(
            "The credential has been taken back by its issuer.",
            "Der Aussteller hat den Nachweis zurückgenommen.",
        )


_TOO_MANY: Final[LanguageMap] = {
    "de": f"Es wurden mehr als {_MOST_SHOWN} Nachweise gezeigt; die übrigen zählen nicht.",
    "en": f"More than {_MOST_SHOWN} credentials were shown; the others do not count.",
}


def _counts(shown: ShownCredential, now: datetime) -> bool:
    credential = shown.credential
    if shown.taken_back or not credential.counts_at(now):
        return False
    return not credential.statuses or now - shown.checked <= UNCHECKED_FOR
