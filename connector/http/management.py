"""The management API: what a participant's own people and programs do. Never on the public listener."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar, cast

import pyarrow as pa
import pyarrow.ipc
from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_jsonable_python

from catalog.dcat import JSON_LD, TURTLE, serialise
from catalog.model import Column
from catalog.rdf import to_graph
from connector.http.data_plane import computation_body
from connector.http.negotiation_of_content import choose_media_type
from connector.ports import Changes, KeptPolicy, LedgerEntry, Store, Transaction
from connector.protocol.computation import Computation, ComputationState
from connector.protocol.machine import Party
from connector.protocol.negotiation import ContractAgreement, ContractNegotiation, NegotiationState
from connector.protocol.transfer import ReceivedData, TransferMessage, TransferProcess
from connector.services.asking import AskingQueries, FederatedResult
from connector.services.commissioning import Commissioning
from connector.services.computing import Computing
from connector.services.crawling import Crawling
from connector.services.exchanging import RequestRefusedError, UnknownExchangeError
from connector.services.fetching import Fetching
from connector.services.importing import ForeignAgreement, Importing
from connector.services.inheriting import Inheriting
from connector.services.negotiating import Negotiating, WantedContract
from connector.services.publishing import Publication, Publishing
from connector.services.querying import ARROW_STREAM
from connector.services.receipting import RECEIPT_HEADER, RECEIPT_KINDS, kept_receipt
from connector.services.receiving import Receiving
from connector.services.reporting import Reporting
from connector.services.retiring import Retiring
from connector.services.transferring import Transferring
from connector.services.waiting import settled
from policies.consents import ConsentRegister
from policies.model import Policy
from policies.report import action_named
from policies.terms import classify
from schemas.messages import Agreement
from schemas.strict_json import JsonObject

PREFIX: Final = "/api"
_LONGEST_WAIT: Final = 60


def _both_languages(texts: Mapping[str, str]) -> Mapping[str, str]:
    if set(texts) != {"de", "en"} or not all(texts.values()):
        raise ValueError("must have one text in German (de) and one in English (en)")
    return texts


_Texts = Annotated[
    Mapping[str, str], AfterValidator(_both_languages), Field(description="German (de) and English (en).")
]
T = TypeVar("T")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConsentRegisterBody(_Body):
    """Where the consents for a dataset are kept: a file, and the column that names the subject."""

    column: Annotated[str, Field(min_length=1)]
    file: Path


class DatasetBody(_Body):
    """A dataset to put on offer."""

    identifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9:._~-]{0,199}$")] | None = None
    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    title: _Texts
    description: _Texts
    keywords: Sequence[str] = ()
    license: str
    source_note: _Texts
    columns: Sequence[Column]
    file: Path
    offer: Mapping[str, JsonValue]
    approval: Literal["automatic", "manual"] = "automatic"
    row_filters: Mapping[str, Mapping[str, JsonValue]] = {}
    accepts_unsigned: bool = False
    privacy: Mapping[str, JsonValue] | None = None
    consents: Mapping[Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")], ConsentRegisterBody] = {}


class CatalogBody(_Body):
    """A participant whose catalog is to be read."""

    provider: str
    address: str | None = None
    filter: Sequence[JsonValue] = ()


class NegotiationBody(_Body):
    """A contract to ask for.

    Without provider, address and offer they are taken from the provider's catalog as last read.
    """

    dataset: str
    provider: str | None = None
    address: str | None = None
    offer: Mapping[str, JsonValue] | None = None
    purpose: str | None = None


class OfferBody(_Body):
    """An offer of ours to make to a consumer that has not asked."""

    dataset: str
    consumer: str
    address: str


class AgreementBody(_Body):
    """An agreement that was made elsewhere."""

    role: Party
    peer: str
    address: str
    agreement: Agreement


class TransferBody(_Body):
    """Access to ask for under an agreement."""

    agreement_id: str
    format: str


class MoveBody(_Body):
    """What to do with a transfer process."""

    action: Literal["start", "suspension", "completion", "termination"]
    reason: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class ReasonBody(_Body):
    """Why something is turned down."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class FederatedQueryBody(_Body):
    """A statement for all providers of its table."""

    statement: str
    purpose: str | None = None
    agreements: Sequence[str] | None = None


