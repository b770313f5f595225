"""Three participants in one process: real connectors, real databases, a network that can be made to fail.

The public listeners are reached through the egress guard, the management
listeners directly. Nothing listens on a socket.
"""

import asyncio
import functools
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from connector import app as composition
from connector.adapters.did_identity import DidIdentity
from connector.adapters.egress import EgressClient
from connector.adapters.own_credentials import create_keys, load_credentials
from connector.app import Connector, build_connector
from connector.initialising import initialise
from connector.protocol.jobs import algorithm_digest
from connector.sandbox import query_program
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from connector.settings import read_settings

PORTS = {"rheinaue": 18081, "neckar": 18082, "lastwerk": 18083, "stranger": 18084}
ORIGINS = {name: f"http://localhost:{port}" for name, port in PORTS.items()}
POLICY = "https://w3id.org/allmende/policy/v1#"
FORECASTING = POLICY + "LoadForecasting"
MARKETING = "https://w3id.org/dpv#Marketing"
DATASETS = {
    "rheinaue": "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001",
    "neckar": "urn:uuid:aaaaaaaa-0000-4000-8000-000000000002",
}
SECTORS = {
    "rheinaue": {"household": 6, "heat_pump": 5, "charging_point": 3},
    "neckar": {"household": 5, "commerce": 7},
}
USES = 5
STATEMENT = (
    "SELECT sector, count(*) AS n, avg(load_kw) AS mean_kw FROM load_profiles GROUP BY sector ORDER BY sector"
)
JOB = {
    "main.py": (
        "import json, pathlib\n"
        "import pyarrow as pa, pyarrow.compute as pc\n"
        "with pa.memory_map('/in/load_profiles.arrow') as memory:\n"
        "    table = pa.ipc.open_file(memory).read_all()\n"
        # Numbered texts are the query engine's; a job would have to know of them.
        "    assert not any(pa.types.is_dictionary(field.type) for field in table.schema)\n"
        "    load = table['load_kw']\n"
        "    figures = {'mean': pc.mean(load).as_py(), 'rows': len(load)}\n"
        "pathlib.Path('/out/metrics.json').write_text(json.dumps(figures))\n"
    )
}
UNDECLARED_JOB = {
    "main.py": (
        "import pathlib\n"
        "pathlib.Path('/out/metrics.json').write_text('{\"mean\": 1.0}')\n"
        "pathlib.Path('/out/rows.csv').write_text('RH-household-0,0.5')\n"
    )
}
FAILING_JOB = {"main.py": "raise SystemExit('RH-household-0 is the first profile')\n"}
SLOW_JOB = {"main.py": "import time\ntime.sleep(1.2)\n" + JOB["main.py"]}
JOBS = (JOB, UNDECLARED_JOB, FAILING_JOB, SLOW_JOB)
METRICS = {"metrics.json": "metrics"}


class Fault(Enum):
    """What the network does to a message."""

    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"


