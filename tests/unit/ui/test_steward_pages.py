"""The steward's pages show what waits, take decisions once, and refuse forged ones."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response

from connector.ui.reading import NegotiationLine, OfferLine
from connector.ui.terms import term_groups
from policies.actions import QUERY
from policies.model import (
    Connective,
    Constraint,
    LogicalConstraint,
    Operator,
    Permission,
    Policy,
    PolicyKind,
)
from schemas.vocabulary import ODRL
from tests.unit.ui.example_steward import (
    EVIDENCE,
    TOKEN,
    FakeDecisions,
    FakePages,
    FakeSession,
    steward_app,
)

LISTS = ["/", "/angebote", "/anfragen", "/vertraege", "/abfragen", "/rechnen", "/partner", "/datenfluss"]
PAGES = [
    *LISTS,
    *(f"/anfragen/urn:uuid:n-{number}" for number in range(1, 5)),
    *(f"/vertraege/urn:uuid:a-{number}" for number in range(1, 4)),
    *(f"/rechnen/urn:uuid:c-{number}" for number in range(1, 5)),
]
HTML = {"Accept": "text/html"}


async def _get(path: str, headers: dict[str, str] | None = None, **ports: Any) -> Response:
    transport = ASGITransport(app=steward_app(**ports))
    async with AsyncClient(transport=transport, base_url="http://steward") as client:
        return await client.get(path, headers=headers or HTML)


async def _post(path: str, form: dict[str, str], **ports: Any) -> Response:
    transport = ASGITransport(app=steward_app(**ports))
    async with AsyncClient(transport=transport, base_url="http://steward") as client:
        return await client.post(path, data=form, headers=HTML)


class _Outline(HTMLParser):
    """What a screen reader builds on: the tags and their attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_can_be_read_with_a_screen_reader(path: str, language: str) -> None:
    answer = await _get(path, {"Accept": "text/html", "Accept-Language": language})
    outline = _Outline(answer.text)

    assert answer.status_code == 200
    assert outline.all("html")[0]["lang"] == language
    assert [len(outline.all(tag)) for tag in ("title", "h1", "main", "header", "footer")] == [1, 1, 1, 1, 1]
    assert all(nav.get("aria-label") for nav in outline.all("nav"))
    assert len(outline.all("table")) == len(outline.all("caption"))
    assert all(cell.get("scope") for cell in outline.all("th"))
    assert all("alt" in image for image in outline.all("img"))
    levels = [int(tag[1]) for tag, _ in outline.found if tag in {"h1", "h2", "h3", "h4"}]
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", PAGES)
async def test_identifiers_on_a_page_are_unique_and_references_lead_somewhere(path: str) -> None:
    found = _Outline((await _get(path)).text).found
    identifiers = [attributes["id"] for _, attributes in found if "id" in attributes]
    referred = [
        name
        for _, attributes in found
        for key in ("aria-labelledby", "aria-describedby", "for")
        for name in (attributes.get(key) or "").split()
    ]

    assert len(identifiers) == len(set(identifiers))
    assert set(referred) <= set(identifiers)


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_runs_or_loads_anything_foreign(path: str) -> None:
    answer = await _get(path)
    found = _Outline(answer.text).found

    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["cache-control"] == "no-store"
    loaded = [
        attributes.get("src") or attributes.get("href") for tag, attributes in found if tag in {"link", "img"}
    ]
    assert all(address and address.startswith("/static/") for address in loaded)
    assert not [tag for tag, attributes in found if tag in {"script", "style"} or "style" in attributes]


@pytest.mark.parametrize("path", LISTS)
async def test_an_empty_page_says_what_comes_next(path: str) -> None:
    answer = await _get(path, pages=FakePages(empty=True))

    assert answer.status_code == 200
    assert 'class="empty"' in answer.text


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_gives_its_data_as_json(path: str) -> None:
    answer = await _get(path, {"Accept": "application/json"})

    assert answer.headers["content-type"] == "application/json"
    json.loads(answer.text)


async def test_the_json_of_the_ledger_holds_its_figures() -> None:
    data = (await _get("/datenfluss", {"Accept": "application/json"}, pages=FakePages(raw_rows_out=3))).json()

    assert data["lines"][0]["raw_rows_out"] == 3
    assert data["lines"][0]["result_bytes_out"] == 1_250_000
    assert data["head"] == {"size": 1_007, "root": "0f" * 32, "signed": "2026-11-21T13:05:00Z"}


