"""Registers of consents: read strictly, read anew, and turned into the rows that exist."""

import os
from collections.abc import Awaitable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from connector.adapters.arrow_projections import ArrowProjections
from connector.adapters.consent_files import ConsentFiles
from connector.queries.errors import DataUnreadableError
from connector.queries.permitted import Redaction
from policies.consents import Consent, ConsentError, ConsentRegister, consenting, require_comparable
from policies.model import Operator
from policies.row_filters import RowFilter

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
POLICY = "https://w3id.org/allmende/policy/v1#"
FORECASTING, GRID = POLICY + "LoadForecasting", POLICY + "GridOperation"
REGISTER = ConsentRegister("profile", Path("consents.csv"))


def read(path: Path, content: str) -> Awaitable[tuple[Consent, ...]]:
    path.write_text(content)
    return ConsentFiles().consents(path)


async def test_names_of_subjects_stay_as_they_are_written(tmp_path: Path) -> None:
    consents = await read(tmp_path / "c.csv", "subject\n007\n1e3\nNA\nnull\n")
    assert [one.subject for one in consents] == ["007", "1e3", "NA", "null"]


async def test_a_consent_has_a_purpose_and_an_end_or_neither(tmp_path: Path) -> None:
    consents = await read(
        tmp_path / "c.csv",
        f"until,subject,purpose\n2026-12-31,a,{GRID}\n2026-12-31T12:00:00+02:00,b,\n,c,\n",
    )
    assert consents == (
        Consent("a", GRID, datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        Consent("b", None, datetime(2026, 12, 31, 10, tzinfo=UTC)),
        Consent("c"),
    )


async def test_a_parquet_file_says_the_same_with_types_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    columns = {
        "subject": pa.array([7, 8]),
        "until": pa.array([NOW, None], pa.timestamp("us", "UTC")),
    }
    pyarrow.parquet.write_table(pa.table(columns), path)
    assert await ConsentFiles().consents(path) == (Consent("7", until=NOW), Consent("8"))
    pyarrow.parquet.write_table(pa.table({"subject": ["a"], "until": [date(2026, 6, 30)]}), path)
    [one] = await ConsentFiles().consents(path)
    assert one.until is not None
    assert one.until > NOW


UNREADABLE = [
    "subject,withdrawn\na,yes\n",
    "person\na\n",
    "subject,subject\na,b\n",
    "subject,until\na,soon\n",
    "subject,until\na,2026-12-31T12:00:00\n",
    "subject,purpose\na,marketing\n",
    'subject,purpose\n"",urn:x\n',
    "subject,until\na\n",
    "",
]


@pytest.mark.parametrize("content", UNREADABLE)
async def test_a_register_that_is_not_wholly_clear_is_no_register(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataUnreadableError, match=r"consent register c\.csv"):
        await read(tmp_path / "c.csv", content)


async def test_a_register_of_an_unknown_kind_or_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataUnreadableError, match="unknown kind"):
        await read(tmp_path / "c.txt", "subject\na\n")
    with pytest.raises(DataUnreadableError, match=r"none\.csv cannot be read"):
        await ConsentFiles().consents(tmp_path / "none.csv")


async def test_a_change_of_the_same_length_at_the_same_moment_is_seen(tmp_path: Path) -> None:
    path, registers = tmp_path / "c.csv", ConsentFiles()
    path.write_text("subject\na\n")
    before = path.stat()
    assert [one.subject for one in await registers.consents(path)] == ["a"]
    path.write_text("subject\nb\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [one.subject for one in await registers.consents(path)] == ["b"]


COVERS = [
    (None, None, True),
    (None, FORECASTING, True),
    (GRID, FORECASTING, True),
    (FORECASTING, FORECASTING, True),
    (FORECASTING, GRID, False),
    (FORECASTING, None, False),
    ("urn:purpose:unknown", FORECASTING, False),
]


@pytest.mark.parametrize(("consented", "purpose", "expected"), COVERS)
def test_a_consent_covers_its_purpose_and_what_falls_under_it(
    consented: str | None, purpose: str | None, expected: bool
) -> None:
    found = consenting(REGISTER, [Consent("a", consented)], purpose, NOW)
    assert found == RowFilter("profile", Operator.IS_ANY_OF, ("a",) if expected else ())


def test_a_consent_ends_after_its_last_moment() -> None:
    consents = [Consent("a", until=NOW), Consent("b", until=NOW - timedelta(microseconds=1))]
    assert consenting(REGISTER, consents, None, NOW).values == ("a",)


def test_subjects_are_compared_as_the_column_has_them() -> None:
    numbers = ConsentRegister("meter", Path("c.csv"), "int64")
    consents = [Consent("7"), Consent("-3"), Consent("seven"), Consent("1e3"), Consent("٣")]
    assert consenting(numbers, consents, None, NOW).values == (-3, 7)
    require_comparable("r", numbers)
    with pytest.raises(ConsentError, match="double"):
        require_comparable("r", ConsentRegister("load", Path("c.csv"), "double"))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.int32()])
async def test_without_a_consent_no_row_is_in_the_projection(tmp_path: Path, kind: pa.DataType) -> None:
    source = tmp_path / "data.parquet"
    values = pa.array(["1", "2", None]).cast(kind)
    pyarrow.parquet.write_table(pa.table({"who": values, "x": [1, 2, 3]}), source)
    register = ConsentRegister("who", tmp_path / "c.csv", str(kind))
    rows = []
    for consents in ([], [Consent("2"), Consent("9")]):
        redaction = Redaction(filters=(consenting(register, consents, None, NOW),))
        path = await ArrowProjections(tmp_path / "kept").materialise(source, ["x"], "0" * 64, redaction)
        with pa.memory_map(str(path)) as mapped:
            rows.append(pa.ipc.open_file(mapped).read_all()["x"].to_pylist())
    assert rows == [[], [2]]
