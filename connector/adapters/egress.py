"""The one way out: every request to an address that somebody else chose goes through here.

Peers name the addresses that we call (callback addresses, DID hosts, service
endpoints). The guard makes sure that such an address cannot lead into our own
network: TLS only, a name is resolved once, every address it resolves to must be
public, and the connection goes to exactly the address that was checked.
"""

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType, TracebackType
from typing import Final, Self

import httpcore
import httpx

_V4 = ipaddress.IPv4Address
_V6 = ipaddress.IPv6Address
Address = _V4 | _V6
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Turns a host name and port into IP addresses as text."""
Transports = Mapping[str, httpx.AsyncBaseTransport]
"""Applications by origin, such as `http://localhost:8081`."""

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
_EMBEDDING: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
"""IPv6 networks that stand for an IPv4 address, and how far right of it the address ends."""
_REFUSED: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata service lives here
        "192.88.99.0/24",  # 6to4 relays
        "168.63.129.16/32",  # a cloud's host agent, publicly addressed but never public
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "3fff::/20",  # documentation, RFC 9637
    )
)
_PORTS: Final = range(1, 65_536)
_CONNECT_SECONDS: Final = 5.0
_KEEP_ALIVE_SECONDS: Final = 30.0
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
NO_TRANSPORTS: Final[Transports] = MappingProxyType({})
_FAILURES: Final = (
    httpx.TransportError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    OSError,
)


class EgressError(Exception):
    """A request to another participant did not succeed."""


class EgressRefusedError(EgressError):
    """The address is one that we never call; nothing was sent."""


class EgressFailedError(EgressError):
    """There was no usable answer.

    Attributes:
        retryable: Whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class StreamedResponse:
    """An answer whose body is still on its way; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, _V6):
        for network, shift in _EMBEDDING:
            if address in network:
                return _V4((int(address) >> shift) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address is one on the public internet, reached by one host.

    Stricter than `ipaddress.is_global`, whose tables depend on the Python version.
    """
    actual = embedded(address)
    if isinstance(actual, _V6) and actual not in _GLOBAL_UNICAST:
        return False
    if any(actual in network for network in _REFUSED):
        return False
    return actual.is_global and not (actual.is_multicast or actual.is_reserved)


def is_loopback(address: Address) -> bool:
    """Whether an address is this machine."""
    return embedded(address).is_loopback


async def resolve_by_system(host: str, port: int) -> tuple[str, ...]:
    """Ask the operating system for a name's addresses, once each, in its order."""
    entries = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


