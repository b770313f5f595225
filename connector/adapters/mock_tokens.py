"""Participants that say who they are in plain JSON, as EDC's mock identity does: for interoperability tests.

Such a token proves nothing at all: whoever can reach the listener can be
anybody that is listed. It is therefore refused where the public listener can
be reached from other machines, unless the operator spells out that it is unsafe.

Source:
    docs/conformance.md; EDC, extension `iam-mock`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from connector.adapters.static_tokens import Identity
from connector.ports import IdentityRefusedError, Participant
from schemas.strict_json import MalformedJsonError, loads

_MOST_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class MockToken:
    """A participant that is known by its word alone.

    Attributes:
        participant: What it calls itself (`clientId`).
        address: The address that our tokens for it name (`audience`), and the only origin at which
            it is called back.
        region: The region that they name; EDC's policies can ask for it.
    """

    participant: str
    address: str
    region: str


class MockTokens:
    """Knows some participants by what they say, and leaves all others to another identity.

    Args:
        tokens: The known participants.
        own: What we call ourselves.
        others: Who speaks for all others.
    """

    def __init__(self, tokens: Sequence[MockToken], own: str, others: Identity) -> None:
        self._by_participant = {entry.participant: entry for entry in tokens}
        self._own = own
        self._others = others

    async def authorization(self, audience: str) -> str:
        """The value of an Authorization header for one participant."""
        known = self._by_participant.get(audience)
        if known is None:
            return await self._others.authorization(audience)
        return json.dumps({"region": known.region, "audience": known.address, "clientId": self._own})

    async def verify(self, header: str | None) -> Participant:
        """The participant behind an Authorization header.

        Raises:
            IdentityRefusedError: The caller is not known by its word.
        """
        return self._stated(header) or await self._others.verify(header)

    async def identify(self, header: str | None) -> Participant:
        """As `verify`, for a token that is used up later.

        Raises:
            IdentityRefusedError: The caller is not known by its word.
        """
        return self._stated(header) or await self._others.identify(header)

    def _stated(self, header: str | None) -> Participant | None:
        """Who a header in plain JSON names; None where it is another kind of header."""
        if not self._by_participant or header is None or not header.startswith("{"):
            return None
        try:
            token = loads(header.encode(), max_bytes=_MOST_BYTES)
        except MalformedJsonError as problem:
            raise IdentityRefusedError(f"The token is no JSON: {problem}") from problem
        stated = token.get("clientId") if isinstance(token, dict) else None
        if not isinstance(stated, str) or stated not in self._by_participant:
            raise IdentityRefusedError("The token in plain JSON names nobody that is listed in mock_tokens.")
        return Participant(stated, None, self._by_participant[stated].address)
