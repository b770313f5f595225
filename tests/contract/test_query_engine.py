"""What every query engine and every store of projections must do."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from connector.adapters.arrow_projections import ArrowProjections, DataUnreadableError
from connector.adapters.duckdb_queries import DuckdbQueries, QueryFailedError, QueryTimeoutError
from connector.ports import Projections, QueryEngine
from connector.queries.writing import number_name
from connector.sandbox.launch import Sandbox, SandboxUnavailableError

TABLE = pa.table(
    {
        "profile": ["H0", "H1", "H2", "H0"],
        "sector": pa.array(["a", "b", "a", "b"]).dictionary_encode(),
        "ts": pa.array(
            [datetime(2016, 1, 1, hour, tzinfo=UTC) for hour in range(4)], pa.timestamp("us", tz="UTC")
        ),
        "load_kw": [0.5, 1.5, 2.5, None],
    }
)
SLOW = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"


def save(table: pa.Table, path: Path) -> Path:
    match path.suffix:
        case ".parquet":
            pa.parquet.write_table(table, path)
        case ".csv":
            pa.csv.write_csv(table, path)
        case ".feather":
            pa.feather.write_feather(table, str(path), compression="lz4")
        case ".arrows":
            with pa.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table)
        case _:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
    return path


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox.probe()
    except SandboxUnavailableError as error:
        pytest.skip(f"no sandbox on this machine: {error}")


@pytest.fixture
async def engine(sandbox: Sandbox) -> AsyncIterator[QueryEngine]:
    queries = DuckdbQueries(sandbox)
    yield queries
    await queries.aclose()


@pytest.fixture
def projection(tmp_path: Path) -> Path:
    return save(TABLE.drop_columns(["profile"]), tmp_path / "projection.arrow")


@pytest.fixture
def projections(tmp_path: Path) -> Projections:
    return ArrowProjections(tmp_path / "projections")


async def test_an_engine_answers_over_the_projection(engine: QueryEngine, projection: Path) -> None:
    found = await engine.run(
        "SELECT sector, count(*) AS n, sum(load_kw) AS s FROM loads GROUP BY 1 ORDER BY 1",
        table="loads",
        projection=projection,
        timeout_seconds=20,
    )
    assert found.to_pylist() == [{"sector": "a", "n": 2, "s": 3.0}, {"sector": "b", "n": 2, "s": 1.5}]


async def test_an_engine_answers_one_query_after_another_and_several_at_once(
    engine: QueryEngine, projection: Path
) -> None:
    async def ask(number: int) -> int:
        found = await engine.run(
            f"SELECT count(*) + {number} AS n FROM t",  # noqa: S608 - a number of the test's
            table="t",
            projection=projection,
            timeout_seconds=30,
        )
        return int(found.column("n")[0].as_py())

    assert [await ask(1), await ask(2)] == [5, 6]
    assert await asyncio.gather(ask(3), ask(4), ask(5)) == [7, 8, 9]


async def test_an_engine_has_a_number_beside_every_column_whether_texts_are_numbered_or_not(
    engine: QueryEngine, projections: Projections, tmp_path: Path
) -> None:
    texts = ["a", "ä", None, "", "a", "日本"]
    source = save(pa.table({"sector": texts, "level": [1, 2, None, 4, 1, 6]}), tmp_path / "loads.parquet")
    for numbered in (False, True):
        path = await projections.materialise(source, ["level", "sector"], "digest", numbered=numbered)
        found = await engine.run(
            f"SELECT first(sector) AS sector, count(*) AS n FROM t "  # noqa: S608 - a name of the test's
            f'WHERE sector IS NULL OR "{number_name("sector")}" IS NOT NULL '
            f'GROUP BY "{number_name("sector")}", "{number_name("level")}" ORDER BY sector',
            table="t",
            projection=path,
            timeout_seconds=20,
        )
        assert found.schema.field("sector").type == pa.string()
        assert list(zip(*found.to_pydict().values(), strict=True)) == [
            ("", 1), ("a", 2), ("ä", 1), ("日本", 1), (None, 1),
        ]  # fmt: skip


async def test_what_is_not_in_the_projection_does_not_exist(engine: QueryEngine, projection: Path) -> None:
    with pytest.raises(QueryFailedError):
        await engine.run("SELECT profile FROM t", table="t", projection=projection, timeout_seconds=20)


async def test_a_query_is_stopped_when_its_time_is_up(engine: QueryEngine, projection: Path) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(QueryTimeoutError):
        await engine.run(SLOW, table="t", projection=projection, timeout_seconds=2)
    assert loop.time() - started < 4


@pytest.mark.parametrize("content", [b"", b"no Arrow file", None])
async def test_a_projection_that_cannot_be_read_fails_the_query(
    engine: QueryEngine, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "broken.arrow"
    if content is not None:
        await asyncio.to_thread(path.write_bytes, content)
    with pytest.raises(QueryFailedError) as failed:
        await engine.run("SELECT 1", table="t", projection=path, timeout_seconds=20)
    assert str(tmp_path) not in str(failed.value)


async def test_a_result_that_is_too_large_does_not_leave(sandbox: Sandbox, projection: Path) -> None:
    queries = DuckdbQueries(sandbox, result_bytes=100_000)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pytest.raises(QueryFailedError, match="too large"))
        await queries.run("SELECT * FROM range(100000)", table="t", projection=projection, timeout_seconds=20)
    await queries.aclose()


async def test_a_projection_that_the_engine_cannot_map_is_refused_by_size(
    sandbox: Sandbox, projection: Path
) -> None:
    queries = DuckdbQueries(sandbox, memory_bytes=2 << 30)
    with projection.open("ab") as file:
        file.truncate(3 << 30)
    with pytest.raises(QueryFailedError, match="larger than the engine may map"):
        await queries.run("SELECT 1", table="t", projection=projection, timeout_seconds=20)
    await queries.aclose()


async def test_a_closed_engine_runs_nothing(sandbox: Sandbox, projection: Path) -> None:
    queries = DuckdbQueries(sandbox)
    await queries.start()
    await queries.aclose()
    with pytest.raises(QueryFailedError):
        await queries.run("SELECT 1", table="t", projection=projection, timeout_seconds=20)


KINDS = [".parquet", ".csv", ".arrow", ".arrows", ".feather"]


@pytest.mark.parametrize("suffix", KINDS)
async def test_a_projection_holds_only_the_named_columns_in_their_order(
    projections: Projections, tmp_path: Path, suffix: str
) -> None:
    source = save(TABLE, tmp_path / f"loads{suffix}")
    path = await projections.materialise(source, ["load_kw", "sector"], "digest")
    with pa.memory_map(str(path)) as mapped:
        found = pa.ipc.open_file(mapped).read_all()
        assert found.column_names == ["load_kw", "sector"]
        assert found.schema.field("sector").type == pa.string()
        assert found.to_pydict() == {"load_kw": [0.5, 1.5, 2.5, None], "sector": ["a", "b", "a", "b"]}
    assert b"H0" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("suffix", KINDS)
async def test_a_numbered_projection_is_another_file_with_the_same_rows(
    projections: Projections, tmp_path: Path, suffix: str
) -> None:
    source = save(TABLE, tmp_path / f"loads{suffix}")
    plain = await projections.materialise(source, ["load_kw", "sector"], "digest")
    path = await projections.materialise(source, ["load_kw", "sector"], "digest", numbered=True)
    assert path != plain
    assert path == await projections.materialise(source, ["load_kw", "sector"], "digest", numbered=True)
    with pa.memory_map(str(path)) as mapped:
        found = pa.ipc.open_file(mapped).read_all()
        assert found.to_pydict() == {"load_kw": [0.5, 1.5, 2.5, None], "sector": ["a", "b", "a", "b"]}
    assert b"H0" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_projection_is_made_once_for_a_digest_and_its_columns(
    projections: Projections, tmp_path: Path
) -> None:
    source = save(TABLE, tmp_path / "loads.parquet")
    first = await projections.materialise(source, ["sector"], "digest")
    made = first.stat().st_mtime_ns
    assert await projections.materialise(source, ["sector"], "digest") == first
    assert first.stat().st_mtime_ns == made
    others = {
        await projections.materialise(source, ["sector"], "another digest"),
        await projections.materialise(source, ["load_kw"], "digest"),
        await projections.materialise(source, ["sector", "load_kw"], "digest"),
    }
    assert len(others | {first}) == 4


@pytest.mark.parametrize("suffix", KINDS)
async def test_a_data_file_is_described(projections: Projections, tmp_path: Path, suffix: str) -> None:
    source = save(TABLE, tmp_path / f"loads{suffix}")
    found = await projections.describe(source)
    names = [name for name, _ in found.columns]
    assert names == ["profile", "sector", "ts", "load_kw"]
    assert dict(found.columns)["sector"] == "string"
    assert dict(found.columns)["load_kw"] == "double"
    assert dict(found.columns)["ts"].startswith("timestamp[")
    assert found.rows == 4
    assert found.digest == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".arrow"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\x00not a table\xff"])
async def test_a_broken_file_is_named_without_its_path_and_leaves_nothing_behind(
    projections: Projections, tmp_path: Path, suffix: str, content: bytes | None
) -> None:
    source = tmp_path / f"broken{suffix}"
    if content is not None:
        source.write_bytes(content)
    for attempt in (projections.describe(source), projections.materialise(source, ["a"], "digest")):
        with pytest.raises(DataUnreadableError, match=f"The data file broken{suffix}") as unreadable:
            await attempt
        assert str(tmp_path) not in str(unreadable.value)
    assert not list((tmp_path / "projections").glob("*"))
    assert not list((tmp_path / "projections").glob(".*.part"))


async def test_a_truncated_file_is_refused(projections: Projections, tmp_path: Path) -> None:
    source = save(TABLE, tmp_path / "loads.parquet")
    source.write_bytes(source.read_bytes()[:-40])
    with pytest.raises(DataUnreadableError, match=r"loads\.parquet cannot be read"):
        await projections.describe(source)


async def test_a_missing_column_and_an_unknown_kind_are_named(
    projections: Projections, tmp_path: Path
) -> None:
    source = save(TABLE, tmp_path / "loads.parquet")
    with pytest.raises(DataUnreadableError, match="has no column price"):
        await projections.materialise(source, ["sector", "price"], "digest")
    with pytest.raises(DataUnreadableError, match=r"unknown kind.*\.parquet"):
        await projections.describe(tmp_path / "loads.xlsx")
