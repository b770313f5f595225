"""The composition root: one participant's connector, put together. Only this module knows all the others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from catalog.model import Catalog
from catalog.pages import Page, PreparedCatalog
from catalog.selection import Selection
from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.asyncio_changes import AsyncioChanges
from connector.adapters.consent_files import ConsentFiles
from connector.adapters.dcp_signer import DcpSigner
from connector.adapters.dcp_verifier import DcpVerifier
from connector.adapters.did_identity import DidIdentity
from connector.adapters.duckdb_queries import DuckdbQueries
from connector.adapters.egress import NO_TRANSPORTS, EgressClient, Transports
from connector.adapters.http_peers import HttpPeers
from connector.adapters.local_files import MOST_RECEIVED_BYTES, LocalFiles, LocalReceivedFiles
from connector.adapters.management_token import read_management_token
from connector.adapters.mask_keys import mask_secret
from connector.adapters.mock_tokens import MockToken, MockTokens
from connector.adapters.no_sandbox import NoCompute, NoQueries
from connector.adapters.opendp_noise import OpendpNoise
from connector.adapters.own_credentials import CREDENTIALS_PATH, OwnCredentials, load_credentials
from connector.adapters.sandbox_compute import SandboxCompute
from connector.adapters.sql_store import SqlStore
from connector.adapters.static_tokens import StaticToken, StaticTokens
from connector.adapters.system_clock import RandomIdentifiers, SystemClock
from connector.evidence.did import did_of
from connector.evidence.ledger import leaf_hash
from connector.http.authentication import ManagementGuard, SessionTokens, SizeLimit
from connector.http.catalog import catalog_router
from connector.http.credentials import credentials_router, management_credentials_router
from connector.http.data_plane import PREFIX as DATA_PREFIX
from connector.http.data_plane import DataPlaneServices, data_plane_router
from connector.http.dsp import PREFIX as DSP_PREFIX
from connector.http.dsp import DspServices, Messages, dsp_router, version_router
from connector.http.epsilon import epsilon_router
from connector.http.ledger import ledger_router, partner_ledgers_router
from connector.http.management import ManagementServices, health_router, management_router
from connector.http.problems import install_problems
from connector.http.receipts import receipts_router
from connector.protocol.workflow import Workflow
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from connector.services.accessing import give_back_all
from connector.services.asking import AskingQueries
from connector.services.commissioning import Commissioning
from connector.services.computing import Computing
from connector.services.crawling import Crawling
from connector.services.deciding import Deciding
from connector.services.delivering import Delivering
from connector.services.exchanging import NEGOTIATIONS, TRANSFERS
from connector.services.fetching import Fetching
from connector.services.handing_over import HandingOver
from connector.services.housekeeping import Housekeeping
from connector.services.importing import Importing
from connector.services.inheriting import Inheriting
from connector.services.issuing import Issuing
from connector.services.negotiating import Negotiating, NegotiationSettings
from connector.services.opening import Opening
from connector.services.presenting import Presenting
from connector.services.publishing import Publishing
from connector.services.querying import AnsweringQueries
from connector.services.receipting import Receipting
from connector.services.receiving import Receiving
from connector.services.reporting import Reporting
from connector.services.retiring import Retiring
from connector.services.transferring import RECEIVED_PATH, Transferring
from connector.services.vetting import Vetting
from connector.services.witnessing import Witnessing
from connector.settings import Settings
from connector.ui.public_pages import PublicPages
from connector.ui.reading import ParticipantView
from connector.ui.rendering import PageRenderer
from connector.ui.routes import ui_router
from connector.ui.static_files import static_router
from connector.ui.steward import StoreSteward
from connector.worker import Worker
from policies.circumstances import Circumstances

log = logging.getLogger("allmende.app")

_MOST_PUBLIC_BYTES = 4_000_000
_MOST_MANAGEMENT_BYTES = 16_000_000
_PUSHES = {f"{DATA_PREFIX}{RECEIVED_PATH}/": MOST_RECEIVED_BYTES}


class CurrentCatalog:
    """The participant's catalog and its wire forms, made once per change."""

    def __init__(self, store: SqlStore, credentials: OwnCredentials, settings: Settings) -> None:
        self._store = store
        self._credentials = credentials
        self._settings = settings
        self._catalog: Catalog | None = None
        self._prepared: PreparedCatalog | None = None

    def forget(self) -> None:
        """Something has changed: the next reader gets a new catalog."""
        self._catalog = None

    async def catalog(self) -> Catalog:
        """The catalog; the same object until something changes."""
        if self._catalog is None:
            records = await self._store.transact(lambda tx: tx.datasets())
            url = self._settings.public_url
            self._catalog = Catalog(
                participant_id=self._credentials.did,
                title=self._settings.participant_name,
                identifier=f"{url}/catalog",
                public_url=url,
                service_identifier=f"{url}{DSP_PREFIX}#service",
                endpoint_url=url + DSP_PREFIX,
                datasets=tuple(record.dataset for record in records if record.dataset.publishing),
            )
            self._prepared = PreparedCatalog(self._catalog)
        return self._catalog

    async def catalog_page(self, selection: Selection) -> Page:
        """A part of the catalog as DSP JSON, or its first page."""
        return (await self._current()).page(selection)

    async def dataset_body(self, identifier: str) -> bytes | None:
        """One dataset as DSP JSON; None where it is not on offer."""
        return (await self._current()).dataset(identifier)

    async def _current(self) -> PreparedCatalog:
        await self.catalog()
        assert self._prepared is not None  # noqa: S101 - prepared with the catalog
        return self._prepared


