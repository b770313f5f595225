"""Our ledger's state and its proofs, for partners; known by the same tokens as the protocol's messages."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python

from connector.http.authentication import IdentityVerifier
from connector.http.dsp import PREFIX
from connector.http.management import PREFIX as MANAGEMENT_PREFIX
from connector.services.witnessing import CONSISTENCY_PATH, HEAD_PATH, INCLUSION_PATH, Witnessing

Size = Annotated[int, Query(ge=0, le=2**31)]


def ledger_router(identity: IdentityVerifier, witnessing: Witnessing) -> APIRouter:
    """All three routes; the caller proves who it is before anything is read."""
    router = APIRouter(prefix=PREFIX)

    @router.get(HEAD_PATH)
    async def head(request: Request) -> JSONResponse:
        await identity.verify(request.headers.get("authorization"))
        return JSONResponse(await witnessing.head())

    @router.get(CONSISTENCY_PATH)
    async def consistency(request: Request, first: Size, second: Size) -> JSONResponse:
        await identity.verify(request.headers.get("authorization"))
        return JSONResponse(await witnessing.consistency(first, second))

    @router.get(INCLUSION_PATH)
    async def inclusion(
        request: Request, identifier: Annotated[str, Query(max_length=1000)], size: Size
    ) -> JSONResponse:
        participant = await identity.verify(request.headers.get("authorization"))
        return JSONResponse(await witnessing.inclusion(participant, identifier, size))

    return router


class PartnerBody(BaseModel):
    """A partner whose ledger is to be compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    partner: Annotated[str, Field(max_length=1000)]


def partner_ledgers_router(witnessing: Witnessing) -> APIRouter:
    """For the management listener: our own tree head, and what we know of partners' ledgers."""
    router = APIRouter(prefix=MANAGEMENT_PREFIX)

    @router.get("/ledger/head")
    async def head() -> JSONResponse:
        return JSONResponse(await witnessing.head())

    @router.get("/partner-ledgers")
    async def partners() -> JSONResponse:
        return JSONResponse([to_jsonable_python(one) for one in await witnessing.partners()])

    @router.post("/partner-ledgers")
    async def compare(body: PartnerBody) -> JSONResponse:
        return JSONResponse(to_jsonable_python(await witnessing.compare(body.partner)))

    return router
