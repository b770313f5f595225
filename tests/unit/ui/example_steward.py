"""A steward's day, as values, and fakes of the ports that the pages read and decide through."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request

from connector.http.catalog import catalog_router
from connector.ui.public_pages import PublicPages
from connector.ui.reading import (
    AgreementLine,
    CheckLine,
    ComputationLine,
    CredentialLine,
    CredentialState,
    DecisionNotPossibleError,
    DownloadedFile,
    LedgerLine,
    LedgerView,
    MetricLine,
    NegotiationLine,
    OfferLine,
    OutputLine,
    ParticipantView,
    PartnerFact,
    PartnerLine,
    PartnersView,
    Peer,
    QueryLine,
    Question,
    Side,
    TreeHead,
)
from connector.ui.rendering import PageRenderer
from connector.ui.routes import ui_router
from connector.ui.static_files import static_router
from connector.ui.terms import term_groups
from tests.unit.catalog.example_catalog import catalog, dataset

TOKEN = "csrf-of-this-session"
LASTWERK = Peer("did:web:lastwerk-ki.example", "Lastwerk KI")
STRANGER = Peer("did:web:unbekannt.example")
TITLE = {"de": "Lastprofile Rheinaue 2016", "en": "Load profiles Rheinaue 2016"}
TERMS = term_groups(dataset().offer.policy)
AT = datetime(2026, 11, 21, 13, 5, tzinfo=UTC)
HELD = {"de": "Der Zweck weicht vom Angebot ab.", "en": "The purpose differs from the offer."}
REFUSED = "<b>The purpose</b> of did:web:evil.example is not permitted."
LATE = {"de": "Die Berechnung hat zu lange gedauert.", "en": "The computation took too long."}
HELD_OUTPUT = {"de": "Der Vertrag verlangt Ihre Freigabe.", "en": "The agreement asks for your release."}
EVIDENCE = b'{"@type": "Agreement", "proof": []}'


def _negotiation(identifier: str, peer: Peer, state: str, held: Any, hour: int) -> NegotiationLine:
    when = AT.replace(hour=hour)
    reason = {"de": REFUSED, "en": REFUSED} if state == "TERMINATED" else None
    purpose = {"de": "Lastprognose", "en": "load forecasting"} if peer is LASTWERK else None
    return NegotiationLine(
        identifier,
        Side.PROVIDER,
        peer,
        "urn:d",
        TITLE,
        state,
        held,
        when,
        question=Question.DELIVERY if state == "AGREED" else Question.REQUEST,
        purpose=purpose,
        reason=reason,
        terms=TERMS,
    )


def _outputs() -> tuple[OutputLine, ...]:
    return (
        OutputLine(
            "metrics.json",
            {"de": "Kennzahlen", "en": "metrics"},
            412,
            "ef" * 32,
            (CheckLine(True, {"de": "Nur erlaubte Felder.", "en": "Only permitted fields."}),),
            (MetricLine("mae", 0.59731), MetricLine("rows", 295_200)),
        ),
        OutputLine(
            "model.safetensors",
            {"de": "Modell", "en": "model"},
            48_200,
            "ba" * 32,
            (
                CheckLine(True, {"de": "Größe unter 5 MB.", "en": "Size below 5 MB."}),
                CheckLine(
                    False, {"de": "Enthält sehr viele Parameter.", "en": "Holds very many parameters."}
                ),
            ),
        ),
    )


def _computation(identifier: str, state: str, held: Any, outputs: tuple[OutputLine, ...]) -> ComputationLine:
    return ComputationLine(
        identifier,
        Side.PROVIDER,
        LASTWERK,
        "urn:d",
        TITLE,
        "ab" * 32,
        state,
        held,
        AT,
        outputs,
        reason=LATE if state == "TERMINATED" else None,
        receipt="urn:uuid:r-1" if state == "RELEASED" else None,
    )


class FakePages:
    def __init__(self, *, empty: bool = False, raw_rows_out: int = 0) -> None:
        self._empty = empty
        self._raw_rows_out = raw_rows_out

    def _of(self, *lines: Any) -> tuple[Any, ...]:
        return () if self._empty else lines

    async def participant(self) -> ParticipantView:
        return ParticipantView(
            "Stadtwerke Rheinaue",
            "did:web:stadtwerke-rheinaue.example",
            "https://stadtwerke-rheinaue.example",
        )

    async def offers(self) -> tuple[OfferLine, ...]:
        page = "https://stadtwerke-rheinaue.example/datasets/1"
        older = {"de": "Zählerstände 2015", "en": "Meter readings 2015"}
        return self._of(
            OfferLine(
                *("urn:d", TITLE, "load_profiles", 1_234_567, True, AT, page),
                by_hand=True,
                accepts_unsigned=False,
                terms=TERMS,
            ),
            OfferLine(
                *("urn:e", older, "meter_readings", 8_760, False, AT, page),
                by_hand=False,
                accepts_unsigned=True,
                terms=(),
            ),
        )

    async def negotiations(self) -> tuple[NegotiationLine, ...]:
        return self._of(
            _negotiation("urn:uuid:n-1", LASTWERK, "REQUESTED", HELD, 13),
            _negotiation("urn:uuid:n-2", LASTWERK, "FINALIZED", None, 12),
            _negotiation("urn:uuid:n-3", STRANGER, "TERMINATED", None, 11),
            _negotiation("urn:uuid:n-4", LASTWERK, "AGREED", HELD, 10),
        )

    async def agreements(self) -> tuple[AgreementLine, ...]:
        parties = ("did:web:stadtwerke-rheinaue.example", "did:web:lastwerk-ki.example")
        until = datetime(2027, 12, 31, 22, 59, tzinfo=UTC)
        names = ("urn:uuid:a-1", "urn:uuid:a-2", "urn:uuid:a-3")
        ours, ended, theirs = (
            AgreementLine(
                *(name, Side.PROVIDER, LASTWERK, "urn:d", TITLE, AT, until, parties),
                signed=True,
                in_force=True,
                terms=TERMS,
            )
            for name in names
        )
        words = "<b>The meters</b> were wrong."
        return self._of(
            ours,
            replace(ended, in_force=False, ended=AT, reason={"de": words, "en": words}),
            replace(theirs, role=Side.CONSUMER, signed=False, signed_by=()),
        )

    async def evidence(self, agreement: str) -> DownloadedFile | None:
        return DownloadedFile("agreement-a-1.json", EVIDENCE) if agreement == "urn:uuid:a-1" else None

    async def receipt(self, identifier: str) -> DownloadedFile | None:
        return DownloadedFile("receipt-r-1.json", EVIDENCE) if identifier == "urn:uuid:r-1" else None

    async def output(self, computation: str, name: str) -> DownloadedFile | None:
        known = (computation, name) == ("urn:uuid:c-1", "metrics.json")
        return DownloadedFile(name, b"{}") if known else None

    async def queries(self) -> tuple[QueryLine, ...]:
        refusal = {"de": "Einzelne Zeilen sind nicht erlaubt.", "en": "Single rows are not permitted."}
        good = "SELECT hour(ts), avg(load_kw) FROM load_profiles GROUP BY 1"
        return self._of(
            QueryLine("q1", Side.PROVIDER, LASTWERK, TITLE, good, AT, None, 24, 1_536, 2, "urn:uuid:r-1"),
            QueryLine(
                "q2", Side.PROVIDER, LASTWERK, TITLE, "SELECT * FROM load_profiles", AT, refusal, 0, 0, 0
            ),
        )

    async def computations(self) -> tuple[ComputationLine, ...]:
        return self._of(
            _computation("urn:uuid:c-1", "REVIEWED", HELD_OUTPUT, _outputs()),
            _computation("urn:uuid:c-2", "RUNNING", None, ()),
            _computation("urn:uuid:c-3", "RELEASED", None, _outputs()),
            _computation("urn:uuid:c-4", "TERMINATED", None, ()),
        )

    async def partners(self) -> PartnersView:
        problem = {"de": "Der Partner widerspricht sich.", "en": "The partner contradicts itself."}
        member = CredentialLine(
            ("MembershipCredential",), "did:web:genossenschaft.example", AT, CredentialState.VALID
        )
        gone = replace(member, until=None, state=CredentialState.REVOKED)
        role = PartnerFact({"de": "Rollen", "en": "Roles"}, ("https://genossenschaft.example/#forecaster",))
        return PartnersView(
            self._of(
                PartnerLine(
                    *(LASTWERK, True, (role,), AT, (member, gone, replace(gone, state=CredentialState.OVER))),
                    *(
                        ({"de": "<b>Nobody</b> gilt nicht.", "en": "<b>Nobody</b> here is an issuer."},),
                        1_007,
                        AT,
                        None,
                    ),
                ),
                PartnerLine(STRANGER, False, (), None, (), (), 3, None, problem),
            ),
            self._of(member),
        )

    async def ledger(self) -> LedgerView:
        older = {"de": "Zählerstände 2015", "en": "Meter readings 2015"}
        lines = self._of(
            LedgerLine("urn:d", TITLE, self._raw_rows_out, 0, 1_250_000, 7),
            LedgerLine("urn:e", older, 0, 0, 0, 0),
        )
        return LedgerView(lines, None if self._empty else TreeHead(1_007, "0f" * 32, AT))


class FakeDecisions:
    def __init__(self, refusal: dict[str, str] | None = None) -> None:
        self.made: list[tuple[str, ...]] = []
        self._refusal = refusal

    def _make(self, *decision: str) -> None:
        if self._refusal is not None:
            raise DecisionNotPossibleError(self._refusal)
        self.made.append(decision)

    async def accept_negotiation(self, negotiation: str) -> None:
        self._make("accept", negotiation)

    async def reject_negotiation(self, negotiation: str, reason: str) -> None:
        self._make("reject", negotiation, reason)

    async def end_agreement(self, agreement: str, reason: str) -> None:
        self._make("end", agreement, reason)

    async def release_computation(self, computation: str) -> None:
        self._make("release", computation)

    async def refuse_computation(self, computation: str, reason: str) -> None:
        self._make("refuse", computation, reason)


class FakeSession:
    def __init__(self, token: str = TOKEN) -> None:
        self._token = token

    def csrf_token(self, request: Request) -> str:  # noqa: ARG002 - the port passes it
        return self._token


class FakeCatalogReader:
    def __init__(self) -> None:
        self.current = catalog()

    async def catalog(self) -> Any:
        return self.current


def steward_app(pages: Any = None, decisions: Any = None, session: Any = None) -> FastAPI:
    app = FastAPI()
    router = ui_router(
        pages or FakePages(), decisions or FakeDecisions(), session or FakeSession(), PageRenderer()
    )
    app.include_router(static_router())
    app.include_router(router)
    return app


def public_app(reader: FakeCatalogReader | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(static_router())
    app.include_router(catalog_router(reader or FakeCatalogReader(), PublicPages(PageRenderer())))
    return app