async def test_what_waits_stands_before_everything_else() -> None:
    page = (await _get("/")).text

    assert page.index("Der Zweck weicht vom Angebot ab.") < page.index("Auf einen Blick")
    assert page.index("Der Vertrag verlangt Ihre Freigabe.") < page.index("Auf einen Blick")


async def test_raw_data_that_left_are_an_alarm() -> None:
    assert "Keine Rohdaten haben Ihr Haus verlassen" in (await _get("/datenfluss")).text
    leaked = (await _get("/datenfluss", pages=FakePages(raw_rows_out=3))).text
    assert "Keine Rohdaten" not in leaked
    assert "Rohdaten haben Ihr Haus verlassen" in leaked


async def test_a_chosen_language_is_kept() -> None:
    answer = await _get("/?lang=en", {"Accept": "text/html", "Accept-Language": "de"})

    assert '<html lang="en">' in answer.text
    assert answer.cookies["allmende_language"] == "en"
    kept = await _get("/", {"Accept": "text/html", "Cookie": "allmende_language=en", "Accept-Language": "de"})
    assert '<html lang="en">' in kept.text


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/vertraege/urn%3Auuid%3Aa-1/nachweis", EVIDENCE),
        ("/belege/urn%3Auuid%3Ar-1", EVIDENCE),
        ("/rechnen/urn%3Auuid%3Ac-1/ergebnisse/metrics.json", b"{}"),
    ],
)
async def test_a_file_is_downloaded_byte_for_byte_and_never_opened(path: str, content: bytes) -> None:
    answer = await _get(path)

    assert answer.content == content
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/vertraege/other/nachweis", "/belege/other", "/rechnen/urn%3Auuid%3Ac-1/ergebnisse/other"]
)
async def test_a_file_that_does_not_exist_is_not_found(path: str) -> None:
    assert (await _get(path)).status_code == 404


@pytest.mark.parametrize(
    ("language", "headings"),
    [
        ("de", ["Abfragen", "Berechnungen", "Verboten"]),
        ("en", ["Queries", "Computations", "Prohibited"]),
    ],
)
async def test_terms_are_grouped_by_what_they_are_about(language: str, headings: list[str]) -> None:
    page = (await _get("/anfragen/urn:uuid:n-1", {"Accept": "text/html", "Accept-Language": language})).text

    assert re.findall(r'<h3 class="about">(.+?)</h3>', page) == headings


async def test_a_badge_says_once_who_makes_a_term_hold() -> None:
    page = (await _get("/anfragen/urn:uuid:n-1")).text
    terms = page.partition('<ul class="terms">')[2].rpartition("</ul>")[0]

    assert terms.count("technisch durchgesetzt") == terms.count("<li>")
    assert "Technisch durchgesetzt" not in terms
    assert "Bis 31.12.2027, 23:59:59 Uhr (UTC)." in terms
    assert "T23:59:59" not in terms


class PagesWithAlternatives(FakePages):
    """An offer, and what a partner asks for, in which one condition may stand in for the other."""

    END = Constraint(ODRL + "dateTime", Operator.LTEQ, ("2027-12-31T23:59:59Z",))
    PLACE = Constraint(ODRL + "spatial", Operator.IS_PART_OF, ("DE",))
    RULE = Permission("permission/0", QUERY, (LogicalConstraint(Connective.OR, (END, PLACE)),))
    TERMS = term_groups(Policy(PolicyKind.OFFER, "urn:1", permissions=(RULE,)))

    async def offers(self) -> tuple[OfferLine, ...]:
        return tuple(replace(offer, terms=self.TERMS) for offer in (await super().offers())[:1])

    async def negotiations(self) -> tuple[NegotiationLine, ...]:
        return tuple(replace(line, terms=self.TERMS) for line in await super().negotiations())


@pytest.mark.parametrize("path", ["/angebote", "/anfragen/urn:uuid:n-1"])
@pytest.mark.parametrize(
    ("language", "head"),
    [
        ("de", "Mindestens eine von 2 Bedingungen muss gelten:"),
        ("en", "At least one of 2 conditions must hold:"),
    ],
)
async def test_conditions_stand_below_what_joins_them(path: str, language: str, head: str) -> None:
    headers = {"Accept": "text/html", "Accept-Language": language}
    page = (await _get(path, headers, pages=PagesWithAlternatives())).text

    below = page.partition(head)[2].partition("</ol>")[0]
    assert below.count("<li>") == 2
    assert "2027" in below
    assert "DE." in below


