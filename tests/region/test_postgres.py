"""A connector on PostgreSQL, as people run it: `allmende init`, one setting, `allmende serve`."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from connector.evidence.verification import verify_file
from connector.sandbox.launch import Sandbox, SandboxUnavailableError
from tests.postgres import new_database
from tests.region.participants import (
    DATASETS,
    FORECASTING,
    METRICS,
    SLOW_JOB,
    STATEMENT,
    publication,
)
from tests.region.processes import Participant, Running, one_sentence, processes_about, run, until

CONTRACT = "/api/negotiations/{}?wait=30"


@dataclass
class Partners:
    """A participant on PostgreSQL and one on SQLite, and a look into the first one's database."""

    postgres: Participant
    sqlite: Participant
    engine: Engine

    def select(self, statement: str) -> list[Any]:
        """The first column of what the database on PostgreSQL says."""
        with self.engine.connect() as connection:
            return [row[0] for row in connection.execute(text(statement))]

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """Both connectors; gives the process of the one on PostgreSQL."""
        with self.sqlite.serving(), self.postgres.serving() as process:
            yield process


@pytest.fixture(scope="module")
def partners(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partners]:
    """Both have put a dataset on offer and agreed on a contract for the other's."""
    directory = tmp_path_factory.mktemp("postgres")
    url = new_database(postgres)
    engine = create_engine(url)
    both = Partners(
        Participant(directory / "rheinaue", "rheinaue"), Participant(directory / "neckar", "neckar"), engine
    )
    configuration = both.postgres.directory / "allmende.toml"
    configuration.write_text(f'database_url = "{url}"\n{configuration.read_text()}')
    with both.serving():
        for one in (both.postgres, both.sqlite):
            one.post("/api/datasets", publication(one))  # type: ignore[arg-type] # has what it needs
        agree(both.sqlite, both.postgres)
        agree(both.postgres, both.sqlite)
    yield both
    engine.dispose()
    assert processes_about(directory) == []


def agree(consumer: Participant, provider: Participant) -> None:
    """Negotiate to the end."""
    consumer.post("/api/catalogs", {"provider": provider.did})
    wanted = {"dataset": DATASETS[provider.name], "purpose": FORECASTING}
    pid = consumer.post("/api/negotiations", wanted)["pid"]
    ended = consumer.get(CONTRACT.format(pid))
    assert ended["state"] == "FINALIZED", ended


def agreement(consumer: Participant, provider: Participant) -> str:
    found = consumer.get("/api/agreements")
    return next(str(one["identifier"]) for one in found if one["provider"] == provider.did)


def ask(partners: Partners) -> Any:
    """The one on SQLite asks the one on PostgreSQL; gives what that site came to."""
    body = {"statement": STATEMENT, "agreements": [agreement(partners.sqlite, partners.postgres)]}
    (site,) = partners.sqlite.post("/api/queries", body)["sites"]
    return site


@pytest.fixture
def confined() -> None:
    try:
        Sandbox.probe()
    except SandboxUnavailableError as missing:
        pytest.skip(str(missing))


def test_all_its_memory_is_in_the_other_database_and_is_there_after_a_restart(partners: Partners) -> None:
    assert not list(partners.postgres.directory.rglob("*.sqlite*"))
    assert partners.select("SELECT count(*) FROM agreements") == [2]
    with partners.serving():
        assert len(partners.postgres.get("/api/agreements")) == 2
        ledger = partners.postgres.get("/api/ledger")
        assert [entry["kind"] for entry in ledger["entries"]] == ["agreement", "agreement"]
        for provider, consumer in (
            (partners.postgres, partners.sqlite),
            (partners.sqlite, partners.postgres),
        ):
            path = f"/api/agreements/{quote(agreement(consumer, provider), safe=':')}/evidence"
            files = [one.ask("GET", path).content for one in (provider, consumer)]
            assert files[0] == files[1]
            assert {party.did for party in verify_file(files[0]).parties} == {provider.did, consumer.did}


