"""Participants without a DID that both sides know by a fixed token: for test suites and old connectors.

A fixed token proves little: whoever sees it once can use it for ever. It is
therefore refused where the public listener can be reached from other machines,
unless the operator spells out that it is unsafe.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from connector.ports import Participant


class Identity(Protocol):
    """Says who we are, and finds out who others are."""

    async def authorization(self, audience: str) -> str:
        """The value of an Authorization header for one participant."""
        ...

    async def verify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header, whose token is thereby used up."""
        ...

    async def identify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header; whoever acts on it uses the token up."""
        ...


@dataclass(frozen=True, slots=True)
class StaticToken:
    """A participant, and the token that both sides send."""

    participant: str
    token: str


class StaticTokens:
    """Knows some participants by their tokens, and leaves all others to another identity.

    Args:
        tokens: The known participants.
        others: Who speaks for all others.
    """

    def __init__(self, tokens: Sequence[StaticToken], others: Identity) -> None:
        self._by_participant = {entry.participant: entry for entry in tokens}
        self._others = others

    async def authorization(self, audience: str) -> str:
        """The value of an Authorization header for one participant."""
        known = self._by_participant.get(audience)
        return f"Bearer {known.token}" if known else await self._others.authorization(audience)

    async def verify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header.

        Raises:
            IdentityRefusedError: The caller has not proved who it is.
        """
        return self._known(header) or await self._others.verify(header)

    async def identify(self, header: str | None) -> Participant:
        """As `verify`, for a token that is used up later.

        Raises:
            IdentityRefusedError: The caller has not proved who it is.
        """
        return self._known(header) or await self._others.identify(header)

    def _known(self, header: str | None) -> Participant | None:
        given = (header or "").encode()
        for entry in self._by_participant.values():
            if hmac.compare_digest(given, f"Bearer {entry.token}".encode()):
                return Participant(entry.participant, None)
        return None
