"""The data plane: governed queries, computations, their checked outputs and receipts.

One route sends rows: `/file`, for datasets whose agreement permits to reproduce them. One
takes them: `/received`, from providers that we have asked to push.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from connector.http.authentication import bearer_token
from connector.http.problems import PROBLEM_JSON
from connector.http.ranges import RangeNotSatisfiableError, wanted_part
from connector.ports import Changes, Store, Transaction
from connector.protocol.computation import Computation, ComputationState
from connector.protocol.machine import Party
from connector.services.accessing import AccessDeniedError
from connector.services.computing import Computing, JobRequest
from connector.services.handing_over import HandedOver, HandingOver, Offered, Part
from connector.services.querying import ARROW_STREAM, AnsweringQueries
from connector.services.receipting import RECEIPT_HEADER, RECEIPT_KINDS
from connector.services.receiving import Pushed, Receiving
from connector.services.transferring import FILE_PATH, RECEIVED_PATH, token_digest
from connector.services.waiting import settled
from schemas.strict_json import JsonObject, MalformedJsonError, loads

PREFIX: Final = "/data"
_MOST_STATEMENT_BYTES: Final = 20_000
_MOST_JOB_BYTES: Final = 2_000_000
_LONGEST_WAIT: Final = 30


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class QueryBody(_Body):
    """A governed query."""

    statement: str
    purpose: str | None = None


class ComputationBody(_Body):
    """A computation."""

    identifier: Annotated[str, Field(pattern=r"^urn:uuid:[0-9a-f-]{36}$")]
    files: Mapping[str, str]
    parameters: Mapping[str, JsonValue] = {}
    outputs: Mapping[str, str]
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class DataPlaneServices:
    """What the data plane's routes call."""

    store: Store
    querying: AnsweringQueries
    computing: Computing
    handing_over: HandingOver
    receiving: Receiving
    changes: Changes


def data_plane_router(services: DataPlaneServices) -> APIRouter:
    """All routes of the data plane."""
    router = APIRouter(prefix=PREFIX)

    @router.post("/queries")
    async def query(request: Request) -> Response:
        token = _token(request)
        body = QueryBody.model_validate(await _document(request, _MOST_STATEMENT_BYTES))
        answer = await services.querying.answer(token, body.statement, body.purpose)
        return Response(answer.content, media_type=ARROW_STREAM, headers={RECEIPT_HEADER: answer.receipt})

    @router.post("/computations", status_code=201)
    async def submit(request: Request) -> Response:
        token = _token(request)
        body = ComputationBody.model_validate(await _document(request, _MOST_JOB_BYTES))
        job = JobRequest(body.identifier, body.files, dict(body.parameters), body.outputs, body.purpose)
        record = await services.computing.submit(token, job)
        return JSONResponse(computation_body(record), 201)

    @router.get("/computations/{identifier}")
    async def shown(
        request: Request,
        identifier: str,
        wait: Annotated[int, Query(ge=0, le=_LONGEST_WAIT)] = 0,
        after: str | None = None,
    ) -> Response:
        record = await _settled(services, _token(request), identifier, after, timedelta(seconds=wait))
        return JSONResponse(computation_body(record))

    @router.get("/computations/{identifier}/outputs/{name}")
    async def output(request: Request, identifier: str, name: str) -> Response:
        found, content = await services.computing.output(_token(request), identifier, name)
        return Response(content, media_type=found.media_type)

    _add_file(router, services)
    _add_received(router, services)

    @router.get("/receipts/{identifier}")
    async def receipt(request: Request, identifier: str) -> Response:
        digest = token_digest(_token(request))
        content = await services.store.transact(lambda tx: _receipt(tx, digest, identifier))
        return Response(content, media_type="application/json")

    return router


def _add_file(router: APIRouter, services: DataPlaneServices) -> None:
    @router.head(FILE_PATH)
    async def look(request: Request) -> Response:
        offered = await services.handing_over.look(_bare_token(request))
        headers = {**_file_headers(offered), "content-length": str(offered.size)}
        return Response(media_type=offered.media_type, headers=headers)

    @router.get(FILE_PATH)
    async def file(request: Request) -> Response:
        headers = request.headers

        def choose(offered: Offered) -> Part | None:
            tag = _entity_tag(offered)
            return wanted_part(headers.get("range"), headers.get("if-range"), etag=tag, size=offered.size)

        try:
            handed = await services.handing_over.open(_bare_token(request), choose)
        except RangeNotSatisfiableError as beyond:
            return _not_satisfiable(beyond)
        return _handed_over(handed)


