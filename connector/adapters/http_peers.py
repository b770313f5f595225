"""Talks to counterparties over HTTP, through the egress guard."""

from datetime import timedelta

from connector.adapters.egress import EgressClient, EgressFailedError, EgressRefusedError
from connector.adapters.static_tokens import Identity
from connector.ports import PeerAnswer, PeerRefusedError, PeerUnreachableError

_FAILED = 500


class HttpPeers:
    """Sends requests that say who we are, or carry the token that we were given.

    Args:
        egress: The one way out.
        identity: Makes our tokens.
    """

    def __init__(self, egress: EgressClient, identity: Identity) -> None:
        self._egress = egress
        self._identity = identity

    async def send(
        self,
        method: str,
        url: str,
        *,
        audience: str | None = None,
        token: str | None = None,
        authorization: str | None = None,
        body: bytes | None = None,
        media_type: str = "application/json",
        timeout: timedelta = timedelta(seconds=10),  # noqa: ASYNC109 - the port's promise
        max_bytes: int = 1_000_000,
    ) -> PeerAnswer:
        """Send one request.

        Raises:
            PeerUnreachableError: No answer, or a 5xx status.
            PeerRefusedError: The address is one that we never call.
        """
        headers = {"accept": "*/*", **({"content-type": media_type} if body is not None else {})}
        if audience is not None:
            headers["authorization"] = await self._identity.authorization(audience)
        elif token is not None:
            headers["authorization"] = f"Bearer {token}"
        elif authorization is not None:
            headers["authorization"] = authorization
        try:
            answer = await self._egress.request(
                method, url, headers=headers, content=body, timeout=timeout, max_bytes=max_bytes
            )
        except EgressRefusedError as refusal:
            raise PeerRefusedError(str(refusal)) from refusal
        except EgressFailedError as failure:
            kind = PeerUnreachableError if failure.retryable else PeerRefusedError
            raise kind(str(failure)) from failure
        if answer.status >= _FAILED:
            raise PeerUnreachableError(f"The counterparty answered with status {answer.status}.")
        return PeerAnswer(answer.status, answer.content, answer.headers)
