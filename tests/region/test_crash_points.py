"""Connectors that are killed, at one moment after the other: what had begun goes on, the books stay right.

First a run without a death counts the moments: commits, messages sent, messages
taken. Then there is one run for each of them, in which the connector dies there
and is started again.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from tests.region.crash_books import (
    each_contract_once,
    each_release_once,
    exchanges_agree,
    ledger_is_whole,
    no_message_counts_twice,
    uses,
)
from tests.region.crash_pair import Pair, Side, pair, segment
from tests.region.crashing import Moment, Point
from tests.region.participants import DATASETS, FORECASTING, STATEMENT, constraint, write_data
from tests.region.processes import processes_about, started, until

DATASET = DATASETS["rheinaue"]
OFFER = {
    "@type": "Offer",
    "permission": [{"action": "use", "constraint": [constraint("purpose", "isA", FORECASTING)]}],
}
PULL = "HttpData-PULL"
EVERY_MOMENT = tuple(Moment)
COMMITS = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT)
AROUND_CHANGES = (*COMMITS, Moment.BEFORE_SENDING, Moment.ANSWER_HAS_COME, Moment.ANSWER_HAS_LEFT)
"""Without those at which the same is on disk as at one of these; the sweep through negotiations has them."""
TRIES = 4
SETTLED = 0.02
"""Seconds after a run in which the last answer certainly has left."""


# what people do at the two connectors


def put_on_offer(both: Pair) -> None:
    """The provider puts a dataset on offer, and the consumer reads about it."""
    file = both.provider.directory / "load_profiles.parquet"
    write_data(file, "rheinaue")
    words = {"de": "Lastprofile", "en": "Load profiles"}
    columns: tuple[tuple[str, str, str, dict[str, object]], ...] = (
        ("profile", "string", "unit", {}),
        ("sector", "string", "dimension", {}),
        ("ts", "timestamp[us, tz=UTC]", "time", {}),
        ("load_kw", "float", "measure", {"unit": "kW", "step": 0.05}),
    )
    publication = {
        "identifier": DATASET,
        "table": "load_profiles",
        "file": str(file),
        "title": words,
        "description": words,
        "license": "http://opendatacommons.org/licenses/odbl/1.0/",
        "source_note": words,
        "columns": [
            {"name": name, "data_type": kind, "role": role, "description": words, **more}
            for name, kind, role, more in columns
        ],
        "offer": OFFER,
    }
    both.provider.post("/api/datasets", publication)
    both.consumer.post("/api/catalogs", {"provider": both.provider.did})


def negotiate(both: Pair) -> str:
    """Ask for a contract and wait until both sides rest; returns the consumer's pid."""
    pid = ask_once(both, "negotiations", {"dataset": DATASET, "purpose": FORECASTING})
    both.until(lambda: are_in(both, "negotiations", pid, "FINALIZED"), f"{pid} is FINALIZED on both sides")
    return pid


def ask_once(both: Pair, table: str, body: object) -> str:
    """Ask for something, and again only where the wish has died with the connector; returns its pid."""
    known = both.consumer.pids(table)

    def asked() -> Any:
        new = both.consumer.pids(table) - known
        return new.pop() if new else both.consumer.post(f"/api/{table}", body)["pid"]

    return str(both.insist(asked, f"the consumer asks for one of the {table}"))


def are_in(both: Pair, table: str, pid: str, state: str) -> bool:
    """Whether both sides have an exchange in a state, and neither has anything left to say."""
    known = (both.consumer.record(table, pid), *both.provider.records_of_peer(table, pid))
    for one in known:
        assert one["state"] != "TERMINATED", one["reason"]
        assert one.get("held") is None, one["held"]
    return (
        [one["state"] for one in known] == [state] * 2
        and [one["pending"] for one in known] == [None] * 2
        and nothing_waits(both)
    )


def nothing_waits(both: Pair) -> bool:
    return [side.count("outbox") for side in both.sides] == [0, 0]


def transfer(both: Pair, agreement: str) -> str:
    """Start, pull, suspend, resume, pull and complete; returns the consumer's pid."""
    pid = ask_once(both, "transfers", {"agreement_id": agreement, "format": PULL})
    both.until(lambda: is_open(both, pid), f"{pid} is open")
    pull(both, pid)
    move(both, pid, "suspension", "SUSPENDED")
    move(both, pid, "start", "STARTED")
    both.until(lambda: is_open(both, pid), f"{pid} is open again")
    pull(both, pid)
    move(both, pid, "completion", "COMPLETED")
    return pid