@dataclass(frozen=True)
class Passed:
    """A request that was delivered, with its answer."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int
    answer: bytes

    @property
    def path(self) -> str:
        return httpx.URL(self.url).path


@dataclass
class Network:
    """Everything between the participants; remembers what passed."""

    apps: dict[str, ASGIApp] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    tamper: Callable[[httpx.Request, httpx.Response, bytes], httpx.Response] | None = None

    def lose(self, fault: Fault, ending: str, times: int = 1) -> None:
        """Lose the next requests whose path ends like this, or their answers."""
        self.faults.extend([(ending, fault)] * times)

    def transports(self) -> dict[str, httpx.AsyncBaseTransport]:
        return {origin: _Link(self, origin) for origin in ORIGINS.values()}

    def sent(self, ending: str) -> list[Passed]:
        """Requests that arrived at a path that ends like this."""
        return [one for one in self.passed if one.path.endswith(ending)]

    def fault(self, request: httpx.Request) -> Fault | None:
        for position, (ending, fault) in enumerate(self.faults):
            if request.url.path.endswith(ending):
                del self.faults[position]
                return fault
        return None


class _Link(httpx.AsyncBaseTransport):
    def __init__(self, network: Network, origin: str) -> None:
        self._network = network
        self._origin = origin

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        app = self._network.apps.get(self._origin)
        fault = self._network.fault(request)
        if app is None or fault is Fault.REQUEST_LOST:
            raise httpx.ConnectError(f"nobody listens at {self._origin}")
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        answer = await transport.handle_async_request(request)
        content = await answer.aread()
        if self._network.tamper is not None:
            answer = self._network.tamper(request, answer, content)
            content = answer.content
        self._network.passed.append(
            Passed(request.method, str(request.url), dict(request.headers), body, answer.status_code, content)
        )
        if fault is Fault.ANSWER_LOST:
            raise httpx.ReadError("the connection broke before the answer")
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Whole(content))


class _Whole(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


class Participant:
    """One participant: its directory, and its connector while it runs."""

    def __init__(self, name: str, directory: Path, network: Network) -> None:
        self.name = name
        self.directory = directory
        self.origin = ORIGINS[name]
        self.did = f"did:web:localhost%3A{PORTS[name]}"
        self.connector: Connector | None = None
        self._network = network
        self._running: AbstractAsyncContextManager[Connector] | None = None

    def initialise(self) -> None:
        initialise(
            self.directory,
            name=self.name.title(),
            public_url=self.origin,
            public=("127.0.0.1", PORTS[self.name]),
            management=("127.0.0.1", PORTS[self.name] + 10),
            unsafe_loopback_http=True,
        )

    async def start(self) -> None:
        settings = read_settings(self.directory / "allmende.toml")
        self._running = build_connector(settings, in_process=self._network.transports())
        self.connector = await self._running.__aenter__()
        self._network.apps[self.origin] = self.connector.public

    async def stop(self) -> None:
        if self.connector is None or self._running is None:
            return
        self._network.apps.pop(self.origin, None)
        self.connector.release_waiters()
        await self._running.__aexit__(None, None, None)
        self.connector = None

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    @property
    def running(self) -> Connector:
        assert self.connector is not None, f"{self.name} does not run"
        return self.connector

    def management(self, **options: Any) -> httpx.AsyncClient:
        """A client of the management listener, without a token unless one is given."""
        transport = httpx.ASGITransport(self.running.management, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", **options)

    def public(self, **options: Any) -> httpx.AsyncClient:
        """A client of the public listener."""
        transport = httpx.ASGITransport(self.running.public, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=self.origin, **options)

    async def answer(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the management API with the management token."""
        headers = {"authorization": f"Bearer {self.running.token}"}
        async with self.management(headers=headers, timeout=60) as client:
            return await client.request(method, path, json=body)

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the management API for something that it grants."""
        answer = await self.answer(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        is_json = answer.headers.get("content-type", "") == "application/json"
        return answer.json() if is_json else answer.content

    async def file(self, path: str) -> bytes:
        """A file from the management API, byte for byte."""
        answer = await self.answer("GET", path)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.content

    def state(self, *without: str) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the database but used tokens, which count requests and not what they changed."""
        left_out = {"used_tokens", "alembic_version", *without}
        connection = sqlite3.connect(self.directory / "allmende.sqlite")
        try:
            names = [
                row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            return {
                name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr)  # noqa: S608 - our names
                for name in names
                if name not in left_out
            }
        finally:
            connection.close()

    def rows(self, table: str) -> list[Any]:
        """The records of one table."""
        connection = sqlite3.connect(self.directory / "allmende.sqlite")
        try:
            return [json.loads(row[0]) for row in connection.execute(f"SELECT record FROM {table}")]  # noqa: S608 - our names
        finally:
            connection.close()