class CommissionBody(_Body):
    """An algorithm to send to a provider."""

    agreement_id: str
    files: Mapping[str, str]
    parameters: Mapping[str, JsonValue] = {}
    outputs: Mapping[str, str]
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class ManagementServices:
    """What the management routes call."""

    store: Store
    messages: Changes
    computations: Changes
    publishing: Publishing
    inheriting: Inheriting
    crawling: Crawling
    negotiating: Negotiating
    importing: Importing
    transferring: Transferring
    retiring: Retiring
    fetching: Fetching
    receiving: Receiving
    asking: AskingQueries
    commissioning: Commissioning
    computing: Computing
    reporting: Reporting


def health_router(ready: Callable[[], Awaitable[bool]]) -> APIRouter:
    """Whether the process lives, and whether it can serve."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        is_ready = await ready()
        return JSONResponse({"status": "ready" if is_ready else "starting"}, 200 if is_ready else 503)

    return router


def management_router(services: ManagementServices) -> APIRouter:
    """All routes of the management API."""
    router = APIRouter(prefix=PREFIX)
    _add_datasets(router, services)
    _add_policies(router, services)
    _add_catalogs(router, services)
    _add_negotiations(router, services)
    _add_agreements(router, services)
    _add_transfers(router, services)
    _add_queries(router, services)
    _add_computations(router, services)
    _add_ledger(router, services)
    return router


def _add_datasets(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/datasets", status_code=201)
    async def publish(body: DatasetBody) -> JSONResponse:
        published = await services.publishing.publish(
            Publication(
                identifier=body.identifier,
                table=body.table,
                title=dict(body.title),
                description=dict(body.description),
                keywords=body.keywords,
                license=body.license,
                source_note=dict(body.source_note),
                columns=body.columns,
                source=body.file.absolute(),
                offer=dict(body.offer),
                approval=body.approval,
                row_filters={name: dict(one) for name, one in body.row_filters.items()},
                accepts_unsigned=body.accepts_unsigned,
                privacy=None if body.privacy is None else dict(body.privacy),
                consents={
                    name: ConsentRegister(one.column, one.file.absolute())
                    for name, one in body.consents.items()
                },
            )
        )
        dataset = published.dataset
        return JSONResponse(
            {
                "identifier": dataset.identifier,
                "rows": dataset.rows,
                "digest": dataset.digest,
                "inherited": [asdict(parent) for parent in published.inherited],
                "terms": _terms(dataset.offer.policy),
            },
            201,
        )

    @router.get("/datasets")
    async def datasets() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.datasets())
        return JSONResponse(
            [
                {
                    "identifier": record.dataset.identifier,
                    "title": dict(record.dataset.title),
                    "table": record.dataset.table,
                    "rows": record.dataset.rows,
                    "publishing": record.dataset.publishing,
                    "approval": record.approval,
                    "accepts_unsigned": record.accepts_unsigned,
                    "inherited": [asdict(parent) for parent in record.inherited],
                }
                for record in records
            ]
        )

    @router.delete("/datasets/{identifier}", status_code=204)
    async def withdraw(identifier: str) -> Response:
        await services.publishing.withdraw(identifier)
        return Response(status_code=204)


def _terms(policy: Policy) -> list[JsonObject]:
    """What each term of a policy is worth here."""
    return [
        {
            "rule": use.rule,
            "term": use.term,
            "level": use.level.value,
            "within": [dict(part.written) for part in use.within],
            "sentence": dict(use.text),
        }
        for use in classify(policy)
    ]


def _add_policies(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/policies", status_code=201)
    async def keep(document: Annotated[dict[str, JsonValue], Body()]) -> JSONResponse:
        kept, policy = await services.inheriting.keep(document)
        return JSONResponse({**_kept_policy(kept), "terms": _terms(policy)}, 201)

    @router.get("/policies")
    async def policies() -> JSONResponse:
        return JSONResponse([_kept_policy(kept) for kept in await services.inheriting.kept()])

    @router.delete("/policies/{identifier:path}", status_code=204)
    async def withdraw(identifier: str) -> Response:
        await services.inheriting.withdraw(identifier)
        return Response(status_code=204)


def _kept_policy(kept: KeptPolicy) -> JsonObject:
    return {
        "identifier": kept.identifier,
        "digest": kept.digest,
        "kept": kept.kept.isoformat(),
        "withdrawn": None if kept.withdrawn is None else kept.withdrawn.isoformat(),
        "policy": kept.document,
    }


def _add_catalogs(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/catalogs")
    async def read(body: CatalogBody) -> JSONResponse:
        view = await services.crawling.read(body.provider, body.address, body.filter)
        return JSONResponse(
            {
                "provider": view.participant_id,
                "title": dict(view.title),
                "datasets": [to_jsonable_python(dataset) for dataset in view.datasets],
            }
        )

    @router.get("/catalogs")
    async def known() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.remote_datasets())
        return JSONResponse([to_jsonable_python(record) for record in records])


def _add_negotiations(router: APIRouter, services: ManagementServices) -> None:
    async def rested(pid: str, wait: int) -> ContractNegotiation:
        def read(tx: Transaction) -> ContractNegotiation:
            record = tx.negotiation(pid)
            if record is None:
                raise UnknownExchangeError(pid)
            return record

        return await _settled(services.store, services.messages, pid, read, _negotiation_is_settled, wait)

    @router.post("/negotiations", status_code=202)
    async def request(
        body: NegotiationBody, wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 0
    ) -> JSONResponse:
        wanted = await services.store.transact(lambda tx: _wanted(tx, body))
        pid = await services.negotiating.request(wanted)
        return JSONResponse(_negotiation(await rested(pid, wait)) if wait else {"pid": pid}, 202)

    @router.post("/offers", status_code=202)
    async def offer(body: OfferBody) -> JSONResponse:
        pid = await services.negotiating.offer(
            consumer=body.consumer, address=body.address, dataset=body.dataset
        )
        return JSONResponse({"pid": pid}, 202)

    @router.get("/negotiations")
    async def listed() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.negotiations())
        return JSONResponse([_negotiation(record) for record in records])

    @router.get("/negotiations/{pid}")
    async def shown(pid: str, wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 0) -> JSONResponse:
        return JSONResponse(_negotiation(await rested(pid, wait)))

    @router.post("/negotiations/{pid}/accept", status_code=204)
    async def accept(pid: str) -> Response:
        await services.negotiating.accept(pid)
        return Response(status_code=204)

    @router.post("/negotiations/{pid}/reject", status_code=204)
    async def reject(pid: str, body: ReasonBody) -> Response:
        await services.negotiating.reject(pid, body.reason)
        return Response(status_code=204)


def _add_agreements(router: APIRouter, services: ManagementServices) -> None:
    @router.get("/agreements")
    async def listed() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.agreements())
        return JSONResponse([_agreement(record) for record in records])

    @router.post("/agreements", status_code=201)
    async def bring_in(body: AgreementBody) -> JSONResponse:
        foreign = ForeignAgreement(body.role, body.peer, body.address, body.agreement)
        return JSONResponse({"identifier": await services.importing.agreement(foreign)}, 201)

    @router.post("/agreements/{identifier}/retirement", status_code=204)
    async def retire(identifier: str, body: ReasonBody) -> Response:
        await services.retiring.retire(identifier, body.reason)
        return Response(status_code=204)

    @router.get("/agreements/{identifier:path}/report")
    async def report(
        request: Request,
        identifier: str,
        action: str,
        purpose: str | None = None,
        algorithm: str | None = None,
    ) -> Response:
        told = await services.reporting.agreement(identifier, action_named(action), purpose, algorithm)
        wanted = choose_media_type(request.headers.get("accept"), (JSON_LD, TURTLE, *_PLAIN_JSON))
        headers = {"vary": "Accept", **_foreign(None)}
        if wanted is None:
            return Response(_NOT_ACCEPTABLE, 406, media_type="text/plain", headers=headers)
        if wanted == TURTLE:
            return Response(serialise(to_graph(told), TURTLE), media_type=TURTLE, headers=headers)
        return JSONResponse(told, media_type=JSON_LD, headers=headers)

    @router.get("/agreements/{identifier}/evidence")
    async def evidence(identifier: str) -> Response:
        return await _document(services, identifier)


_PLAIN_JSON: Final = ("application/json", "text/html")
"""Readers that know nothing else still get it: plain JSON is what JSON-LD is."""
_NOT_ACCEPTABLE: Final = (
    f"A report exists as {JSON_LD} and {TURTLE}. Ask for one of these in the Accept header.\n"
)


def _add_transfers(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/transfers", status_code=202)
    async def request(body: TransferBody) -> JSONResponse:
        return JSONResponse({"pid": await services.transferring.request(body.agreement_id, body.format)}, 202)

    @router.get("/transfers")
    async def listed() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.transfers())
        return JSONResponse([_transfer(record) for record in records])

    @router.post("/transfers/{pid}/moves", status_code=202)
    async def move(pid: str, body: MoveBody) -> Response:
        await services.transferring.move(pid, TransferMessage(body.action), body.reason)
        return Response(status_code=202)

    @router.post("/transfers/{pid}/data")
    async def fetch(pid: str) -> Response:
        fetched = await services.fetching.fetch(pid)
        headers = _foreign(fetched.receipt)
        return Response(fetched.content, media_type="application/octet-stream", headers=headers)

    @router.get("/transfers/{pid}/data")
    async def received(pid: str) -> Response:
        found, chunks = await services.receiving.content(pid)
        headers = {**_foreign(found.receipt), "content-length": str(found.size)}
        return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


def _foreign(receipt: str | None) -> dict[str, str]:
    """Headers of somebody else's bytes: a browser must neither guess what they are nor show them here."""
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    return headers if receipt is None else {**headers, RECEIPT_HEADER: receipt}