def is_open(both: Pair, pid: str) -> bool:
    started_on_both = are_in(both, "transfers", pid, "STARTED")
    return started_on_both and both.consumer.record("transfers", pid)["data_address"] is not None


def pull(both: Pair, pid: str) -> None:
    """Fetch the file, again if a connector dies meanwhile."""
    path = f"/api/transfers/{segment(pid)}/data"
    content = (both.provider.directory / "load_profiles.parquet").read_bytes()

    def fetched() -> bool:
        answer = both.consumer.ask("POST", path)
        return answer.is_success and answer.content == content

    both.insist(fetched, "the consumer pulls the file")
    both.until(lambda: nothing_waits(both), "the receipt is countersigned")


def is_cut_off(both: Pair, agreement: str) -> None:
    """The provider is killed when it has counted a use and released nothing; its next start gives it back."""
    before = uses(both)
    both.provider.dies_at(Point(Moment.AFTER_COMMIT, 1))
    [site] = both.consumer.post("/api/queries", {"statement": STATEMENT, "agreements": [agreement]})["sites"]
    assert site["status"] == "unreachable"
    assert (uses(both), both.provider.count("reservations")) == (before + 1, 1)
    both.until(lambda: both.provider.deaths, "the provider is started again")
    assert (uses(both), both.provider.count("reservations")) == (before, 0)
    both.forget_deaths()


def move(both: Pair, pid: str, action: str, state: str) -> None:
    """Tell the provider something about a transfer, unless it was said before a death."""

    def said() -> bool:
        record = both.consumer.record("transfers", pid)
        if record["state"] != state and record["pending"] is None:
            both.consumer.post(f"/api/transfers/{segment(pid)}/moves", {"action": action})
        return bool(record["state"] == state and record["pending"] is None)

    both.insist(said, f"the consumer says {action}")
    both.until(lambda: are_in(both, "transfers", pid, state), f"{pid} is {state} on both sides")


def query(both: Pair, agreement: str) -> str:
    """Ask the statement until there is an answer; returns what it says."""

    def answered() -> Any:
        body = {"statement": STATEMENT, "agreements": [agreement]}
        result = both.consumer.post("/api/queries", body)
        [site] = result["sites"]
        return result["rows"] if site["status"] == "released" else None

    rows = both.insist(answered, "the consumer asks a statement")
    both.until(lambda: nothing_waits(both), "the receipt is countersigned")
    return str(rows)


# one run after the other


def points(both: Pair, side: Side, moments: tuple[Moment, ...], run: Callable[[], str]) -> list[Point]:
    """Every moment of one run on one side, from a run in which nobody dies."""
    both.forget_deaths()
    run()
    time.sleep(SETTLED)
    reached = {moment: side.counters.reached[moment] for moment in moments}
    assert all(reached.values()), f"the {side.name} did not pass by every kind of moment: {reached}"
    return [Point(moment, number + 1) for moment in moments for number in range(reached[moment])]


def dies(both: Pair, side: Side, deaths: list[Point], run: Callable[[], str]) -> bool:
    """Whether a side has died at these points, the second one in the life after the first.

    Transactions that wait at the same time are written together: one run can
    have a commit less than another, and then the last point does not come.
    """
    side.dies_at(*deaths)
    run()
    time.sleep(SETTLED)
    both.tend()
    return side.deaths == len(deaths)


def sweep(
    both: Pair, side: Side, run: Callable[[], str], moments: tuple[Moment, ...] = EVERY_MOMENT
) -> list[str]:
    """Runs in which one side dies once, at one point after the other.

    Returns:
        The points at which it has died.
    """
    died = [
        f"{side.name}: {point}"
        for point in points(both, side, moments, run)
        if any(dies(both, side, [point], run) for _ in range(TRIES))
    ]
    both.forget_deaths()
    return died


def negotiations(directory: Path) -> list[str]:
    """Both sides die at every point of a negotiation, and then while they take it up again."""
    again = (
        Point(Moment.BEFORE_COMMIT, 1),
        Point(Moment.AFTER_COMMIT, 1),
        Point(Moment.BEFORE_SENDING, 1),
        Point(Moment.ANSWER_HAS_COME, 1),
        Point(Moment.BEFORE_COMMIT, 2),
        Point(Moment.AFTER_COMMIT, 2),
    )
    with pair(directory) as both:
        put_on_offer(both)
        died = [point for side in both.sides for point in sweep(both, side, lambda: negotiate(both))]
        for side, first in ((both.provider, 2), (both.consumer, 1)):
            for second in again:
                deaths = [Point(Moment.AFTER_COMMIT, first), second]
                assert dies(both, side, deaths, lambda: negotiate(both)), f"{side.name}: {deaths}"
                died.append(f"{side.name}, taking up again: {second}")
        both.forget_deaths()
        no_message_counts_twice(both)
        each_contract_once(both)
        for side in both.sides:
            ledger_is_whole(side)
            side.stop()
        goes_on_as_usual(both)
    return died