class StoredTokens:
    """Remembers used tokens in the store; implements `connector.adapters.did_identity.UsedTokens`."""

    def __init__(self, store: SqlStore, clock: SystemClock) -> None:
        self._store = store
        self._clock = clock

    async def remember(self, token: str, expires: datetime) -> bool:
        """Remember a token, durably."""
        now = self._clock.now()
        return await self._store.transact(lambda tx: tx.remember_token(token, expires, now))


@dataclass(frozen=True, slots=True)
class Connector:
    """One participant's connector.

    Attributes:
        settings: Its configuration.
        public: The app of the public listener.
        management: The app of the management listener.
        token: The management token.
        did: The participant's DID.
        notices: What its operator should know, such as a missing sandbox.
        release_waiters: Answers requests that wait for something, before the listeners stop.
    """

    settings: Settings
    public: ASGIApp
    management: ASGIApp
    token: str
    did: str
    notices: tuple[str, ...]
    release_waiters: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _World:
    """The adapters of one participant."""

    settings: Settings
    clock: SystemClock
    identifiers: RandomIdentifiers
    messages: AsyncioChanges
    computations: AsyncioChanges
    credentials: OwnCredentials
    store: SqlStore
    egress: EgressClient
    dids: DidIdentity
    identity: StaticTokens
    peers: HttpPeers
    projections: ArrowProjections
    consents: ConsentFiles
    engine: DuckdbQueries | NoQueries
    backend: SandboxCompute | NoCompute
    catalog: CurrentCatalog
    vetting: Vetting
    presenting: Presenting
    issuing: Issuing
    circumstances: Circumstances
    notices: tuple[str, ...]

    @property
    def address(self) -> str:
        """Our DSP base address."""
        return self.settings.public_url + DSP_PREFIX

    def notify(self) -> None:
        """Much has changed at once: whoever waits for anything looks again."""
        self.messages.notify()
        self.computations.notify()

    async def aclose(self) -> None:
        """Let go of everything."""
        await self.engine.aclose()
        await self.egress.aclose()
        self.store.close()


@dataclass(frozen=True, slots=True)
class _UseCases:
    """The use cases of one participant that several others need."""

    negotiating: Negotiating
    transferring: Transferring
    opening: Opening
    querying: AnsweringQueries
    computing: Computing
    commissioning: Commissioning
    handing_over: HandingOver
    receipting: Receipting
    receiving: Receiving
    retiring: Retiring


