"""The management listener without the right to it, and the public one asked for what only the other has."""

import itertools
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from tests.region.participants import DATASETS, Participant, Region, leaks_nothing, until

PAGES = ("/", "/angebote", "/anfragen", "/vertraege", "/abfragen", "/rechnen", "/datenfluss")
UNKNOWN = "urn:uuid:dddddddd-0000-4000-8000-000000000000"


def routes(participant: Participant) -> list[tuple[str, str]]:
    """Every method and path of the management listener, with something in place of each parameter."""
    app: Any = participant.running.management
    while hasattr(app, "_app"):
        app = app._app
    routers = [route.original_router for route in app.routes if hasattr(route, "original_router")]
    found = [
        (method, re.sub(r"\{[^}]*\}", UNKNOWN, route.path))
        for route in itertools.chain(app.routes, *(router.routes for router in routers))
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]
    assert {("GET", page) for page in PAGES} <= set(found)
    assert len(found) > 30
    return found


def guarded(participant: Participant) -> list[tuple[str, str]]:
    is_open = {"/healthz", "/readyz"}
    return [one for one in routes(participant) if one[1] not in is_open and not one[1].startswith("/static/")]


@pytest.fixture
async def provider(contracted: Region) -> Participant:
    return contracted.rheinaue


@pytest.fixture
async def held(published: Region) -> tuple[Participant, str]:
    """A provider with a negotiation that waits for a person; and the negotiation's pid."""
    await published.publish(published.rheinaue, approval="manual")
    await published.request(published.rheinaue)
    await until(lambda: any(record["held"] for record in published.rheinaue.rows("negotiations")))
    await until(lambda: published.lastwerk.rows("outbox") == [])
    return published.rheinaue, str(published.rheinaue.rows("negotiations")[0]["pid"])


@asynccontextmanager
async def logged_in(participant: Participant) -> AsyncIterator[httpx.AsyncClient]:
    """A steward's browser, with the cookie that the login link gave it."""
    async with participant.management() as client:
        answer = await client.get("/", params={"token": participant.running.token})
        assert answer.status_code == 303
        assert len(client.cookies) == 1
        yield client


# without the token


async def test_no_route_answers_without_a_token(contracted: Region) -> None:
    provider = contracted.rheinaue
    before = provider.state()
    async with provider.management() as client:
        for method, path in guarded(provider):
            answer = await client.request(method, path, json={})
            assert answer.status_code == 401, f"{method} {path}: {answer.text}"
            leaks_nothing(answer, contracted)
            assert DATASETS["rheinaue"] not in answer.text
    assert provider.state() == before


async def test_a_wrong_token_is_worth_as_much_as_none(contracted: Region) -> None:
    provider = contracted.rheinaue
    right = provider.running.token
    before = provider.state()
    wrong = (
        "Bearer x",
        "Bearer ",
        f"Bearer {right[:-1]}",
        f"Bearer {right}x",
        f"Bearer {right.swapcase()}",
        f"Basic {right}",
        right,
        f"Bearer {contracted.lastwerk.running.token}",
        "Bearer \xff\xfe",
    )
    async with provider.management() as client:
        bare = await client.get("/api/ledger")
        for header in wrong:
            answer = await client.get("/api/ledger", headers={"authorization": header.encode("latin-1")})
            assert answer.status_code == 401, header
            assert answer.content == bare.content
            leaks_nothing(answer, contracted)
    assert provider.state() == before


async def test_a_token_in_the_address_of_a_change_is_not_looked_at(contracted: Region) -> None:
    provider = contracted.rheinaue
    before = provider.state()
    async with provider.management() as client:
        for method in ("POST", "DELETE", "PUT", "PATCH"):
            answer = await client.request(
                method, f"/api/datasets/{DATASETS['rheinaue']}", params={"token": provider.running.token}
            )
            assert answer.status_code == 401, method
    assert provider.state() == before


async def test_tricks_with_the_path_do_not_get_past_the_guard(contracted: Region) -> None:
    provider = contracted.rheinaue
    async with provider.management() as client:
        for path in (
            "/static/../api/ledger",
            "/static/%2e%2e/api/ledger",
            "/static/..%2fapi/ledger",
            "/static//api/ledger",
            "/healthz/../api/ledger",
            "/healthz/",
            "/HEALTHZ",
            "//api/ledger",
            "/api/ledger/",
            "/api//ledger",
            "/api/ledger%00",
            "/static/%2e%2e/%2e%2e/%2e%2e/allmende.toml",
            "/openapi.json",
            "/docs",
        ):
            answer = await client.get(httpx.URL("http://127.0.0.1:8080").copy_with(raw_path=path.encode()))
            assert answer.status_code in {401, 404}, f"{path}: {answer.status_code} {answer.text}"
            leaks_nothing(answer, contracted)
            assert "entries" not in answer.text


