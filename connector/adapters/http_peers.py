"""Talks to counterparties over HTTP, through the egress guard."""

from collections.abc import AsyncIterable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import urljoin

import httpx

from connector.adapters.egress import EgressClient, EgressFailedError, EgressRefusedError
from connector.adapters.static_tokens import Identity
from connector.ports import PeerAnswer, PeerRefusedError, PeerUnreachableError

_FAILED = 500
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class HttpPeers:
    """Sends requests that say who we are, or carry the token that we were given.

    Args:
        egress: The one way out.
        identity: Makes our tokens.
    """

    def __init__(self, egress: EgressClient, identity: Identity) -> None:
        self._egress = egress
        self._identity = identity

    def require_callable(self, url: str) -> None:
        """Refuse an address that we never call.

        Raises:
            PeerRefusedError: It is one.
        """
        try:
            self._egress.require_callable(url)
        except EgressRefusedError as refusal:
            raise PeerRefusedError(str(refusal)) from refusal

    async def send(
        self,
        method: str,
        url: str,
        *,
        audience: str | None = None,
        token: str | None = None,
        authorization: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes | AsyncIterable[bytes] | None = None,
        media_type: str = "application/json",
        timeout: timedelta = timedelta(seconds=10),  # noqa: ASYNC109 - the port's promise
        max_bytes: int = 1_000_000,
    ) -> PeerAnswer:
        """Send one request.

        Raises:
            PeerUnreachableError: No answer, or a 5xx status.
            PeerRefusedError: The address is one that we never call.
        """
        sent = {"accept": "*/*", **({"content-type": media_type} if body is not None else {}), **headers}
        if audience is not None:
            sent["authorization"] = await self._identity.authorization(audience)
        elif token is not None:
            sent["authorization"] = f"Bearer {token}"
        elif authorization is not None:
            sent["authorization"] = authorization
        try:
            answer = await self._egress.request(
                method, url, headers=sent, content=body, timeout=timeout, max_bytes=max_bytes
            )
        except EgressRefusedError as refusal:
            raise PeerRefusedError(str(refusal)) from refusal
        except EgressFailedError as failure:
            kind = PeerUnreachableError if failure.retryable else PeerRefusedError
            raise kind(str(failure)) from failure
        if answer.status >= _FAILED:
            raise PeerUnreachableError(f"The counterparty answered with status {answer.status}.")
        return PeerAnswer(answer.status, answer.content, answer.headers, links_in(answer.headers, url))


def links_in(headers: Mapping[str, str], url: str) -> dict[str, str]:
    """The addresses of a `Link` header by relation; what has none is left out.

    Args:
        headers: Header names in lower case.
        url: What was asked: relative addresses are relative to it.

    Source:
        RFC 8288, section 3.
    """
    found = httpx.Response(200, headers={"link": headers.get("link", "")}).links
    return {
        relation.lower(): _absolute(url, link["url"])
        for name, link in found.items()
        if "rel" in link
        for relation in (name or "").split()
    }


def _absolute(url: str, reference: str) -> str:
    try:
        return urljoin(url, reference)
    except ValueError:
        # No address at all: whoever wants to follow it says so.
        return reference
