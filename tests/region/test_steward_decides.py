"""A steward decides in the browser: real connectors, and a session that behaves like a browser's.

The session knows what a browser knows: the login link, the pages with their
links and forms, and its cookies. It holds no management token after logging in.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.region.participants import JOB, Participant, Region, offer, segment, until

ADDRESS = "http://127.0.0.1:8080"
TITLE = {"de": "Lastprofile der Rheinaue", "en": "Load profiles of the Rheinaue"}


class _Page(HTMLParser):
    """The links and forms of a page, as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: dict[str, dict[str, str]] = {}
        self._action = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "form" and attributes.get("method") == "post":
            self._action = attributes["action"]
            self.forms[self._action] = {}
        elif tag in {"input", "textarea"} and self._action:
            self.forms[self._action][attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._action = ""


class Browser:
    """A steward's browser: keeps cookies, follows redirects, fills in the forms it was shown."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http = http
        self._token = token
        self.html = ""

    async def log_in(self) -> None:
        answer = await self.http.get("/", params={"token": self._token})
        assert self._token not in str(answer.url), "the address bar does not keep the token"
        assert "authorization" not in answer.request.headers
        self.html = answer.text

    async def open(self, path: str) -> str:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        self.html = answer.text
        return self.html

    async def follow(self, part: str) -> str:
        """Click the first link that contains a text."""
        return await self.open(self.link(part))

    def link(self, part: str) -> str:
        return next(link for link in _Page(self.html).links if part in link)

    def form(self, ending: str) -> tuple[str, dict[str, str]]:
        """Action and fields of the form whose button leads there."""
        return next(one for one in _Page(self.html).forms.items() if one[0].endswith(ending))

    async def submit(self, ending: str, **fields: str) -> httpx.Response:
        """Fill in a form of the page and press its button."""
        action, shown = self.form(ending)
        answer = await self.http.post(action, data={**shown, **fields}, headers={"origin": ADDRESS})
        self.html = answer.text
        return answer


@pytest.fixture
async def browsers() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def region(published: Region) -> Region:
    """The provider's offer asks for a person twice: before the contract, and before outputs leave."""
    changes = {"title": TITLE, "approval": "manual", "offer": offer(review="manual")}
    await published.publish(published.rheinaue, **changes)
    await published.read_catalog(published.rheinaue)
    return published


async def _logged_in(stack: AsyncExitStack, participant: Participant) -> Browser:
    headers = {"accept": "text/html,*/*;q=0.8", "accept-language": "de"}
    http = await stack.enter_async_context(
        participant.management(headers=headers, follow_redirects=True, timeout=30)
    )
    browser = Browser(http, participant.running.token)
    await browser.log_in()
    return browser


async def _held(region: Region) -> tuple[str, str]:
    """Ask for a contract; returns both parties' identifiers once the provider holds the request."""
    pid = await region.request(region.rheinaue)
    await until(lambda: bool(_waiting(region)))
    return pid, _waiting(region)[0]


def _waiting(region: Region) -> list[str]:
    return [one["pid"] for one in region.rheinaue.rows("negotiations") if one["held"]]


async def _commission(region: Region, browser: Browser) -> tuple[str, dict[str, Any]]:
    """A job under a contract that the steward has accepted; returns it as the provider holds it."""
    pid, held = await _held(region)
    await browser.open(f"/anfragen/{quote(held, safe='')}")
    await browser.submit("/annehmen")
    assert (await region.outcome(pid))["state"] == "FINALIZED"
    body = {
        "agreement_id": await region.agreement_with(region.rheinaue),
        "files": JOB,
        "outputs": {"metrics.json": "metrics"},
    }
    identifier = (await region.lastwerk.call("POST", "/api/computations", body))["identifier"]
    path = f"/api/computations/{segment(identifier)}"
    return path, await region.rheinaue.call("GET", f"{path}?wait=40")


async def test_a_request_that_waits_is_accepted_with_a_button(
    region: Region, browsers: AsyncExitStack
) -> None:
    pid, held = await _held(region)
    browser = await _logged_in(browsers, region.rheinaue)
    assert "localhost:18083 möchte „Lastprofile der Rheinaue“ nutzen" in browser.html
    assert "Für dieses Angebot entscheidet eine Person über jede Anfrage." in browser.html

    page = await browser.follow(quote(held, safe=""))
    assert "<dd>Lastprognose</dd>" in page
    answer = await browser.submit("/annehmen")

    assert answer.url.path == "/anfragen"
    assert "Sie haben die Anfrage angenommen." in answer.text
    assert (await region.outcome(pid))["state"] == "FINALIZED"
    assert "In Kraft" in await browser.open("/vertraege")
    assert "Es wartet nichts auf Sie." in await browser.open("/")


async def test_a_request_that_is_rejected_ends_with_the_words_of_the_steward(
    region: Region, browsers: AsyncExitStack
) -> None:
    pid, held = await _held(region)
    browser = await _logged_in(browsers, region.rheinaue)
    await browser.follow(quote(held, safe=""))

    empty = await browser.submit("/ablehnen", reason="  ")
    assert empty.status_code == 422
    assert "Die Begründung fehlt." in empty.text
    answer = await browser.submit("/ablehnen", reason="Bitte fragen Sie <b>nach</b> dem 1. Mai.")

    assert "Sie haben abgelehnt. Der Partner erfährt Ihre Begründung." in answer.text
    outcome = await region.outcome(pid)
    assert (outcome["state"], outcome["agreement_id"]) == ("TERMINATED", None)
    assert outcome["reason"] == "Bitte fragen Sie <b>nach</b> dem 1. Mai."
    theirs = await _logged_in(browsers, region.lastwerk)
    page = await theirs.open(f"/anfragen/{quote(pid, safe='')}")
    assert '<blockquote lang="">Bitte fragen Sie &lt;b&gt;nach&lt;/b&gt; dem 1. Mai.</blockquote>' in page


async def test_a_forged_or_late_decision_changes_nothing(region: Region, browsers: AsyncExitStack) -> None:
    pid, held = await _held(region)
    browser = await _logged_in(browsers, region.rheinaue)
    await browser.follow(quote(held, safe=""))
    action, fields = browser.form("/annehmen")
    own, foreign = {"origin": ADDRESS}, {"origin": "https://evil.example"}
    before = region.rheinaue.state()

    async with region.rheinaue.management() as stranger:
        no_session = await stranger.post(action, data=fields, headers=own)
    answers = [
        no_session,
        await browser.http.post(action, data=fields, headers=foreign),
        await browser.http.post(action, headers=own),
        await browser.http.post(action, data={"csrf": "0" * 64}, headers=own),
        await browser.http.get(action, params=fields),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 403, 403, 404]
    assert region.rheinaue.state() == before

    assert (await browser.submit("/annehmen")).status_code == 200
    again = await browser.http.post(action, data=fields, headers=own)
    assert again.status_code == 409
    assert "Hier ist nichts mehr zu entscheiden." in again.text
    assert (await region.outcome(pid))["state"] == "FINALIZED"


async def test_outputs_that_wait_are_seen_and_released_with_a_button(
    region: Region, browsers: AsyncExitStack
) -> None:
    browser = await _logged_in(browsers, region.rheinaue)
    path, held = await _commission(region, browser)
    assert (held["state"], bool(held["held"])) == ("REVIEWED", True)
    assert (await region.lastwerk.call("GET", path))["outputs"] == []
    assert "aus „Lastprofile der Rheinaue“ warten auf Freigabe" in await browser.open("/")

    page = await browser.follow("/rechnen/urn")
    assert "<dt><code>rows</code></dt><dd>336</dd>" in page, "14 profiles, 24 hours"
    assert "Es enthält nur Zahlen und ihre Namen." in page
    seen = await browser.http.get(browser.link("/ergebnisse/metrics.json"))
    answer = await browser.submit("/freigeben")

    assert "Sie haben die Ergebnisse freigegeben." in answer.text
    shown = await region.lastwerk.call("GET", f"{path}?wait=30")
    assert (shown["state"], [output["name"] for output in shown["outputs"]]) == ("RELEASED", ["metrics.json"])
    theirs = await _logged_in(browsers, region.lastwerk)
    await theirs.follow("/rechnen/urn")
    received = await theirs.http.get(theirs.link("/ergebnisse/metrics.json"))
    assert received.content == seen.content, "what was released is what the steward saw"
    receipt = await theirs.http.get(theirs.link("/belege/"))
    assert receipt.json()["inclusion"]["treeHead"]["treeSize"] == 4


async def test_outputs_that_are_refused_never_leave(region: Region, browsers: AsyncExitStack) -> None:
    browser = await _logged_in(browsers, region.rheinaue)
    path, _ = await _commission(region, browser)
    await browser.open("/rechnen")
    await browser.follow("/rechnen/urn")
    output = browser.link("/ergebnisse/metrics.json")

    answer = await browser.submit("/verweigern", reason="Bitte nur über volle Wochen.")

    assert "Sie haben die Freigabe verweigert." in answer.text
    shown = await region.lastwerk.call("GET", f"{path}?wait=30")
    assert (shown["state"], shown["outputs"]) == ("TERMINATED", [])
    assert "Bitte nur über volle Wochen." in str(shown["reason"])
    assert (await region.lastwerk.answer("GET", f"{path}/outputs/metrics.json")).status_code == 404
    kinds = [entry["kind"] for entry in (await region.ledger(region.rheinaue))["entries"]]
    assert kinds == ["agreement", "permit", "permit", "refusal"]
    assert (await browser.http.get(output)).status_code == 404