@asynccontextmanager
async def build_connector(
    settings: Settings, *, in_process: Transports = NO_TRANSPORTS
) -> AsyncIterator[Connector]:
    """Put a connector together, run its worker, and take it apart again.

    Args:
        settings: The participant's configuration.
        in_process: Other participants that live in this process, by origin; for
            tests, see `connector.adapters.egress.EgressClient`.

    Yields:
        The connector, working.

    Raises:
        StoreUnavailableError: The database cannot be opened.
        KeyFileError: The keys cannot be used.
        ManagementTokenError: The data directory was not initialised.
    """
    token = read_management_token(settings.data_dir)
    world = await _open_world(settings, in_process)
    cases = _use_cases(world)
    await _give_back(world.store)
    tasks = [asyncio.create_task(_worker(world, cases).run()), asyncio.create_task(world.engine.start())]
    management = ManagementGuard(_management_app(world, cases), token)
    try:
        yield Connector(
            settings=settings,
            public=SizeLimit(_public_app(world, cases), _MOST_PUBLIC_BYTES, _PUSHES, speaking=DSP_PREFIX),
            management=SizeLimit(management, _MOST_MANAGEMENT_BYTES),
            token=token,
            did=world.credentials.did,
            notices=world.notices,
            release_waiters=_closing(world.messages, world.computations),
        )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.aclose()


async def _open_world(settings: Settings, in_process: Transports) -> _World:
    # Another process does the probing, so the store opens meanwhile.
    probing = asyncio.get_running_loop().run_in_executor(None, _probe)
    clock, identifiers = SystemClock(), RandomIdentifiers()
    credentials = load_credentials(
        settings.data_dir, did=did_of(settings.public_url), base_url=settings.public_url + DSP_PREFIX
    )
    store = SqlStore(settings.store_url, leaf_hash)
    egress = EgressClient(allow_loopback_http=settings.unsafe_loopback_http, in_process=in_process)
    signer = _signer(credentials, clock)
    dids = DidIdentity(
        did=credentials.did,
        token_key=credentials.tokens_key,
        egress=egress,
        clock=clock.now,
        used_tokens=StoredTokens(store, clock),
        own_document=credentials.document,
        token_method=credentials.tokens_method,
        loopback_http=settings.unsafe_loopback_http,
        access=signer.access,
    )
    verifier = DcpVerifier(did=credentials.did, identity=dids, egress=egress, clock=clock.now)
    trusted = [setting.rule() for setting in settings.trusted_issuers]
    vetting = Vetting(store=store, clock=clock, verifier=verifier, trusted=trusted)
    presenting = Presenting(
        store=store, clock=clock, credentials=credentials, verifier=verifier, signer=signer
    )
    await vetting.load()
    await presenting.load()
    identity = _identity(settings, credentials, dids)
    engine, backend, notices = _engines(await probing, settings.data_dir)
    return _World(
        settings=settings,
        clock=clock,
        identifiers=identifiers,
        # Two of them: a message that moves must not wake whoever looks after computations.
        messages=AsyncioChanges(),
        computations=AsyncioChanges(),
        credentials=credentials,
        store=store,
        egress=egress,
        dids=dids,
        identity=identity,
        peers=HttpPeers(egress, identity),
        projections=ArrowProjections(settings.data_dir / "projections", mask_secret(settings.data_dir)),
        consents=ConsentFiles(),
        engine=engine,
        backend=backend,
        catalog=CurrentCatalog(store, credentials, settings),
        vetting=vetting,
        presenting=presenting,
        issuing=Issuing(
            store=store,
            clock=clock,
            identifiers=identifiers,
            credentials=credentials,
            signer=signer,
            address=settings.public_url + CREDENTIALS_PATH,
        ),
        circumstances=replace(settings.circumstances, proofs=vetting.proofs),
        notices=notices,
    )


def _signer(credentials: OwnCredentials, clock: SystemClock) -> DcpSigner:
    return DcpSigner(
        did=credentials.did,
        tokens=credentials.tokens_key,
        tokens_method=credentials.tokens_method,
        statements=credentials.contracts_key,
        statements_method=credentials.verification_method,
        clock=clock.now,
    )


def _identity(settings: Settings, credentials: OwnCredentials, dids: DidIdentity) -> StaticTokens:
    """Who others are: by a fixed token, by their word, or by their DID."""
    tokens = [StaticToken(entry.participant, entry.token) for entry in settings.static_tokens]
    mocks = [MockToken(entry.participant, entry.address, entry.region) for entry in settings.mock_tokens]
    return StaticTokens(tokens, MockTokens(mocks, credentials.did, dids))


