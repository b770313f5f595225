"""Projections for queries hold each text once, and are the same rows all the same."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.adapters.arrow_files import Cut, project
from connector.adapters.numbering import MOST_TEXTS, Numbering, TooManyTextsError
from connector.queries.errors import DataUnreadableError
from policies.masks import Mask, MaskMethod
from policies.model import Operator
from policies.row_filters import RowFilter

TEXTS = st.none() | st.sampled_from(
    ["", " ", "a", "A", "ä", "a\u0308", "ß", "日本", "🦉", "a\0b", "'", "x" * 40]
)
BATCH = st.lists(st.tuples(TEXTS, TEXTS), max_size=12)
NUMBERED = pa.dictionary(pa.int16(), pa.string())


def source_of(directory: Path, batches: list[pa.RecordBatch], schema: pa.Schema) -> Path:
    path = directory / "source.arrow"
    with pa.ipc.new_file(path, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return path


def projected(source: Path, cut: Cut) -> pa.Table:
    target = source.parent / "target.arrow"
    target.touch()
    project(source, target, cut)
    return pa.ipc.open_file(target.read_bytes()).read_all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(BATCH, max_size=5))
def test_texts_that_come_batch_by_batch_are_numbered_and_come_back(
    tmp_path: Path, batches: list[list[tuple[str | None, str | None]]]
) -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.large_string())])
    columns = [[pa.array([row[0] for row in rows], pa.string()) for rows in batches]]
    columns.append([pa.array([row[1] for row in rows], pa.large_string()) for rows in batches])
    source = source_of(
        tmp_path,
        [pa.RecordBatch.from_arrays(list(arrays), schema=schema) for arrays in zip(*columns, strict=True)],
        schema,
    )
    found = projected(source, Cut(["b", "a"], numbered=True))
    assert found.schema.field("a").type == NUMBERED
    assert found.schema.field("b").type == pa.dictionary(pa.int16(), pa.large_string())
    rows = [row for batch in batches for row in batch]
    assert found.to_pydict() == {"b": [row[1] for row in rows], "a": [row[0] for row in rows]}
    for name in ("a", "b"):
        for chunk in found[name].chunks:
            texts = chunk.dictionary.to_pylist()
            assert None not in texts
            assert len(set(texts)) == len(texts)


def test_only_texts_are_numbered_and_every_other_type_stays(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", None, "a"],
            "whole": pa.array([1, None, 1], pa.int64()),
            "small": pa.array([1, None, 1], pa.uint8()),
            "real": pa.array([0.5, None, float("nan")], pa.float32()),
            "truth": pa.array([True, None, False]),
            "day": pa.array([date(2016, 1, 1), None, date(2016, 1, 2)]),
            "at": pa.array([datetime(2016, 1, 1, tzinfo=UTC), None, None], pa.timestamp("us", tz="UTC")),
            "price": pa.array([Decimal("1.50"), None, Decimal("2.50")], pa.decimal128(10, 2)),
            "raw": pa.array([b"a", None, b"a"]),
        }
    )
    source = source_of(tmp_path, table.to_batches(), table.schema)
    plain = projected(source, Cut(table.column_names))
    numbered = projected(source, Cut(table.column_names, numbered=True))
    assert plain.schema.equals(table.schema)
    changed = [field.name for field in numbered.schema if field.type != plain.schema.field(field.name).type]
    assert changed == ["text"]
    assert repr(numbered.cast(plain.schema).to_pydict()) == repr(plain.to_pydict())


def test_texts_of_rows_that_a_filter_drops_or_a_mask_hides_are_not_among_the_numbered(tmp_path: Path) -> None:
    table = pa.table(
        {
            "person": ["Anna-4711", "Berta-4712", "Carla-4713"],
            "town": ["Ulm", "Secretown", "Ulm"],
            "code": ["xx-hidden", "yy-hidden", "xx-hidden"],
        }
    )
    source = source_of(tmp_path, table.to_batches(), table.schema)
    cut = Cut(
        ["person", "town", "code"],
        [Mask("person", MaskMethod.HASH), Mask("code", MaskMethod.TRUNCATE, length=2)],
        [RowFilter("town", Operator.EQ, ("Ulm",))],
        b"key",
        numbered=True,
    )
    found = projected(source, cut)
    assert found.num_rows == 2
    assert found["town"].to_pylist() == ["Ulm", "Ulm"]
    assert found["code"].to_pylist() == ["xx", "xx"]
    assert {field.name for field in found.schema if field.type == NUMBERED} == {"person", "town", "code"}
    written = (tmp_path / "target.arrow").read_bytes()
    for hidden in (b"Anna", b"Berta", b"Carla", b"Secretown", b"hidden", b"yy"):
        assert hidden not in written


def test_a_column_of_too_many_texts_keeps_them_and_others_are_numbered(tmp_path: Path) -> None:
    many = [f"meter-{number}" for number in range(MOST_TEXTS)]
    table = pa.table({"few": ["a"] * len(many), "many": many, "also": many})
    # The last text alone is one too many, so it is found out after most was written.
    source = source_of(tmp_path, table.to_batches(max_chunksize=MOST_TEXTS - 1), table.schema)
    found = projected(source, Cut(table.column_names, numbered=True))
    assert [field.type for field in found.schema] == [NUMBERED, pa.string(), pa.string()]
    assert found.cast(table.schema).equals(table)


def test_as_many_texts_as_are_numbered_are_numbered(tmp_path: Path) -> None:
    # The empty text is always one of them.
    table = pa.table({"many": [f"meter-{number}" for number in range(MOST_TEXTS - 1)]})
    source = source_of(tmp_path, table.to_batches(), table.schema)
    assert projected(source, Cut(["many"], numbered=True)).schema.field("many").type == NUMBERED


def test_a_few_very_long_texts_are_not_kept_in_memory() -> None:
    batch = pa.record_batch({"a": [letter * (3 << 20) for letter in "abcdef"]})
    with pytest.raises(TooManyTextsError):
        Numbering(batch.schema, frozenset()).batch(batch)


def test_a_column_with_a_name_of_the_engines_own_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    table = pa.table({"sector": ["a"], "SECTOR #": ["b"]})
    source = source_of(tmp_path, table.to_batches(), table.schema)
    with pytest.raises(DataUnreadableError, match="'sector #', which is a name of the query engine's own"):
        projected(source, Cut(["sector", "SECTOR #"], numbered=True))
    assert projected(source, Cut(["SECTOR #"], numbered=True)).to_pydict() == {"SECTOR #": ["b"]}