class EgressClient:
    """Sends requests to other participants, and nowhere else.

    It uses httpx's transports without its client, which would keep cookies and follow redirects.
    Connections are kept open and used again; the check belongs to the connection,
    so a kept one still leads where it was checked to lead. There are no redirects,
    no proxies from the environment, no cookies and no compressed answers.

    Args:
        allow_loopback_http: Also call this machine, with or without TLS; for
            demonstrations and tests on one machine.
        resolve: Name resolution.
        ssl_context: Trusted authorities; the `certifi` set where None.
        in_process: Applications by origin, such as `http://localhost:8081`, that are
            called without a socket; for tests. Addresses are not checked there.
    """

    def __init__(
        self,
        *,
        allow_loopback_http: bool = False,
        resolve: Resolver = resolve_by_system,
        ssl_context: ssl.SSLContext | None = None,
        in_process: Transports = NO_TRANSPORTS,
    ) -> None:
        self._schemes = {"https", "http"} if allow_loopback_http else {"https"}
        self._with_tls = _is_permitted_with_loopback if allow_loopback_http else is_public
        self._transports: dict[str, httpx.AsyncBaseTransport] = {
            "https": _GuardedTransport(
                _GuardedBackend(resolve, self._with_tls),
                lambda: ssl_context or httpx.create_ssl_context(trust_env=False),
            ),
            "http": _GuardedTransport(_GuardedBackend(resolve, is_loopback), lambda: None),
        }
        self._in_process = {_origin(httpx.URL(origin)): app for origin, app in in_process.items()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all kept connections."""
        for transport in (*self._transports.values(), *self._in_process.values()):
            await transport.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        content: bytes | AsyncIterable[bytes] | None = None,
        timeout: timedelta = timedelta(seconds=10),  # noqa: ASYNC109 - the port promises a limit on the whole answer
        max_bytes: int = 1_000_000,
    ) -> Response:
        """Send one request and read the whole answer.

        Args:
            method: HTTP method.
            url: Absolute address.
            headers: Additional headers.
            content: Body.
            timeout: Longest time for everything, from resolving the name to the last byte.
            max_bytes: Longest body that is accepted.

        Raises:
            EgressRefusedError: The address is one that we never call.
            EgressFailedError: No answer in time, a broken one, or one that is too long.
        """
        try:
            async with (
                asyncio.timeout(timeout.total_seconds()),
                self._answer(method, url, headers, content, _whole_timeouts(timeout), max_bytes) as streamed,
            ):
                body = b"".join([chunk async for chunk in streamed.chunks])
                return Response(streamed.status, streamed.headers, body)
        except TimeoutError as error:
            raise EgressFailedError(
                f"{url} did not answer completely within {timeout}.", retryable=True
            ) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        content: bytes | AsyncIterable[bytes] | None = None,
        timeout: timedelta = timedelta(seconds=10),  # noqa: ASYNC109 - limits single waits, not the whole
        max_bytes: int = 1_000_000,
    ) -> AsyncIterator[StreamedResponse]:
        """Send one request and read the answer piece by piece.

        Args:
            method: HTTP method.
            url: Absolute address.
            headers: Additional headers.
            content: Body.
            timeout: Longest wait for the connection and for each piece.
            max_bytes: Longest body that is accepted.

        Yields:
            The answer; its chunks are valid inside the `async with` block.

        Raises:
            EgressRefusedError: The address is one that we never call.
            EgressFailedError: No answer in time, a broken one, or one that is too long.
        """
        async with self._answer(method, url, headers, content, _timeouts(timeout), max_bytes) as streamed:
            yield streamed

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | AsyncIterable[bytes] | None,
        timeouts: Mapping[str, float],
        max_bytes: int,
    ) -> AsyncIterator[StreamedResponse]:
        address = self._checked(url)
        request = httpx.Request(
            method,
            address,
            headers={"user-agent": "allmende", "accept-encoding": "identity", **headers},
            content=content,
            extensions={"timeout": dict(timeouts)},
        )
        with _failures_named(url):
            response = await self._transport(address).handle_async_request(request)
        try:
            _refuse_encoded(response, url)
            lowered = MappingProxyType({name.lower(): value for name, value in response.headers.items()})
            yield StreamedResponse(response.status_code, lowered, _bounded(response, url, max_bytes))
        finally:
            await response.aclose()

    def require_callable(self, url: str) -> None:
        """Refuse an address that no request will ever go to; a host's name is looked up only when one does.

        Raises:
            EgressRefusedError: Another scheme than https, or a private, local or special address.
        """
        parsed = self._checked(url)
        try:
            address = ipaddress.ip_address(parsed.host)
        except ValueError:
            return
        is_permitted = is_loopback if parsed.scheme == "http" else self._with_tls
        if not is_permitted(address):
            raise EgressRefusedError(_refusal_of(parsed.host, address))

    def _transport(self, address: httpx.URL) -> httpx.AsyncBaseTransport:
        if self._in_process:
            found = self._in_process.get(_origin(address))
            if found is not None:
                return found
        return self._transports[address.scheme]

    def _checked(self, url: str) -> httpx.URL:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise EgressRefusedError(f"{url[:200]!r} is not an address: {error}.") from error
        if parsed.scheme not in self._schemes:
            raise EgressRefusedError(
                f"{url[:200]!r} is not called: only https is allowed"
                " (http only to this machine, in demonstrations)."
            )
        if not parsed.host or parsed.userinfo or (parsed.port or 443) not in _PORTS:
            raise EgressRefusedError(
                f"{url[:200]!r} is not called: it needs a host, no user name and a possible port."
            )
        return parsed


def _refusal_of(host: str, address: Address) -> str:
    return f"{host} is not called: its address {address} is not a permitted one (private, local or special)."


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _timeouts(longest: timedelta) -> Mapping[str, float]:
    """The longest single waits, in seconds, as the transport wants them."""
    seconds = longest.total_seconds()
    return {"read": seconds, "write": seconds, "pool": seconds, **_whole_timeouts(longest)}


def _whole_timeouts(longest: timedelta) -> Mapping[str, float]:
    """The same where somebody limits the whole: only a connection has less time than that."""
    return {"connect": min(longest.total_seconds(), _CONNECT_SECONDS)}


def _is_permitted_with_loopback(address: Address) -> bool:
    return is_public(address) or is_loopback(address)


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections, and only to addresses that were checked."""

    def __init__(self, resolve: Resolver, is_permitted: Callable[[Address], bool]) -> None:
        self._resolve = resolve
        self._is_permitted = is_permitted
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            found = [ipaddress.ip_address(address) for address in await self._resolve(host, port)]
        except ValueError as error:  # UnicodeError, of names that are no names, is one
            raise EgressRefusedError(f"{host[:200]!r} is not called: {error}.") from error
        # One refused address condemns the name: otherwise an attacker mixes good and bad ones.
        for address in found:
            if not self._is_permitted(address):
                raise EgressRefusedError(_refusal_of(host, address))
        return found

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        del timeout, socket_options
        raise EgressRefusedError(f"The local socket {path} is not called.")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a connection pool that uses our backend."""

    def __init__(
        self, backend: _GuardedBackend, make_ssl_context: Callable[[], ssl.SSLContext | None]
    ) -> None:
        self._backend = backend
        self._make_ssl_context = make_ssl_context

    @functools.cached_property
    def _pool(self) -> httpcore.AsyncConnectionPool:
        # Made on first use: reading all authorities takes longer than the rest of our start.
        return httpcore.AsyncConnectionPool(
            ssl_context=self._make_ssl_context(),
            max_connections=100,
            max_keepalive_connections=50,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
            network_backend=self._backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        if "_pool" in self.__dict__:
            await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as httpx wants it."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _failures_named(url: str) -> Iterator[None]:
    """Turns the failures of the network into ours, with the address that failed."""
    try:
        yield
    except _FAILURES as error:
        reason = str(error) or type(error).__name__
        raise EgressFailedError(f"{url} gave no answer: {reason}.", retryable=True) from error


async def _bounded(response: httpx.Response, url: str, max_bytes: int) -> AsyncIterator[bytes]:
    received = 0
    with _failures_named(url):
        async for chunk in response.aiter_raw():
            received += len(chunk)
            if received > max_bytes:
                raise EgressFailedError(f"{url} answered with more than {max_bytes} bytes.", retryable=False)
            yield chunk


def _refuse_encoded(response: httpx.Response, url: str) -> None:
    """A small compressed answer can be a huge one: we ask for none and take none."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise EgressFailedError(f"{url} answered with the encoding {encoding!r}.", retryable=False)