def _use_cases(world: _World) -> _UseCases:
    workflow = Workflow([setting.rule() for setting in world.settings.workflow])
    deciding = Deciding(clock=world.clock, identifiers=world.identifiers, credentials=world.credentials)
    negotiating = Negotiating(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        credentials=world.credentials,
        settings=NegotiationSettings(world.address, world.settings.require_signatures, world.circumstances),
        workflow=workflow,
        wake=world.messages.notify,
        deciding=deciding,
    )
    transferring = Transferring(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        address=world.address,
        data_plane=world.settings.public_url + DATA_PREFIX,
        workflow=workflow,
        wake=lambda pid: world.messages.notify(pid, TRANSFERS),
        deciding=deciding,
        circumstances=world.circumstances,
    )
    opening = Opening(world.store, transferring, world.messages)
    querying = AnsweringQueries(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        credentials=world.credentials,
        projections=world.projections,
        consents=world.consents,
        engine=world.engine,
        tier=world.backend.tier,
        deciding=deciding,
        circumstances=world.circumstances,
        noise=OpendpNoise.where_installed(),
    )
    computing = Computing(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        credentials=world.credentials,
        projections=world.projections,
        consents=world.consents,
        backend=world.backend,
        changes=world.computations,
        deciding=deciding,
        circumstances=world.circumstances,
    )
    receipting = Receipting(
        store=world.store, clock=world.clock, credentials=world.credentials, peers=world.peers
    )
    commissioning = Commissioning(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        peers=world.peers,
        opening=opening,
        receipting=receipting,
        changes=world.computations,
    )
    handing_over = HandingOver(
        store=world.store,
        clock=world.clock,
        identifiers=world.identifiers,
        credentials=world.credentials,
        files=LocalFiles(),
        peers=world.peers,
        transferring=transferring,
        deciding=deciding,
        circumstances=world.circumstances,
    )
    receiving = Receiving(
        store=world.store,
        files=LocalReceivedFiles(world.settings.data_dir / "received"),
        receipting=receipting,
        wake=world.messages.notify,
    )
    return _UseCases(
        negotiating=negotiating,
        transferring=transferring,
        opening=opening,
        querying=querying,
        computing=computing,
        commissioning=commissioning,
        handing_over=handing_over,
        receipting=receipting,
        receiving=receiving,
        retiring=Retiring(
            store=world.store,
            clock=world.clock,
            identifiers=world.identifiers,
            credentials=world.credentials,
            transferring=transferring,
            computing=computing,
            ended=world.notify,
        ),
    )


def _worker(world: _World, cases: _UseCases) -> Worker:
    delivering = Delivering(
        store=world.store,
        clock=world.clock,
        peers=world.peers,
        senders={
            NEGOTIATIONS: cases.negotiating,
            TRANSFERS: cases.transferring,
            "receipts": cases.receipting,
        },
        changes=world.messages,
    )
    return Worker(
        delivering=delivering,
        computing=cases.computing,
        commissioning=cases.commissioning,
        handing_over=cases.handing_over,
        housekeeping=Housekeeping(
            store=world.store, clock=world.clock, projections=world.projections, jobs=world.backend
        ),
        vetting=world.vetting,
        witnessing=_witnessing(world),
        messages=world.messages,
        computations=world.computations,
    )


def _public_app(world: _World, cases: _UseCases) -> ASGIApp:
    app = _app("Allmende: public listener")
    app.include_router(version_router())
    protocol = dsp_router(
        DspServices(
            world.identity, world.vetting, world.peers, world.catalog, cases.negotiating, cases.transferring
        )
    )
    app.include_router(protocol)
    app.include_router(
        data_plane_router(
            DataPlaneServices(
                store=world.store,
                querying=cases.querying,
                computing=cases.computing,
                handing_over=cases.handing_over,
                receiving=cases.receiving,
                changes=world.computations,
            )
        )
    )
    app.include_router(receipts_router(world.identity, cases.receipting))
    app.include_router(ledger_router(world.identity, _witnessing(world)))
    app.include_router(credentials_router(world.identity, world.presenting, world.issuing, CREDENTIALS_PATH))
    app.include_router(catalog_router(world.catalog, PublicPages(PageRenderer())))
    app.include_router(static_router())
    _add_did_document(app, world.credentials)
    return Messages(app, protocol)


