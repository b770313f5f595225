"""Receipts between partners: a recipient reads its receipts, and returns its countersignatures.

Beside the messages of the Dataspace Protocol, and known by the same tokens: a
receipt can be had when the access token of its transfer is long closed.
"""

from typing import Final

from fastapi import APIRouter, Request, Response

from connector.http.authentication import IdentityVerifier
from connector.http.dsp import PREFIX
from connector.services.receipting import Receipting

_JSON: Final = "application/json"


def receipts_router(identity: IdentityVerifier, receipting: Receipting) -> APIRouter:
    """Both routes; the caller proves who it is before anything is read."""
    router = APIRouter(prefix=PREFIX + "/receipts")

    @router.get("/{identifier}")
    async def shown(request: Request, identifier: str) -> Response:
        participant = await identity.verify(request.headers.get("authorization"))
        return Response(await receipting.shown(participant, identifier), media_type=_JSON)

    @router.post("/{identifier}/countersignature")
    async def countersigned(request: Request, identifier: str) -> Response:
        participant = await identity.verify(request.headers.get("authorization"))
        await receipting.take(participant, identifier, await request.body())
        return Response(status_code=200)

    return router