def test_it_is_ready_as_long_as_its_database_answers_and_again_when_that_is_back(
    partners: Partners, postgres: str
) -> None:
    name = make_url(partners.engine.url).database
    server = create_engine(postgres.format("postgres"), isolation_level="AUTOCOMMIT")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 - ours

    def allow(yes: str) -> None:
        with server.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {yes}"))
            connection.execute(text(cut))

    def status(path: str) -> int:
        return partners.postgres.ask("GET", path).status_code

    with partners.postgres.serving():
        assert (status("/healthz"), status("/readyz")) == (200, 200)
        try:
            allow("false")
            until(lambda: status("/readyz") == 503, "it notices that its database is gone")
            assert status("/healthz") == 200
        finally:
            allow("true")
            partners.engine.dispose()
        until(lambda: status("/readyz") == 200, "it is ready again")
        assert len(partners.postgres.get("/api/agreements")) == 2
    server.dispose()


def test_a_database_that_cannot_be_reached_is_named_in_one_sentence_without_the_password(
    partners: Partners,
) -> None:
    address = "postgresql+psycopg://allmende:a-secret-word@127.0.0.1:1/allmende"
    configuration = partners.postgres.directory / "allmende.toml"

    done = run("serve", "--config", configuration, env={"ALLMENDE_DATABASE_URL": address})

    assert done.returncode == 2
    sentence = one_sentence(done)
    assert "The database cannot be opened" in sentence
    assert "Check database_url" in sentence
    assert "a-secret-word" not in sentence


@pytest.mark.usefixtures("confined")
def test_a_use_that_was_counted_when_it_was_killed_is_given_back_at_the_next_start(
    partners: Partners,
) -> None:
    """Its table of queries is locked, so it cannot get from the count to the release."""
    with ExitStack() as consumer, ThreadPoolExecutor(1) as thread:
        consumer.enter_context(partners.sqlite.serving())
        with partners.postgres.serving() as process:
            assert ask(partners)["status"] == "released"
            with partners.engine.connect() as lock:
                lock.execute(text("LOCK TABLE queries IN ACCESS EXCLUSIVE MODE"))
                asking = thread.submit(ask, partners)
                counted = "SELECT count(*) FROM reservations"
                until(lambda: partners.select(counted) == [1], "the use is counted")
                os.killpg(process.process.pid, signal.SIGKILL)
                process.wait()
            assert asking.result()["status"] == "unreachable"
        assert partners.select("SELECT used FROM uses") == [2]

        with partners.postgres.serving():
            assert partners.select("SELECT used FROM uses") == [1]
            assert partners.select(counted) == [0]
            assert ask(partners)["status"] == "released"
            assert partners.select("SELECT used FROM uses") == [2]
            assert partners.select("SELECT count(*) FROM ledger WHERE kind = 'query'") == [2]


@pytest.mark.usefixtures("confined")
def test_a_computation_that_ran_when_it_was_killed_is_released_later_and_counted_once(
    partners: Partners,
) -> None:
    body = {
        "agreement_id": agreement_of_a_stopped(partners),
        "files": SLOW_JOB,
        "outputs": METRICS,
    }
    rule = "SELECT used FROM uses ORDER BY rule"
    with partners.sqlite.serving():
        before = sum(partners.select(rule))
        with partners.postgres.serving() as process:
            identifier = partners.sqlite.post("/api/computations", body)["identifier"]
            states = "SELECT state FROM computations"
            until(lambda: partners.select(states) == ["RUNNING"], "the job runs")
            os.killpg(process.process.pid, signal.SIGKILL)
            process.wait()
        assert sum(partners.select(rule)) == before + 1

        with partners.postgres.serving():
            path = f"/api/computations/{quote(identifier, safe=':')}?wait=50"
            assert partners.sqlite.get(path)["state"] == "RELEASED"
            assert sum(partners.select(rule)) == before + 1
            assert partners.select("SELECT count(*) FROM ledger WHERE kind = 'computation'") == [1]


def agreement_of_a_stopped(partners: Partners) -> str:
    """The agreement on what the one on PostgreSQL offers, from its database."""
    with partners.engine.connect() as connection:
        statement = "SELECT identifier, record FROM agreements"
        rows = connection.execute(text(statement)).all()
    return next(str(one) for one, record in rows if f'"provider":"{partners.postgres.did}"' in record)
