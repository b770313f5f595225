"""Credentials over HTTP: ours for partners who may see them, and what is issued and shown for our own people.

Source:
    Eclipse Decentralized Claims Protocol 1.0, section 5.4 (resolution API).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import to_jsonable_python

from connector.evidence.credentials import Credential
from connector.http.authentication import IdentityVerifier
from connector.http.management import PREFIX as MANAGEMENT_PREFIX
from connector.ports import Clock, HeldCredential, IssuedCredential, Presentation
from connector.services.issuing import STATUS_PATH, Issuing, Statement
from connector.services.presenting import Presenting
from connector.services.vetting import Vetting
from policies.circumstances import Circumstances
from schemas.dcp import QUERY_PATH
from schemas.strict_json import JsonObject, loads

_MOST_QUERY_BYTES: Final = 65_536
_DID = r"^did:[a-z0-9]+:[A-Za-z0-9._:%-]+$"


def credentials_router(
    identity: IdentityVerifier, presenting: Presenting, issuing: Issuing, prefix: str
) -> APIRouter:
    """For the public listener: who asks for credentials proves who it is; the list of states is public."""
    router = APIRouter(prefix=prefix)

    @router.post(QUERY_PATH)
    async def query(request: Request) -> JSONResponse:
        verifier = await identity.verify(request.headers.get("authorization"))
        document = loads(await request.body(), max_bytes=_MOST_QUERY_BYTES)
        return JSONResponse(await presenting.shown(verifier, document))

    @router.get(STATUS_PATH)
    async def states() -> Response:
        return Response(await issuing.status_list(), media_type="application/vc+jwt")

    return router


class CredentialBody(BaseModel):
    """A credential about us."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    credential: Annotated[str, Field(max_length=65_536)]


class StatementBody(BaseModel):
    """What is to be stated about somebody."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    subject: Annotated[str, Field(pattern=_DID, max_length=1000)]
    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{0,99}$")] = "MembershipCredential"
    claims: Mapping[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")], JsonValue] = {}
    valid_until: AwareDatetime


class IdentifierBody(BaseModel):
    """A credential by its identifier."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    identifier: Annotated[str, Field(max_length=1000)]


def management_credentials_router(
    presenting: Presenting, issuing: Issuing, vetting: Vetting, circumstances: Circumstances, clock: Clock
) -> APIRouter:
    """For the management listener: credentials about us, those that we issue, and those of partners."""
    router = APIRouter(prefix=MANAGEMENT_PREFIX)

    @router.get("/credentials")
    async def held() -> JSONResponse:
        return JSONResponse([_held(one) for one in await presenting.held()])

    @router.post("/credentials")
    async def keep(body: CredentialBody) -> JSONResponse:
        return JSONResponse(_held(await presenting.keep(body.credential.strip())), 201)

    @router.delete("/credentials/{identifier:path}")
    async def discard(identifier: str) -> Response:
        await presenting.discard(identifier)
        return Response(status_code=204)

    @router.get("/issued-credentials")
    async def issued() -> JSONResponse:
        return JSONResponse([_issued(one) for one in await issuing.issued()])

    @router.post("/issued-credentials")
    async def issue(body: StatementBody) -> JSONResponse:
        statement = Statement(body.subject, body.type, dict(body.claims), body.valid_until)
        return JSONResponse(_issued(await issuing.issue(statement)), 201)

    @router.post("/issued-credentials/revocation")
    async def take_back(body: IdentifierBody) -> JSONResponse:
        return JSONResponse(_issued(await issuing.take_back(body.identifier)))

    @router.get("/participants")
    async def participants() -> JSONResponse:
        shown = {one.partner: one for one in vetting.presentations()}
        names = sorted({*circumstances.partners, *shown})
        now = clock.now()
        return JSONResponse([_participant(name, circumstances, shown.get(name), now) for name in names])

    return router


def _held(record: HeldCredential) -> JsonObject:
    return {**_credential(record.credential), "kept": record.kept.isoformat(), "credential": record.token}


def _credential(credential: Credential) -> JsonObject:
    return {
        "identifier": credential.identifier,
        "issuer": credential.issuer,
        "subject": credential.subject,
        "types": list(credential.types),
        "claims": credential.claims,
        "valid_from": _moment(credential.valid_from),
        "valid_until": _moment(credential.valid_until),
    }


def _issued(record: IssuedCredential) -> JsonObject:
    return {
        "identifier": record.identifier,
        "subject": record.subject,
        "type": record.kind,
        "issued": record.issued.isoformat(),
        "valid_until": record.valid_until.isoformat(),
        "revoked": _moment(record.taken_back),
        "credential": record.token,
    }


def _participant(
    name: str, circumstances: Circumstances, shown: Presentation | None, now: datetime
) -> JsonObject:
    """What is known about a partner, and where from."""
    known = circumstances.known_about(name, now)
    return {
        "participant": name,
        "stated": to_jsonable_python(circumstances.partners.get(name)),
        "known": to_jsonable_python(known),
        "shown": None if shown is None else shown.shown.isoformat(),
        "credentials": [
            {
                **_credential(one.credential),
                "checked": one.checked.isoformat(),
                "revoked": one.taken_back,
            }
            for one in (shown.credentials if shown else ())
        ],
        "refused": [dict(reason) for reason in (shown.refused if shown else ())],
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