# the login link and the cookie


async def test_a_login_link_with_a_wrong_token_gives_no_cookie(contracted: Region) -> None:
    async with contracted.rheinaue.management() as client:
        for token in ("", "x", "wrong" * 20, "\x00", "ä", contracted.lastwerk.running.token):
            answer = await client.get("/", params={"token": token})
            assert answer.status_code in {303, 401}
            assert "set-cookie" not in answer.headers
            leaks_nothing(answer, contracted)
        assert (await client.get("/")).status_code == 401


async def test_the_login_leaves_the_token_neither_in_the_address_nor_in_the_cookie(
    provider: Participant,
) -> None:
    async with provider.management() as client:
        answer = await client.get("/anfragen", params={"token": provider.running.token})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/anfragen"
    cookie = answer.headers["set-cookie"]
    assert provider.running.token not in cookie
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()


async def test_the_login_link_sends_nobody_to_another_host(provider: Participant) -> None:
    paths = (
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "//evil.example%2f..",
        "/%2f%2fevil.example",
    )
    async with provider.management() as client:
        for path, token in itertools.product(paths, (provider.running.token, "x")):
            raw = f"{path}?token={token}".encode()
            answer = await client.get(httpx.URL("http://127.0.0.1:8080").copy_with(raw_path=raw))

            location = answer.headers.get("location", "/")
            assert re.match(r"/(?![/\\])", location), location


async def test_a_cookie_that_nobody_gave_opens_nothing(provider: Participant) -> None:
    async with logged_in(provider) as genuine:
        ((name, value),) = genuine.cookies.items()
    for offered in (value[:-1], value.upper(), provider.running.token, "", "0" * len(value)):
        async with provider.management(headers={"cookie": f"{name}={offered}"}) as client:
            assert (await client.get("/")).status_code == 401, offered
            assert (await client.get("/api/ledger")).status_code == 401


async def test_another_site_cannot_use_the_stewards_cookie(held: tuple[Participant, str]) -> None:
    provider, pid = held
    origins = (
        "https://evil.example",
        "http://127.0.0.1:8081",
        "http://127.0.0.1",
        "null",
        "http://127.0.0.1:8080.evil.example",
    )
    requests: tuple[tuple[str, str, Any], ...] = (
        ("POST", f"/api/negotiations/{pid}/accept", None),
        ("POST", f"/api/negotiations/{pid}/reject", {"reason": "x"}),
        ("POST", "/api/datasets", {}),
        ("POST", f"/anfragen/{pid}/annehmen", None),
        ("DELETE", f"/api/datasets/{DATASETS['rheinaue']}", None),
    )
    before = provider.state()
    async with logged_in(provider) as client:
        for origin, (method, path, body) in itertools.product(origins, requests):
            answer = await client.request(method, path, json=body, headers={"origin": origin})
            assert answer.status_code == 401, f"{origin} {path}"
    assert provider.state() == before


# forms


async def test_a_form_without_its_token_decides_nothing(held: tuple[Participant, str]) -> None:
    provider, pid = held
    before = provider.state()
    async with logged_in(provider) as client:
        page = (await client.get(f"/anfragen/{pid}", headers={"accept": "text/html"})).text
        genuine = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
        assert genuine is not None
        for forged in (None, "", "x", genuine[1][:-1], genuine[1].upper(), "0" * 64, provider.running.token):
            fields = {"reason": "x"} if forged is None else {"reason": "x", "csrf": forged}
            for decision in ("annehmen", "ablehnen"):
                answer = await client.post(f"/anfragen/{pid}/{decision}", data=fields)
                assert answer.status_code == 403, decision
                assert provider.running.token not in answer.text
        assert provider.state() == before
        answer = await client.post(f"/anfragen/{pid}/annehmen", data={"csrf": genuine[1]})
        assert answer.status_code == 303, "the genuine one decides"
    await until(lambda: provider.rows("negotiations")[0]["state"] == "FINALIZED")