class Region:
    """Two providers, a consumer, and the network between them."""

    def __init__(self, directory: Path) -> None:
        self.network = Network()
        self.directory = directory
        self.rheinaue, self.neckar, self.lastwerk = (
            Participant(name, directory / name, self.network) for name in ("rheinaue", "neckar", "lastwerk")
        )

    @property
    def participants(self) -> tuple[Participant, ...]:
        return self.rheinaue, self.neckar, self.lastwerk

    # steps that many tests share

    async def publish(self, provider: Participant, **changes: Any) -> str:
        answer = await provider.call("POST", "/api/datasets", publication(provider, **changes))
        return str(answer["identifier"])

    async def read_catalog(self, provider: Participant) -> Any:
        return await self.lastwerk.call("POST", "/api/catalogs", {"provider": provider.did})

    async def request(self, provider: Participant, **changes: Any) -> str:
        """Ask for a contract; returns the consumer's pid."""
        body = {"dataset": DATASETS[provider.name], "purpose": FORECASTING} | changes
        return str((await self.lastwerk.call("POST", "/api/negotiations", body))["pid"])

    async def negotiate(self, provider: Participant, **changes: Any) -> Any:
        """Ask for a contract, and wait until the negotiation rests on the consumer's side."""
        return await self.outcome(await self.request(provider, **changes))

    async def outcome(self, pid: str, participant: Participant | None = None) -> Any:
        return await (participant or self.lastwerk).call("GET", f"/api/negotiations/{pid}?wait=15")

    async def agreement_with(self, provider: Participant) -> str:
        agreements = await self.lastwerk.call("GET", "/api/agreements")
        return next(str(one["identifier"]) for one in agreements if one["provider"] == provider.did)

    async def commission(self, provider: Participant, files: Mapping[str, str] = JOB, **changes: Any) -> Any:
        body = {
            "agreement_id": await self.agreement_with(provider),
            "files": dict(files),
            "outputs": METRICS,
        } | changes
        answer = await self.lastwerk.call("POST", "/api/computations", body)
        return await self.lastwerk.call("GET", f"/api/computations/{segment(answer['identifier'])}?wait=40")

    async def ledger(self, participant: Participant) -> Any:
        return await participant.call("GET", "/api/ledger")


def segment(identifier: str) -> str:
    return quote(identifier, safe=":")


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that happens by itself."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not holds():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def at_rest(*participants: Participant) -> None:
    """Wait until nothing is on its way any more: no message waits, and no record changes by itself."""
    for _ in range(100):
        before = [participant.state() for participant in participants]
        await asyncio.sleep(0.15)
        after = [participant.state() for participant in participants]
        if before == after and not any(state["outbox"] for state in after):
            return
    raise AssertionError("the participants did not come to rest")


# data and offers


def write_data(path: Path, name: str) -> None:
    """Hourly values of one day per profile; the loads are multiples of a quarter, so sums are exact."""
    rows = [
        (f"{name[:2].upper()}-{sector}-{number}", sector, hour, 0.25 * (number + 1))
        for sector, count in SECTORS[name].items()
        for number in range(count)
        for hour in range(24)
    ]
    start = datetime(2016, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "profile": pa.array([row[0] for row in rows], pa.string()),
            "sector": pa.array([row[1] for row in rows], pa.string()),
            "ts": pa.array([start + timedelta(hours=row[2]) for row in rows], pa.timestamp("us", "UTC")),
            "load_kw": pa.array([row[3] for row in rows], pa.float32()),
        }
    )
    pyarrow.parquet.write_table(table, path)


def mean_kw(name: str, sector: str) -> float:
    """What the data above say, by hand: the mean of 0.25, 0.5, 0.75, …"""
    return 0.25 * (SECTORS[name][sector] + 1) / 2


def constraint(left: str, operator: str, right: Any) -> dict[str, Any]:
    return {"leftOperand": left, "operator": operator, "rightOperand": right}