def goes_on_as_usual(both: Pair) -> None:
    """The command itself, started anew on these databases, makes one more contract."""
    before = [side.count("agreements") for side in both.sides]
    commands = [("serve", "--config", side.configuration) for side in both.sides]
    with started(*commands[0]) as provider, started(*commands[1]) as consumer:
        for running in (provider, consumer):
            running.read_object()
        pid = both.consumer.post("/api/negotiations", {"dataset": DATASET, "purpose": FORECASTING})["pid"]
        until(lambda: are_in(both, "negotiations", pid, "FINALIZED"), "one more contract")
        both.consumer.ask("GET", "/api/ledger")
    assert [side.count("agreements") for side in both.sides] == [number + 1 for number in before]
    no_message_counts_twice(both)
    each_contract_once(both)
    for side in both.sides:
        ledger_is_whole(side)


def transfers(directory: Path, name: str) -> list[str]:
    """One side dies at every point of a transfer."""
    with pair(directory) as both:
        put_on_offer(both)
        agreement = both.consumer.record("negotiations", negotiate(both))["agreement_id"]
        side = both.provider if name == "provider" else both.consumer
        died = sweep(both, side, lambda: transfer(both, agreement), AROUND_CHANGES)
        no_message_counts_twice(both)
        each_contract_once(both)
        exchanges_agree(both, "transfers", "COMPLETED")
        for one in both.sides:
            ledger_is_whole(one)
        receipts = each_release_once(both, "download")
        pulled = 2 * both.consumer.count("transfers")
        assert pulled <= len(receipts) == uses(both) <= pulled + len(died)
    return died


def queries(directory: Path) -> list[str]:
    """The provider dies at every point of a query; the consumer asks again until it has an answer."""
    with pair(directory, confined=True) as both:
        put_on_offer(both)
        agreement = both.consumer.record("negotiations", negotiate(both))["agreement_id"]
        answers = [query(both, agreement)]
        is_cut_off(both, agreement)

        def asked() -> str:
            answers.append(query(both, agreement))
            return answers[-1]

        died = sweep(both, both.provider, asked, COMMITS)
        assert set(answers) == {answers[0]}
        for one in both.sides:
            ledger_is_whole(one)
        receipts = each_release_once(both, "query")
        # Counted before it is computed, and given back where a death came before the release.
        assert len(answers) <= len(receipts) == uses(both) <= len(answers) + len(died)
        assert both.provider.count("reservations") == 0
    return died


Sweeps = dict[str, "Future[list[str]]"]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweeps]:
    """All sweeps, side by side, each with a pair of connectors of its own."""
    root = tmp_path_factory.mktemp("crashes")
    with ThreadPoolExecutor(4) as threads:
        yield {
            "negotiations": threads.submit(negotiations, root / "negotiations"),
            "provider's transfers": threads.submit(transfers, root / "given", "provider"),
            "consumer's transfers": threads.submit(transfers, root / "taken", "consumer"),
            **({"queries": threads.submit(queries, root / "queries")} if _can_confine() else {}),
        }
    assert processes_about(root) == []


def _can_confine() -> bool:
    try:
        Sandbox.probe()
    except SandboxUnavailableError:
        return False
    return True


def test_a_negotiation_goes_on_to_one_contract_wherever_a_connector_was_killed(sweeps: Sweeps) -> None:
    assert len(sweeps["negotiations"].result()) >= 40


@pytest.mark.parametrize("side", ["provider", "consumer"])
def test_a_transfer_goes_on_to_its_end_wherever_a_connector_was_killed(sweeps: Sweeps, side: str) -> None:
    assert len(sweeps[f"{side}'s transfers"].result()) >= 30


def test_a_query_that_a_death_cuts_off_can_be_asked_again_and_no_use_is_forgotten(sweeps: Sweeps) -> None:
    if "queries" not in sweeps:
        pytest.skip("no sandbox here, and queries need one")
    assert len(sweeps["queries"].result()) >= 6