def _management_app(world: _World, cases: _UseCases) -> FastAPI:
    app = _app("Allmende: management listener")
    app.include_router(health_router(lambda: _is_ready(world.store)))
    app.include_router(management_router(_management_services(world, cases)))
    steward = StoreSteward(
        store=world.store,
        clock=world.clock,
        negotiating=cases.negotiating,
        computing=cases.computing,
        retiring=cases.retiring,
        participant=ParticipantView(
            world.settings.participant_name, world.credentials.did, world.settings.public_url
        ),
        circumstances=world.circumstances,
        vetting=world.vetting,
        presenting=world.presenting,
        witnessing=_witnessing(world),
    )
    app.include_router(partner_ledgers_router(_witnessing(world)))
    app.include_router(epsilon_router(world.store))
    app.include_router(
        management_credentials_router(
            world.presenting, world.issuing, world.vetting, world.circumstances, world.clock
        )
    )
    app.include_router(ui_router(steward, steward, SessionTokens(), PageRenderer()))
    app.include_router(static_router())
    return app


def _witnessing(world: _World) -> Witnessing:
    return Witnessing(
        store=world.store,
        clock=world.clock,
        credentials=world.credentials,
        peers=world.peers,
        resolver=world.dids,
    )


def _management_services(world: _World, cases: _UseCases) -> ManagementServices:
    return ManagementServices(
        store=world.store,
        messages=world.messages,
        computations=world.computations,
        publishing=Publishing(
            store=world.store,
            clock=world.clock,
            identifiers=world.identifiers,
            projections=world.projections,
            consents=world.consents,
            circumstances=world.circumstances,
            changed=world.catalog.forget,
        ),
        inheriting=Inheriting(store=world.store, clock=world.clock),
        crawling=Crawling(store=world.store, clock=world.clock, peers=world.peers, resolver=world.dids),
        negotiating=cases.negotiating,
        importing=Importing(
            store=world.store,
            clock=world.clock,
            identifiers=world.identifiers,
            credentials=world.credentials,
            require_signatures=world.settings.require_signatures,
        ),
        transferring=cases.transferring,
        retiring=cases.retiring,
        fetching=Fetching(
            store=world.store, peers=world.peers, opening=cases.opening, receipting=cases.receipting
        ),
        receiving=cases.receiving,
        asking=AskingQueries(
            store=world.store,
            clock=world.clock,
            identifiers=world.identifiers,
            peers=world.peers,
            opening=cases.opening,
            receipting=cases.receipting,
        ),
        commissioning=cases.commissioning,
        computing=cases.computing,
        reporting=Reporting(
            store=world.store,
            clock=world.clock,
            identifiers=world.identifiers,
            circumstances=world.circumstances,
        ),
    )


def _closing(*all_changes: AsyncioChanges) -> Callable[[], None]:
    def close() -> None:
        for changes in all_changes:
            changes.close()

    return close


def _app(title: str) -> FastAPI:
    app = FastAPI(title=title, docs_url=None, redoc_url=None)
    install_problems(app)
    return app


def _add_did_document(app: FastAPI, credentials: OwnCredentials) -> None:
    content = dict(credentials.document.content)

    @app.get("/.well-known/did.json")
    async def did_document() -> JSONResponse:
        return JSONResponse(content, media_type="application/did+json")


async def _give_back(store: SqlStore) -> None:
    """Give back the uses of an earlier process, before the first one of this process is counted."""
    given_back = await store.transact(give_back_all)
    if given_back:
        log.warning(
            "uses that an earlier process had counted, but not released, are given back: %d", given_back
        )


async def _is_ready(store: SqlStore) -> bool:
    try:
        await store.transact(lambda tx: tx.ledger_size())
    except Exception:
        log.exception("the database does not answer")
        return False
    return True


def _probe() -> Sandbox | SandboxUnavailableError:
    """The sandbox, or why there is none."""
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as missing:
        return missing


def _engines(
    sandbox: Sandbox | SandboxUnavailableError, data_dir: Path
) -> tuple[DuckdbQueries | NoQueries, SandboxCompute | NoCompute, tuple[str, ...]]:
    """The engines that run what others send; without a sandbox, ones that refuse everything."""
    if isinstance(sandbox, SandboxUnavailableError):
        reason = str(sandbox)
        return NoQueries(reason), NoCompute(reason), (f"Queries and computations are refused: {reason}",)
    return DuckdbQueries(sandbox), SandboxCompute(sandbox, data_dir / "jobs"), ()


class _Server(uvicorn.Server):
    """A listener that leaves signals to whoever runs it, and whose sockets are bound beforehand."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def listener(app: ASGIApp) -> uvicorn.Server:
    """A server for one of a connector's apps."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,
    )
    return _Server(config)