def offer(
    *,
    uses: int = USES,
    purpose: str = FORECASTING,
    review: str = "auto",
    kinds: tuple[str, ...] = ("metrics",),
    minimum_units: int = 5,
) -> dict[str, Any]:
    """An offer as a steward writes it: aggregates, and the jobs above."""
    common = [
        constraint("purpose", "isA", purpose),
        constraint("dateTime", "gteq", "2020-01-01T00:00:00Z"),
        constraint("dateTime", "lteq", "2099-12-31T23:59:59Z"),
        constraint("count", "lteq", str(uses)),
    ]
    return {
        "@type": "Offer",
        "profile": ["https://w3id.org/allmende/policy/v1"],
        "permission": [
            {
                "action": POLICY + "query",
                "constraint": [
                    *common,
                    constraint(POLICY + "queryClass", "eq", "aggregate"),
                    constraint(POLICY + "groupUnit", "eq", "profile"),
                    constraint(POLICY + "minGroupSize", "gteq", str(minimum_units)),
                    constraint(POLICY + "minGroupRows", "gteq", "10"),
                ],
            },
            {
                "action": POLICY + "compute",
                "constraint": [
                    *common,
                    constraint(
                        POLICY + "algorithmDigest", "isAnyOf", [algorithm_digest(files) for files in JOBS]
                    ),
                    constraint(POLICY + "allowedColumn", "isAnyOf", ["sector", "ts", "load_kw"]),
                    constraint(POLICY + "outputKind", "isAnyOf", list(kinds)),
                    constraint(POLICY + "outputReview", "eq", review),
                ],
            },
        ],
        "prohibition": [{"action": "reproduce"}],
    }


def publication(provider: Participant, **changes: Any) -> dict[str, Any]:
    path = provider.directory / "load_profiles.parquet"
    if not path.exists():
        write_data(path, provider.name)
    columns = (
        ("profile", "string", "unit", {}),
        ("sector", "string", "dimension", {}),
        ("ts", "timestamp[us, tz=UTC]", "time", {}),
        ("load_kw", "float", "measure", {"unit": "kW", "step": 0.05}),
    )
    both = {"de": "Lastprofile", "en": "Load profiles"}
    return {
        "identifier": DATASETS[provider.name],
        "table": "load_profiles",
        "file": str(path),
        "title": both,
        "description": both,
        "license": "http://opendatacommons.org/licenses/odbl/1.0/",
        "source_note": both,
        "columns": [
            {"name": name, "data_type": kind, "role": role, "description": both, **more}
            for name, kind, role, more in columns
        ],
        "offer": offer(),
    } | changes


# speaking in somebody's name


class _Forgetful:
    """Nobody sends tokens to a voice."""

    async def remember(self, token: str, expires: datetime) -> bool:
        raise AssertionError(f"a voice was sent the token {token} that expires {expires}")


