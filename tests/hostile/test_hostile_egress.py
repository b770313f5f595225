"""Addresses chosen by an attacker: what the guard lets out, and what comes back in."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from connector.adapters.egress import (
    EgressClient,
    EgressFailedError,
    EgressRefusedError,
    is_loopback,
    is_public,
)

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]

INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "192.88.99.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "100::1",
    "5f00::1",
]
OUTSIDE = ["9.9.9.9", "192.0.1.1", "2620:fe::9", "::ffff:9.9.9.9", "64:ff9b::909:909", "2002:909:909::1"]


class Server:
    """An HTTP server of the attacker's: it records what it is sent and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(request)
                await self.answer(request, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def running(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def fixed(head: str, body: bytes = b"") -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


OK = fixed("200 OK", b"hello")


class Names:
    """A name service of the attacker's: each question may be answered differently."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = answers
        self.questions = 0

    async def __call__(self, _host: str, _port: int) -> list[str]:
        self.questions += 1
        return self.answers[min(self.questions, len(self.answers)) - 1]


async def reason(client: EgressClient, url: str) -> str:
    with pytest.raises(EgressRefusedError) as caught:
        await client.request("GET", url)
    return str(caught.value)


@pytest.mark.parametrize("address", INSIDE)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_embedded_address_is_never_more_public_than_the_one_it_stands_for(
    inner: ipaddress.IPv4Address,
) -> None:
    number = int(inner)
    for outer in (0xFFFF << 32 | number, 0x64_FF9B << 96 | number, 0x2002 << 112 | number << 80):
        address = ipaddress.IPv6Address(outer)
        assert is_public(address) == is_public(inner)
        assert is_loopback(address) == is_loopback(inner)


@pytest.mark.parametrize("address", INSIDE)
async def test_a_name_that_leads_inside_is_not_called(address: str) -> None:
    async with EgressClient(resolve=Names([address])) as client:
        assert "not a permitted one" in await reason(client, "https://peer.example/callback")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::1]/",
        "https://[::ffff:169.254.169.254]/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://localhost/",
    ],
)
async def test_an_address_inside_is_not_called_however_it_is_spelled(url: str) -> None:
    async with EgressClient() as client:
        assert "not a permitted one" in await reason(client, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://peer.example/",
        "file:///etc/passwd",
        "ftp://peer.example/",
        "gopher://peer.example/",
        "//peer.example/",
        "peer.example",
        "",
        "https://",
        "https:///path",
        "https://user:secret@peer.example/",
        "https://peer.example@127.0.0.1/",
        "https://peer.example:99999/",
        "https://peer.example:-1/",
        "https://peer.example/\r\nHost: evil",
    ],
)
async def test_only_plain_https_addresses_are_called(url: str) -> None:
    names = Names(["9.9.9.9"])
    async with EgressClient(resolve=names) as client:
        await reason(client, url)
    assert names.questions == 0


@pytest.mark.parametrize("address", INSIDE)
async def test_an_address_in_numbers_is_judged_before_it_is_called(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    async with EgressClient() as client:
        with pytest.raises(EgressRefusedError, match="not a permitted one"):
            client.require_callable(f"https://{host}/callback")


async def test_what_is_judged_before_it_is_called_asks_for_no_name() -> None:
    names = Names(["9.9.9.9"])
    async with EgressClient(resolve=names) as client:
        client.require_callable("https://peer.example/callback")
        client.require_callable("https://9.9.9.9/callback")
        for url in ("http://peer.example/", "file:///etc/passwd", "https://user@peer.example/", ""):
            with pytest.raises(EgressRefusedError):
                client.require_callable(url)
    async with EgressClient(resolve=names, allow_loopback_http=True) as client:
        client.require_callable("http://localhost:8083/")
        client.require_callable("http://127.0.0.1:8083/")
        for url in ("http://9.9.9.9/", "http://169.254.169.254/", "https://10.0.0.1/"):
            with pytest.raises(EgressRefusedError):
                client.require_callable(url)
    assert names.questions == 0


async def test_a_name_that_is_no_name_is_not_called() -> None:
    async with EgressClient() as client:
        await reason(client, f"https://{'a' * 70}.example/")


async def test_one_address_inside_condemns_a_name_with_others_outside() -> None:
    async with EgressClient(resolve=Names(["9.9.9.9", "10.0.0.1"])) as client:
        assert "10.0.0.1" in await reason(client, "https://peer.example/")


async def test_a_local_name_is_not_called_unless_loopback_is_allowed() -> None:
    async with running(OK) as server:
        async with EgressClient(resolve=Names(["127.0.0.1"])) as client:
            await reason(client, f"https://peer.example:{server.port}/")
        assert server.connections == 0


async def test_with_loopback_allowed_http_still_goes_to_this_machine_only() -> None:
    async with EgressClient(allow_loopback_http=True, resolve=Names(["9.9.9.9"])) as client:
        assert "9.9.9.9" in await reason(client, "http://peer.example/")
    async with EgressClient(allow_loopback_http=True, resolve=Names(["169.254.169.254"])) as client:
        assert "169.254.169.254" in await reason(client, "https://peer.example/")


async def test_with_loopback_allowed_this_machine_is_called() -> None:
    async with running(OK) as server, EgressClient(allow_loopback_http=True) as client:
        answer = await client.request("POST", f"http://localhost:{server.port}/x?y=1", content=b"")
        assert (answer.status, answer.content) == (200, b"hello")
        assert server.requests[0].startswith(b"POST /x?y=1 HTTP/1.1\r\n")
        assert f"host: localhost:{server.port}".encode() in server.requests[0].lower()


async def test_a_name_is_asked_for_once_per_connection_so_that_it_cannot_change_its_answer() -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with running(OK) as server, EgressClient(allow_loopback_http=True, resolve=names) as client:
        for _ in range(3):
            await client.request("GET", f"http://rebinding.example:{server.port}/")
        assert (names.questions, server.connections, len(server.requests)) == (1, 1, 3)


async def test_a_name_that_changes_its_answer_is_checked_again_on_a_new_connection() -> None:
    async def closing(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")

    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with running(closing) as server, EgressClient(allow_loopback_http=True, resolve=names) as client:
        url = f"http://rebinding.example:{server.port}/"
        assert (await client.request("GET", url)).status == 200
        assert "169.254.169.254" in await reason(client, url)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_handed_back_and_not_followed(status: int) -> None:
    async with running(OK) as inside, EgressClient(allow_loopback_http=True) as client:
        location = f"http://127.0.0.1:{inside.port}/secret"
        async with running(fixed(f"{status} Moved\r\nLocation: {location}")) as server:
            answer = await client.request("GET", f"http://localhost:{server.port}/")
        assert answer.status == status
        assert inside.connections == 0


async def test_a_long_answer_is_cut_off_while_it_arrives() -> None:
    sent = 0

    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            await writer.drain()
            sent += 65_536

    async with running(endless) as server, EgressClient(allow_loopback_http=True) as client:
        with pytest.raises(EgressFailedError, match="more than 100000 bytes") as caught:
            await client.request("GET", f"http://localhost:{server.port}/", max_bytes=100_000)
    assert not caught.value.retryable
    assert sent < 20_000_000


async def test_a_compressed_answer_is_refused_unread() -> None:
    async with running(fixed("200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b")) as server:
        async with EgressClient(allow_loopback_http=True) as client:
            with pytest.raises(EgressFailedError, match="gzip"):
                await client.request("GET", f"http://localhost:{server.port}/")
        assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_a_dripping_answer_ends_with_the_whole_time_not_with_each_wait() -> None:
    async def dripping(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with running(dripping) as server, EgressClient(allow_loopback_http=True) as client:
        began = asyncio.get_running_loop().time()
        with pytest.raises(EgressFailedError, match="did not answer completely") as caught:
            await client.request("GET", f"http://localhost:{server.port}/", timeout=timedelta(seconds=0.3))
        assert caught.value.retryable
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_a_broken_answer_is_a_failure_that_may_pass(answer: bytes) -> None:
    async def broken(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with running(broken) as server, EgressClient(allow_loopback_http=True) as client:
        with pytest.raises(EgressFailedError) as caught:
            await client.request("GET", f"http://localhost:{server.port}/")
        assert caught.value.retryable


async def test_nobody_listening_and_no_such_name_are_failures_that_may_pass() -> None:
    async def unknown(host: str, _port: int) -> list[str]:
        raise OSError(f"{host} is unknown")

    async with running(OK) as server:
        port = server.port
    async with EgressClient(allow_loopback_http=True) as client:
        with pytest.raises(EgressFailedError) as caught:
            await client.request("GET", f"http://127.0.0.1:{port}/")
        assert caught.value.retryable
    for resolve in (unknown, Names([])):
        async with EgressClient(resolve=resolve) as client:
            with pytest.raises(EgressFailedError) as caught:
                await client.request("GET", "https://peer.example/")
            assert caught.value.retryable


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(OK) as proxy, running(OK) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with EgressClient(allow_loopback_http=True) as client:
            await client.request("GET", f"http://localhost:{server.port}/")
        assert (proxy.connections, server.connections) == (0, 1)


async def test_cookies_are_not_kept() -> None:
    async with running(fixed("200 OK\r\nSet-Cookie: follow=me")) as server:
        async with EgressClient(allow_loopback_http=True) as client:
            for _ in range(2):
                await client.request("GET", f"http://localhost:{server.port}/")
        assert len(server.requests) == 2
        assert b"follow" not in server.requests[1]


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with running(OK) as server, EgressClient(allow_loopback_http=True, resolve=names) as client:
        assert (await client.request("GET", f"http://peer.example:{server.port}/")).status == 200


async def test_a_stream_hands_out_pieces_and_can_be_left_early() -> None:
    async def pieces(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Kind: Stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(1000):
            writer.write(b"4\r\n%04d\r\n" % number)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with running(pieces) as server, EgressClient(allow_loopback_http=True) as client:
        url = f"http://localhost:{server.port}/"
        async with client.stream("GET", url) as streamed:
            assert (streamed.status, streamed.headers["x-kind"]) == (200, "Stream")
            assert b"".join([chunk async for chunk in streamed.chunks]).startswith(b"000000010002")
        async with client.stream("GET", url) as streamed:
            assert (await anext(streamed.chunks)).startswith(b"0000")
        assert (await client.request("GET", url)).status == 200


def certificate(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for one name, and a client's that trusts it."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certified = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    file = folder / "server.pem"
    pem = certified.public_bytes(Encoding.PEM)
    file.write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cadata=pem.decode())


async def test_the_certificate_is_checked_against_the_name_not_the_address(tmp_path: Path) -> None:
    serving, trusting = certificate("peer.example", tmp_path)
    asked_for: list[str | None] = []
    serving.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    async with (
        running(OK, serving) as server,
        EgressClient(allow_loopback_http=True, resolve=Names(["127.0.0.1"]), ssl_context=trusting) as client,
    ):
        answer = await client.request("GET", f"https://peer.example:{server.port}/")
        assert answer.content == b"hello"
        assert asked_for == ["peer.example"]
        assert f"host: peer.example:{server.port}".encode() in server.requests[0].lower()
        with pytest.raises(EgressFailedError, match=r"(?i)certificate"):
            await client.request("GET", f"https://evil.example:{server.port}/")
        assert len(server.requests) == 1


async def test_an_unknown_authority_is_not_trusted(tmp_path: Path) -> None:
    serving, _ = certificate("peer.example", tmp_path)
    names = Names(["127.0.0.1"])
    async with (
        running(OK, serving) as server,
        EgressClient(allow_loopback_http=True, resolve=names) as client,
    ):
        with pytest.raises(EgressFailedError, match=r"(?i)certificate"):
            await client.request("GET", f"https://peer.example:{server.port}/")
        assert server.requests == []