async def test_terms_are_counted_one_by_one_whatever_joins_them() -> None:
    page = (await _get("/angebote", pages=PagesWithAlternatives())).text

    [shown] = re.findall(r"<summary>(.+?)</summary>", page)
    assert shown == "Bedingungen anzeigen (3)"


async def test_a_reason_in_the_words_of_a_person_or_partner_is_a_quotation() -> None:
    theirs = (await _get("/anfragen/urn:uuid:n-3")).text
    assert (
        '<blockquote lang="">&lt;b&gt;The purpose&lt;/b&gt; of '
        '<abbr title="did:web:evil.example">evil.example</abbr> is not permitted.</blockquote>'
    ) in theirs
    ours = (await _get("/rechnen/urn:uuid:c-4")).text
    assert "Die Berechnung hat zu lange gedauert." in ours
    assert "<blockquote" not in ours


async def test_whoever_releases_outputs_sees_their_numbers() -> None:
    page = (await _get("/rechnen/urn:uuid:c-1")).text

    assert "<dd>0,59731</dd>" in page
    assert "<dd>295.200</dd>" in page


async def test_a_partner_without_a_name_is_called_by_its_address() -> None:
    page = (await _get("/anfragen")).text

    assert "unbekannt.example" in page
    assert "did:web:unbekannt.example" not in page


async def test_a_request_without_a_purpose_says_so() -> None:
    assert "<dd>Lastprognose</dd>" in (await _get("/anfragen/urn:uuid:n-1")).text
    assert "Der Partner hat keinen Zweck angegeben." in (await _get("/anfragen/urn:uuid:n-3")).text


async def test_the_buttons_say_what_is_decided() -> None:
    assert "Anfrage annehmen</button>" in (await _get("/anfragen/urn:uuid:n-1")).text
    assert "Noch einmal senden</button>" in (await _get("/anfragen/urn:uuid:n-4")).text


DECISIONS = [
    ("/anfragen/urn:uuid:n-1/annehmen", {}, ("accept", "urn:uuid:n-1"), "/anfragen?done=accepted"),
    (
        "/anfragen/urn:uuid:n-1/ablehnen",
        {"reason": " Anderer Zweck. "},
        ("reject", "urn:uuid:n-1", "Anderer Zweck."),
        "/anfragen?done=rejected",
    ),
    (
        "/anfragen/urn:uuid:n-4/annehmen",
        {},
        ("accept", "urn:uuid:n-4"),
        "/anfragen?done=accepted_delivery",
    ),
    (
        "/vertraege/urn:uuid:a-1/beenden",
        {"reason": " Die Zähler waren falsch. "},
        ("end", "urn:uuid:a-1", "Die Zähler waren falsch."),
        "/vertraege?done=ended",
    ),
    ("/rechnen/urn:uuid:c-1/freigeben", {}, ("release", "urn:uuid:c-1"), "/rechnen?done=released"),
    (
        "/rechnen/urn:uuid:c-1/verweigern",
        {"reason": "Zu groß."},
        ("refuse", "urn:uuid:c-1", "Zu groß."),
        "/rechnen?done=refused",
    ),
]


@pytest.mark.parametrize(("path", "form", "decision", "next_page"), DECISIONS)
async def test_a_decision_is_made_once_and_leads_to_the_list(
    path: str, form: dict[str, str], decision: tuple[str, ...], next_page: str
) -> None:
    decisions = FakeDecisions()

    answer = await _post(path, {"csrf": TOKEN, **form}, decisions=decisions)

    assert decisions.made == [decision]
    assert answer.status_code == 303
    assert answer.headers["location"] == next_page
    assert 'role="status"' in (await _get(next_page)).text


@pytest.mark.parametrize("token", ["", "guess", TOKEN + "x"])
@pytest.mark.parametrize(("path", "form"), [(path, form) for path, form, _, _ in DECISIONS])
async def test_a_forged_form_decides_nothing(path: str, form: dict[str, str], token: str) -> None:
    decisions = FakeDecisions()

    answer = await _post(path, {"csrf": token, **form}, decisions=decisions)

    assert (answer.status_code, decisions.made) == (403, [])


async def test_without_a_session_no_form_is_accepted() -> None:
    decisions = FakeDecisions()

    answer = await _post(DECISIONS[0][0], {"csrf": ""}, decisions=decisions, session=FakeSession(""))

    assert (answer.status_code, decisions.made) == (403, [])


@pytest.mark.parametrize("path", [path for path, *_ in DECISIONS])
async def test_a_decision_cannot_be_made_with_a_link(path: str) -> None:
    decisions = FakeDecisions()

    answer = await _get(f"{path}?csrf={TOKEN}&reason=x", decisions=decisions)

    assert (answer.status_code, decisions.made) == (404, [])