class Voice:
    """Says anything to a participant's public listener, in the name of whoever owns the key.

    Args:
        did: Whose name.
        key: That participant's token key.
    """

    def __init__(self, did: str, key: Ed25519PrivateKey) -> None:
        self.did = did
        self._identity = DidIdentity(
            did=did,
            token_key=key,
            egress=EgressClient(),
            clock=lambda: datetime.now(UTC),
            used_tokens=_Forgetful(),
        )

    async def token(self, to: Participant) -> str:
        return await self._identity.authorization(to.did)

    async def say(
        self,
        to: Participant,
        path: str,
        message: Any = None,
        *,
        method: str = "POST",
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a DSP message; `content` takes precedence over `message`."""
        body = content if content is not None or message is None else json.dumps(message).encode()
        standard = {"authorization": await self.token(to), "content-type": "application/json"}
        async with to.public() as client:
            return await client.request(
                method, f"/dsp/2025-1{path}", content=body, headers={**standard, **(headers or {})}
            )


class Stranger(Voice):
    """Somebody with a DID and keys of its own, whom nobody has a contract with."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.origin = ORIGINS["stranger"]
        create_keys(directory)
        did = f"did:web:localhost%3A{PORTS['stranger']}"
        self.credentials = load_credentials(directory, did=did, base_url=self.origin + "/dsp/2025-1")
        super().__init__(did, self.credentials.tokens_key)
        self.document: dict[str, Any] = dict(self.credentials.document.content)
        self.called: list[str] = []
        network.apps[self.origin] = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.append(scope["path"])
        found = scope["path"] == "/.well-known/did.json"
        await JSONResponse(self.document if found else {}, 200 if found else 404)(scope, receive, send)


def leaks_nothing(answer: httpx.Response, region: "Region") -> None:
    """Nothing in an answer that only the attacked participant's own people may know."""
    seen = answer.text + repr(answer.headers.raw)
    running_ones = [participant for participant in region.participants if participant.connector]
    for secret in (
        *(participant.running.token for participant in running_ones),
        str(region.directory),
        "Traceback",
        "sqlite",
        ".parquet",
        "site-packages",
        "connector/",
        "PRIVATE KEY",
        "RH-household",
    ):
        assert secret not in seen, f"the answer tells {secret!r}: {seen}"


def voice_of(participant: Participant) -> Voice:
    """A participant that breaks the rules itself."""
    key = load_credentials(participant.directory, did=participant.did, base_url=participant.origin).tokens_key
    return Voice(participant.did, key)


def dsp(kind: str, **members: Any) -> dict[str, Any]:
    """A message of the Dataspace Protocol, typed as the specification has it."""
    return {"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": kind, **members}


# making regions


@functools.cache
def proven_sandbox() -> Sandbox:
    """One sandbox for all connectors of a test run: it is proven once."""
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


class QueriesHere:
    """A query engine without a process of its own; implements `connector.ports.QueryEngine`.

    It runs what the sandboxed child runs, so that tests that are not about the
    sandbox need not wait for one.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self.tier = sandbox.tier

    async def start(self) -> None:
        return None

    async def aclose(self) -> None:
        return None

    async def run(self, statement: str, *, table: str, projection: Path, timeout_seconds: float) -> pa.Table:
        return await asyncio.to_thread(self._run, statement, table, projection, timeout_seconds)

    def _run(self, statement: str, table: str, projection: Path, seconds: float) -> pa.Table:
        engine = query_program.prepare(threads=1, memory_mebibytes=256)
        try:
            held = pa.ipc.open_file(str(projection)).read_all()
            engine.register(table, query_program.with_numbers(held))
            query_program.lock(engine, seconds)
            return query_program.run(engine, statement)
        finally:
            engine.close()


@asynccontextmanager
async def running(
    region: Region, *participants: Participant, sandboxed_queries: bool = False
) -> AsyncIterator[Region]:
    """Run a region, or only some of its participants; the sandbox is proven once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition.Sandbox, "probe", proven_sandbox)
        if not sandboxed_queries:
            patch.setattr(composition, "DuckdbQueries", QueriesHere)
        try:
            for participant in participants or region.participants:
                await participant.start()
            yield region
        finally:
            for participant in region.participants:
                await participant.stop()


async def _prepare(directory: Path) -> None:
    """Initialise a region, publish its datasets and agree on both contracts, keeping a copy of each stage."""
    region = Region(directory / "published")
    proven_sandbox()
    for participant in region.participants:
        participant.initialise()
    async with running(region):
        for provider in (region.rheinaue, region.neckar):
            await region.publish(provider)
            await region.read_catalog(provider)
    shutil.copytree(region.directory, directory / "agreed")
    region = Region(directory / "agreed")
    async with running(region):
        for provider in (region.rheinaue, region.neckar):
            outcome = await region.negotiate(provider)
            assert outcome["state"] == "FINALIZED", outcome


@functools.cache
def stages(directory: Path) -> Path:
    """Directories `published` and `agreed`, made once per test run; `directory` is where."""
    with ThreadPoolExecutor(1) as own_thread:
        own_thread.submit(asyncio.run, _prepare(directory)).result()
    return directory


def copied(stage: Path, target: Path) -> Region:
    """A region of its own, as it stood at a stage."""
    shutil.copytree(stage, target)
    return Region(target)