async def test_a_form_token_of_one_participant_is_worth_nothing_at_another(
    held: tuple[Participant, str], published: Region
) -> None:
    provider, pid = held
    async with logged_in(published.lastwerk) as elsewhere:
        page = (await elsewhere.get("/anfragen", headers={"accept": "text/html"})).text
        other = (await elsewhere.get(f"/anfragen/{published.lastwerk.rows('negotiations')[0]['pid']}")).text
    tokens = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page + other)
    before = provider.state()

    async with logged_in(provider) as client:
        for token in [*tokens, "0" * 64]:
            answer = await client.post(f"/anfragen/{pid}/annehmen", data={"csrf": token})
            assert answer.status_code == 403
    assert provider.state() == before


async def test_a_page_shows_what_others_wrote_as_text(published: Region) -> None:
    """A counterparty chooses its purpose and its pids; they come to the steward's pages as they are."""
    await published.publish(published.rheinaue, approval="manual")
    attack = "https://example.org/<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    pid = await published.request(published.rheinaue, purpose=attack)
    await published.outcome(pid)

    async with logged_in(published.rheinaue) as client:
        for page in PAGES:
            answer = await client.get(page, headers={"accept": "text/html"})
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text
            assert "<img src=x" not in answer.text
            assert (
                "script-src" in answer.headers["content-security-policy"]
                or "default-src" in (answer.headers["content-security-policy"])
            )


# bodies


async def test_malformed_bodies_are_refused_without_words_from_inside(contracted: Region) -> None:
    provider = contracted.rheinaue
    before = provider.state()
    headers = {"authorization": f"Bearer {provider.running.token}", "content-type": "application/json"}
    bodies = (b"", b"{", b"[]", b"null", b'"x"', b"{}", b"[" * 5000, b'{"a": NaN}', b"\xff\xfe")
    async with provider.management(headers=headers) as client:
        for path in (
            "/api/datasets",
            "/api/catalogs",
            "/api/negotiations",
            "/api/queries",
            "/api/computations",
        ):
            for body in bodies:
                answer = await client.post(path, content=body)
                assert answer.status_code in {400, 422}, f"{path} {body[:20]!r}: {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json"
                leaks_nothing(answer, contracted)
                assert len(answer.content) < 2000
    assert provider.state() == before


# health


async def test_health_without_a_token_tells_that_and_no_more(contracted: Region) -> None:
    async with contracted.rheinaue.management() as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_a_broken_database_is_not_ready_and_its_words_stay_inside(contracted: Region) -> None:
    provider = contracted.rheinaue
    connection = sqlite3.connect(provider.directory / "allmende.sqlite")
    connection.execute("DROP TABLE ledger")
    connection.close()

    async with provider.management() as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
    token = {"authorization": f"Bearer {provider.running.token}"}
    async with provider.management(headers=token) as client:
        books = await client.get("/api/ledger")

    assert alive.status_code == 200
    assert ready.status_code == 503
    assert books.status_code == 500
    for answer in (ready, books):
        leaks_nothing(answer, contracted)
        assert "ledger" not in answer.text
        assert "no such table" not in answer.text


# the public listener


async def test_the_public_listener_has_no_route_of_the_management_listener(contracted: Region) -> None:
    provider = contracted.rheinaue
    before = provider.state()
    token = {"authorization": f"Bearer {provider.running.token}"}
    async with provider.public(headers=token) as client:
        for method, path in guarded(provider):
            answer = await client.request(method, path, json={})
            assert answer.status_code in {404, 405}, f"{method} {path}: {answer.status_code}"
            leaks_nothing(answer, contracted)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status_code == 404
        login = await client.get("/", params={"token": provider.running.token})
        assert "set-cookie" not in login.headers
    assert provider.state() == before


async def test_the_public_listener_describes_itself_without_the_management_routes(
    contracted: Region,
) -> None:
    async with contracted.rheinaue.public() as client:
        answer = await client.get("/openapi.json")

    leaks_nothing(answer, contracted)
    if answer.status_code == 200:
        paths = json.dumps(list(answer.json()["paths"]))
        assert "/api/" not in paths
        assert "/anfragen" not in paths


async def test_a_body_that_is_too_long_is_refused_on_both_listeners(contracted: Region) -> None:
    provider = contracted.rheinaue
    before = provider.state()
    token = {"authorization": f"Bearer {provider.running.token}"}
    async with provider.public() as public, provider.management(headers=token) as management:
        answers = (
            await public.post("/data/queries", content=b" " * 4_100_000),
            await management.post("/api/datasets", content=b" " * 16_100_000),
        )
    for answer in answers:
        assert answer.status_code == 413
        leaks_nothing(answer, contracted)
    assert provider.state() == before