def _handed_over(handed: HandedOver) -> Response:
    headers = {
        **_file_headers(handed.file),
        "content-length": str(handed.size),
        RECEIPT_HEADER: handed.receipt,
    }
    if handed.part is not None:
        headers["content-range"] = handed.part.of(handed.file.size)
    status = 200 if handed.part is None else 206
    return StreamingResponse(handed.chunks, status, media_type=handed.file.media_type, headers=headers)


def _file_headers(offered: Offered) -> dict[str, str]:
    return {
        "accept-ranges": "bytes",
        "etag": _entity_tag(offered),
        "content-disposition": f'attachment; filename="{offered.name}"',
    }


def _entity_tag(offered: Offered) -> str:
    return f'"{offered.digest}"'


def _not_satisfiable(beyond: RangeNotSatisfiableError) -> Response:
    body = {"type": "about:blank", "title": "Range not satisfiable", "status": 416, "detail": str(beyond)}
    headers = {"content-range": f"bytes */{beyond.size}"}
    return JSONResponse(body, 416, headers=headers, media_type=PROBLEM_JSON)


def _add_received(router: APIRouter, services: DataPlaneServices) -> None:
    async def pushed(request: Request, pid: str) -> Response:
        received = await services.receiving.take(
            pid,
            _token(request),
            Pushed(
                chunks=request.stream(),
                media_type=request.headers.get("content-type", "").partition(";")[0].strip().lower(),
                receipt=request.headers.get(RECEIPT_HEADER),
            ),
        )
        return JSONResponse({"bytes": received.size, "sha256": received.sha256})

    for method in ("POST", "PUT"):
        router.add_api_route(RECEIVED_PATH + "/{pid}", pushed, methods=[method])


async def _settled(
    services: DataPlaneServices, token: str, identifier: str, after: str | None, wait: timedelta
) -> Computation:
    """A computation, once it has left the state `after`, or when the wait is over."""
    return await settled(
        services.changes,
        identifier,
        lambda: services.computing.shown(token, identifier),
        lambda record: record.state != after,
        wait,
    )


def _receipt(tx: Transaction, digest: str, identifier: str) -> bytes:
    """A receipt, for the party to the agreement that it is about."""
    transfer = tx.transfer_with_token(digest)
    entry = tx.ledger_entry(identifier)
    content = tx.document(identifier)
    if (
        transfer is None
        or transfer.role is not Party.PROVIDER
        or entry is None
        or content is None
        or entry.kind not in RECEIPT_KINDS
        or entry.agreement_id != transfer.agreement_id
    ):
        raise AccessDeniedError("There is no such receipt.")
    return content


def computation_body(record: Computation) -> JsonObject:
    """A computation as its consumer sees it: outputs only once they are released."""
    released = record.state is ComputationState.RELEASED
    reason: JsonObject | None = {**record.reason} if record.reason else None
    return {
        "identifier": record.identifier,
        "state": record.state.value,
        "reason": reason["en"] if reason else None,
        "reasons": reason,
        "tier": record.tier,
        "receipt": record.receipt,
        "outputs": [
            {
                "name": output.name,
                "kind": output.kind,
                "mediaType": output.media_type,
                "bytes": output.size,
                "sha256": output.sha256,
                "checks": list(output.checks),
            }
            for output in (record.outputs if released else ())
        ],
    }


def _token(request: Request) -> str:
    return bearer_token(request.headers.get("authorization"))


def _bare_token(request: Request) -> str:
    """The access token, with or without a scheme before it: EDC sends it alone."""
    header = request.headers.get("authorization", "")
    if header and " " not in header.strip():
        return header.strip()
    return bearer_token(header)


async def _document(request: Request, most_bytes: int) -> JsonObject:
    document = loads(await request.body(), max_bytes=most_bytes)
    if not isinstance(document, dict):
        raise MalformedJsonError("The body must be a JSON object")
    return document