@pytest.mark.parametrize(("reason", "told"), [("  ", "Die Begründung fehlt"), ("x" * 1001, "1000 Zeichen")])
async def test_a_refusal_needs_a_reason_of_sensible_length_and_keeps_the_input(
    reason: str, told: str
) -> None:
    decisions = FakeDecisions()

    answer = await _post(DECISIONS[1][0], {"csrf": TOKEN, "reason": reason}, decisions=decisions)

    assert (answer.status_code, decisions.made) == (422, [])
    assert told in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert reason.strip() in answer.text
    assert 'href="/anfragen/urn:uuid:n-1?lang=en"' in answer.text, "the other language can be read, too"


async def test_a_decision_that_comes_too_late_says_so() -> None:
    late = {"de": "Der Partner hat zurückgezogen.", "en": "The partner has withdrawn."}

    answer = await _post(DECISIONS[0][0], {"csrf": TOKEN}, decisions=FakeDecisions(late))

    assert answer.status_code == 409
    assert "Der Partner hat zurückgezogen." in answer.text


@pytest.mark.parametrize("path", ["/anfragen/urn:uuid:n-9", "/rechnen/../../etc", "/anfragen/%3Cscript%3E"])
async def test_an_unknown_entry_is_not_found(path: str) -> None:
    answer = await _get(path)

    assert answer.status_code == 404
    assert "<script" not in answer.text


async def test_a_negotiation_that_waits_for_nobody_offers_no_decision() -> None:
    assert "<form" in (await _get("/anfragen/urn:uuid:n-1")).text
    assert "<form" not in (await _get("/anfragen/urn:uuid:n-2")).text


async def test_only_the_provider_of_an_agreement_in_force_can_end_it() -> None:
    button = "Vertrag vorzeitig beenden</button>"
    assert button in (await _get("/vertraege/urn:uuid:a-1")).text
    assert button not in (await _get("/vertraege/urn:uuid:a-2")).text
    assert button not in (await _get("/vertraege/urn:uuid:a-3")).text
    assert (await _get("/vertraege")).text.count("Vertrag vorzeitig beenden</a>") == 1


async def test_an_agreement_that_was_ended_says_when_and_why() -> None:
    page = (await _get("/vertraege/urn:uuid:a-2")).text
    assert "Vorzeitig beendet</dt><dd>" in page
    assert '<blockquote lang="">&lt;b&gt;The meters&lt;/b&gt; were wrong.</blockquote>' in page


@pytest.mark.parametrize(
    ("language", "named"), [("de", "Prüfbericht für eine Abfrage"), ("en", "Report for a query")]
)
async def test_an_agreement_leads_to_what_it_would_decide_now(language: str, named: str) -> None:
    page = (await _get("/vertraege/urn:uuid:a-1", {"Accept": "text/html", "Accept-Language": language})).text
    for action in ("query", "compute", "reproduce"):
        assert f'href="/api/agreements/urn%3Auuid%3Aa-1/report?action={action}"' in page
    assert named in page


async def test_an_agreement_is_not_ended_without_a_reason() -> None:
    decisions = FakeDecisions()

    answer = await _post(
        "/vertraege/urn:uuid:a-1/beenden", {"csrf": TOKEN, "reason": " "}, decisions=decisions
    )

    assert (answer.status_code, decisions.made) == (422, [])
    assert "Die Begründung fehlt" in answer.text


@pytest.mark.parametrize("name", ["allmende.css", "mark.svg"])
async def test_static_files_are_served_from_a_fixed_list(name: str) -> None:
    assert (await _get(f"/static/{name}")).status_code == 200
    assert (await _get("/static/..%2Froutes.py")).status_code == 404
    assert (await _get("/static/routes.py")).status_code == 404


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "de",
            ["Lastwerk KI", "Rollen", "gültig", "zurückgenommen", "gilt jetzt nicht", "widerspricht sich"],
        ),
        ("en", ["Lastwerk KI", "Roles", "valid", "taken back", "not valid now", "contradicts itself"]),
    ],
)
async def test_the_page_about_partners_says_who_they_are_and_who_says_so(
    language: str, words: list[str]
) -> None:
    page = (await _get("/partner", {"Accept": "text/html", "Accept-Language": language})).text
    assert [word for word in words if word not in page] == []
    assert "<b>Nobody</b>" not in page
    assert "&lt;b&gt;Nobody&lt;/b&gt;" in page
