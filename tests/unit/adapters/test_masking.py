"""What a mask leaves of a column, and a filter of the rows."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.adapters.arrow_projections import ArrowProjections, DataUnreadableError
from connector.adapters.mask_keys import agreement_key, mask_secret
from connector.queries.permitted import Redaction
from policies.masks import parse_mask
from policies.model import Operator
from policies.row_filters import RowFilter

SECRET = b"s" * 32
TABLE = pa.table(
    {
        "name": ["Anna", "Bernd", None, "Anna"],
        "postcode": pa.array(["79098", "70173", "78462", "Österreich"]).dictionary_encode(),
        "born": [date(1980, 5, 17), date(1991, 12, 31), None, date(1980, 1, 1)],
        "seen": pa.array(
            [datetime(2016, 2, day, 13, 59, tzinfo=UTC) for day in (29, 1, 15, 8)],
            pa.timestamp("us", tz="UTC"),
        ),
        "age": pa.array([36, 25, -3, None], pa.int32()),
        "load": [1.26, -0.01, 7.0, None],
    }
)


async def projected(
    tmp_path: Path, columns: list[str], redaction: Redaction, secret: bytes = SECRET
) -> pa.Table:
    source = tmp_path / "people.parquet"
    pa.parquet.write_table(TABLE, source)
    path = await ArrowProjections(tmp_path / "projections", secret).materialise(
        source, columns, "digest", redaction
    )
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


async def masked(tmp_path: Path, mask: str) -> list:
    one = parse_mask(mask)
    found = await projected(tmp_path, [one.column], Redaction(masks=(one,), agreement="urn:a"))
    return found.column(0).to_pylist()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("name=null", [None] * 4),
        ("load=null", [None] * 4),
        ("postcode=truncate:2", ["79", "70", "78", "Ös"]),
        ("name=truncate:9", ["Anna", "Bernd", None, "Anna"]),
        ("born=generalise:month", [date(1980, 5, 1), date(1991, 12, 1), None, date(1980, 1, 1)]),
        ("born=generalise:quarter", [date(1980, 4, 1), date(1991, 10, 1), None, date(1980, 1, 1)]),
        ("born=generalise:year", [date(1980, 1, 1), date(1991, 1, 1), None, date(1980, 1, 1)]),
        ("age=generalise:10", [30, 20, -10, None]),
        ("load=generalise:0.5", [1.0, -0.5, 7.0, None]),
        ("load=generalise:5", [0.0, -5.0, 5.0, None]),
    ],
)
async def test_a_mask_leaves_only_what_it_says(tmp_path: Path, mask: str, expected: list) -> None:
    assert await masked(tmp_path, mask) == expected


@pytest.mark.parametrize(
    ("step", "first"),
    [
        ("minute", datetime(2016, 2, 29, 13, 59, tzinfo=UTC)),
        ("hour", datetime(2016, 2, 29, 13, tzinfo=UTC)),
        ("day", datetime(2016, 2, 29, tzinfo=UTC)),
        ("week", datetime(2016, 2, 29, tzinfo=UTC)),
        ("month", datetime(2016, 2, 1, tzinfo=UTC)),
    ],
)
async def test_times_become_the_beginning_of_their_step(tmp_path: Path, step: str, first: datetime) -> None:
    assert (await masked(tmp_path, f"seen=generalise:{step}"))[0] == first


async def hashed_names(tmp_path: Path, agreement: str, secret: bytes = SECRET) -> list:
    redaction = Redaction((parse_mask("name=hash"),), agreement=agreement)
    return (await projected(tmp_path, ["name"], redaction, secret))["name"].to_pylist()


async def test_hashes_are_the_same_within_an_agreement_and_differ_between_agreements(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = await hashed_names(tmp_path, "urn:a")
    there = await hashed_names(tmp_path, "urn:b")
    elsewhere = await hashed_names(tmp_path_factory.mktemp("other"), "urn:a", b"t" * 32)
    assert here[0] == here[3] != here[1]
    assert here[2] is None
    assert len({here[0], there[0], elsewhere[0]}) == 3
    assert all(len(value) == 32 for value in here if value)
    assert not any(b"Anna" in file.read_bytes() for file in projections_in(tmp_path))


def projections_in(directory: Path) -> list[Path]:
    return list(directory.rglob("*.arrow"))


async def test_a_number_is_hashed_as_a_text(tmp_path: Path) -> None:
    found = await projected(tmp_path, ["age"], Redaction((parse_mask("age=hash"),), agreement="urn:a"))
    assert found.schema.field("age").type == pa.string()


@pytest.mark.parametrize(
    ("mask", "secret"),
    [
        ("age=truncate:2", SECRET),
        ("name=generalise:10", SECRET),
        ("load=generalise:month", SECRET),
        ("name=hash", b""),
    ],
)
async def test_a_mask_that_cannot_be_applied_leaves_no_projection(
    tmp_path: Path, mask: str, secret: bytes
) -> None:
    one = parse_mask(mask)
    with pytest.raises(DataUnreadableError, match=one.column):
        await projected(tmp_path, [one.column], Redaction(masks=(one,), agreement="urn:a"), secret)
    assert not list((tmp_path / "projections").iterdir())


@pytest.mark.parametrize(
    ("column", "operator", "values", "ages"),
    [
        ("name", Operator.EQ, ("Anna",), [36, None]),
        ("name", Operator.NEQ, ("Anna",), [25]),
        ("name", Operator.IS_NONE_OF, ("Anna",), [25]),
        ("postcode", Operator.IS_ANY_OF, ("79098", "78462", "00000"), [36, -3]),
        ("age", Operator.GTEQ, (25,), [36, 25]),
        ("load", Operator.LT, (1,), [25]),
        ("seen", Operator.GT, ("2016-02-15T00:00:00Z",), [36, -3]),
        ("born", Operator.LTEQ, ("1980-12-31",), [36, None]),
    ],
)
async def test_only_rows_of_the_filter_exist(
    tmp_path: Path, column: str, operator: Operator, values: tuple, ages: list
) -> None:
    redaction = Redaction(filters=(RowFilter(column, operator, values),))
    found = await projected(tmp_path, ["age"], redaction)
    assert found.to_pydict() == {"age": ages}


async def test_all_filters_have_to_hold_and_see_the_data_before_the_masks(tmp_path: Path) -> None:
    filters = (RowFilter("name", Operator.EQ, ("Anna",)), RowFilter("age", Operator.GT, (0,)))
    found = await projected(tmp_path, ["name", "age"], Redaction((parse_mask("name=null"),), filters))
    assert found.to_pydict() == {"name": [None], "age": [36]}


@pytest.mark.parametrize(
    ("column", "value"), [("age", "36"), ("name", 36), ("seen", "yesterday"), ("nothing", "x"), ("load", "x")]
)
async def test_a_filter_that_does_not_fit_leaves_no_projection(
    tmp_path: Path, column: str, value: object
) -> None:
    redaction = Redaction(filters=(RowFilter(column, Operator.EQ, (value,)),))
    with pytest.raises(DataUnreadableError):
        await projected(tmp_path, ["age"], redaction)
    assert not list((tmp_path / "projections").iterdir())


async def test_each_redaction_has_a_projection_of_its_own(tmp_path: Path) -> None:
    whole = await projected(tmp_path, ["age"], Redaction())
    filtered = await projected(tmp_path, ["age"], Redaction(filters=(RowFilter("age", Operator.GT, (30,)),)))
    null = await projected(tmp_path, ["age"], Redaction((parse_mask("age=null"),)))
    assert [table["age"].to_pylist() for table in (whole, filtered, null)] == [
        [36, 25, -3, None],
        [36],
        [None] * 4,
    ]


def test_the_secret_is_made_once_and_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    first = mask_secret(tmp_path)
    assert mask_secret(tmp_path) == first
    assert len(first) == 32
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


@given(st.binary(min_size=1), st.text(), st.text())
def test_keys_of_two_agreements_differ(secret: bytes, one: str, other: str) -> None:
    try:
        keys = {agreement_key(secret, one), agreement_key(secret, other)}
    except UnicodeEncodeError:
        return
    assert len(keys) == len({one, other})