def _add_queries(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/queries")
    async def ask(request: Request, body: FederatedQueryBody) -> Response:
        result = await services.asking.ask(body.statement, body.purpose, body.agreements)
        if ARROW_STREAM in request.headers.get("accept", ""):
            return Response(_stream(result.table), media_type=ARROW_STREAM)
        return JSONResponse(_federated(result))


def _add_computations(router: APIRouter, services: ManagementServices) -> None:
    @router.post("/computations", status_code=202)
    async def commission(body: CommissionBody) -> JSONResponse:
        identifier = await services.commissioning.commission(
            body.agreement_id,
            files=body.files,
            parameters=dict(body.parameters),
            declared=body.outputs,
            purpose=body.purpose,
        )
        return JSONResponse({"identifier": identifier}, 202)

    @router.get("/computations")
    async def listed() -> JSONResponse:
        records = await services.store.transact(lambda tx: tx.computations())
        return JSONResponse([_computation(record) for record in records])

    @router.get("/computations/{identifier}")
    async def shown(identifier: str, wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 0) -> JSONResponse:
        def read(tx: Transaction) -> Computation:
            record = tx.computation(identifier)
            if record is None:
                raise UnknownExchangeError(identifier)
            return record

        return JSONResponse(
            _computation(
                await _settled(
                    services.store, services.computations, identifier, read, _computation_is_settled, wait
                )
            )
        )

    @router.get("/computations/{identifier}/outputs/{name}")
    async def output(identifier: str, name: str) -> Response:
        content = await services.store.transact(lambda tx: tx.output(identifier, name))
        if content is None:
            raise UnknownExchangeError(name)
        return Response(content, media_type="application/octet-stream")

    @router.post("/computations/{identifier}/release", status_code=204)
    async def release(identifier: str) -> Response:
        await services.computing.release(identifier)
        return Response(status_code=204)

    @router.post("/computations/{identifier}/refuse", status_code=204)
    async def refuse(identifier: str, body: ReasonBody) -> Response:
        await services.computing.refuse(identifier, body.reason)
        return Response(status_code=204)


def _add_ledger(router: APIRouter, services: ManagementServices) -> None:
    @router.get("/ledger")
    async def ledger() -> JSONResponse:
        entries = await services.store.transact(lambda tx: tx.ledger())
        return JSONResponse({"entries": [_entry(entry) for entry in entries], "totals": _totals(entries)})

    @router.get("/receipts/{identifier}")
    async def receipt(identifier: str) -> Response:
        return await _document(services, identifier)


async def _document(services: ManagementServices, identifier: str) -> Response:
    content = await services.store.transact(lambda tx: kept_receipt(tx, identifier))
    if content is None:
        raise UnknownExchangeError(identifier)
    return Response(content, media_type="application/json")


async def _settled(
    store: Store,
    changes: Changes,
    topic: str,
    read: Callable[[Transaction], T],
    is_settled: Callable[[T], bool],
    wait: int,
) -> T:
    """A record, once it has come to rest, or when the wait is over."""
    return await settled(changes, topic, lambda: store.transact(read), is_settled, timedelta(seconds=wait))


def _negotiation_is_settled(record: ContractNegotiation) -> bool:
    final = {NegotiationState.FINALIZED, NegotiationState.TERMINATED}
    return record.held is not None or (record.state in final and record.pending is None)


def _computation_is_settled(record: Computation) -> bool:
    return record.held is not None or record.state in {ComputationState.RELEASED, ComputationState.TERMINATED}


def _wanted(tx: Transaction, body: NegotiationBody) -> WantedContract:
    """What to ask for: as stated, or else as in the provider's catalog."""
    if body.provider is not None and body.address is not None and body.offer is not None:
        offer = cast("JsonObject", dict(body.offer))
        return WantedContract(body.provider, body.address, body.dataset, offer, body.purpose)
    remote = tx.remote_dataset(body.dataset)
    if remote is None:
        raise RequestRefusedError(
            "This dataset is in no catalog that was read; read the provider's catalog first."
        )
    if not remote.view.offers:
        raise RequestRefusedError("The provider makes no offer for this dataset.")
    stated = body.offer if body.offer is not None else remote.view.offers[0]
    offer = cast("JsonObject", dict(stated))
    return WantedContract(remote.provider, remote.address, body.dataset, offer, body.purpose)


def _negotiation(record: ContractNegotiation) -> JsonObject:
    reasons: JsonObject | None = {**record.reason} if record.reason else None
    return {
        "pid": record.pid,
        "role": record.role.value,
        "peer": record.peer,
        "dataset": record.dataset,
        "state": record.state.value if record.state else None,
        "agreement_id": record.agreement_id,
        "held": record.held,
        "reason": reasons["en"] if reasons else None,
        "reasons": reasons,
    }


def _transfer(record: TransferProcess) -> JsonObject:
    return {
        "pid": record.pid,
        "role": record.role.value,
        "peer": record.peer,
        "peer_pid": record.peer_pid,
        "agreement_id": record.agreement_id,
        "format": record.transfer_format,
        "state": record.state.value if record.state else None,
        "reason": record.reason,
        "received": _received(record.received),
    }


def _received(data: ReceivedData | None) -> JsonObject | None:
    """What a push has brought."""
    return (
        {"file": data.name, "bytes": data.size, "sha256": data.sha256, "receipt": data.receipt}
        if data
        else None
    )


def _agreement(record: ContractAgreement) -> JsonObject:
    return {
        "identifier": record.identifier,
        "role": record.role.value,
        "provider": record.provider,
        "consumer": record.consumer,
        "dataset": record.dataset,
        "signed": record.signed,
        "ended": None if record.retirement is None else record.retirement.ended.isoformat(),
        "reason": None if record.retirement is None else record.retirement.reason,
        "agreement": record.document,
    }


def _computation(record: Computation) -> JsonObject:
    return {
        **computation_body(record),
        "role": record.role.value,
        "peer": record.peer,
        "agreement_id": record.agreement_id,
        "algorithm": record.algorithm_digest,
        "held": record.held,
        "said": record.said,
    }


def _federated(result: FederatedResult) -> JsonObject:
    return {
        "columns": list(result.table.column_names),
        "rows": to_jsonable_python(result.table.to_pylist()),
        "sites": [asdict(site) for site in result.sites],
    }


def _entry(entry: LedgerEntry) -> JsonObject:
    return {
        "index": entry.index,
        "kind": entry.kind,
        "identifier": entry.identifier,
        "agreement_id": entry.agreement_id,
        "dataset": entry.dataset,
        "raw_rows_out": entry.raw_rows_out,
        "raw_bytes_out": entry.raw_bytes_out,
        "result_bytes_out": entry.result_bytes_out,
        "recorded": entry.recorded.isoformat(),
    }


def _totals(entries: Sequence[LedgerEntry]) -> JsonObject:
    """Figures per dataset of ours; entries of what we consumed carry no bytes out."""
    totals: dict[str, dict[str, JsonValue]] = {}
    for entry in entries:
        line = totals.setdefault(
            entry.dataset, {"raw_rows_out": 0, "raw_bytes_out": 0, "result_bytes_out": 0, "releases": 0}
        )
        for name, value in (
            ("raw_rows_out", entry.raw_rows_out),
            ("raw_bytes_out", entry.raw_bytes_out),
            ("result_bytes_out", entry.result_bytes_out),
            ("releases", int(entry.kind in RECEIPT_KINDS)),
        ):
            line[name] = int(str(line[name])) + value
    return dict(totals)


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
