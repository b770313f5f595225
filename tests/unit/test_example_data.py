import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examples.energy import extract

ENERGY = Path(__file__).parents[2] / "examples" / "energy"
DATA = ENERGY / "data"
PROVIDERS = ("stadtwerke-rheinaue", "gewerbeverbund-neckar")
FILES = (*PROVIDERS, "lastwerk-ki")
OFFERS = {"stadtwerke": "stadtwerke-rheinaue", "gewerbeverbund": "gewerbeverbund-neckar"}

PROFILES_PER_SECTOR = {
    "stadtwerke-rheinaue": {"household": 5, "heat_pump": 8, "charging_point": 12},
    "gewerbeverbund-neckar": {"commerce": 14, "base_load": 1},
    "lastwerk-ki": {"quarter": 1},
}
COLUMNS = {
    "profile": "string",
    "sector": "string",
    "ts": "timestamp[us, tz=UTC]",
    "load_kw": "float",
}
QUARTER_HOURS_OF_FOUR_MONTHS = (31 + 30 + 31 + 31) * 96
QUARTER_HOURS_OF_THE_CONSUMER = (14 + 30 + 31 + 31) * 96


def read(name: str) -> pa.Table:
    return pq.read_table(DATA / f"{name}.parquet")


def offer(name: str) -> dict[str, Any]:
    publication: dict[str, Any] = json.loads((ENERGY / "offers" / f"{name}.json").read_text(encoding="utf-8"))
    return publication


def test_the_data_files_are_at_most_five_megabytes_together() -> None:
    assert sum((DATA / f"{name}.parquet").stat().st_size for name in FILES) <= 5_000_000


@pytest.mark.parametrize("name", FILES)
def test_a_data_file_has_exactly_the_columns_of_the_table(name: str) -> None:
    assert {field.name: str(field.type) for field in read(name).schema} == COLUMNS


@pytest.mark.parametrize("name", FILES)
def test_a_data_file_holds_no_gap_no_repetition_and_no_negative_load(name: str) -> None:
    table = read(name)
    expected = QUARTER_HOURS_OF_THE_CONSUMER if name == "lastwerk-ki" else QUARTER_HOURS_OF_FOUR_MONTHS
    assert all(column.null_count == 0 for column in table.columns)
    assert float(np.min(table["load_kw"].to_numpy())) >= 0
    names, stamps = table["profile"].to_numpy(), table["ts"].to_numpy()
    for profile in np.unique(names):
        assert len(np.unique(stamps[names == profile])) == np.sum(names == profile) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_data_file_has_the_sectors_that_its_source_note_names(name: str) -> None:
    groups = read(name).group_by("sector").aggregate([("profile", "count_distinct")]).to_pylist()
    assert {group["sector"]: group["profile_count_distinct"] for group in groups} == PROFILES_PER_SECTOR[name]


def test_no_profile_is_held_by_two_participants() -> None:
    held = [profile for name in FILES for profile in read(name)["profile"].unique().to_pylist()]
    assert len(held) == len(set(held))


def test_the_source_note_names_licence_attribution_invention_and_the_way_back() -> None:
    note = (DATA / "SOURCE.md").read_text(encoding="utf-8")
    for needed in (
        "Open Database License 1.0",
        "University of Kassel",
        "Invented",
        "extract.py",
        "simbench==1.6.3",
    ):
        assert needed in note


@pytest.mark.parametrize("name", OFFERS)
def test_a_publication_file_describes_the_data_file_it_names(name: str) -> None:
    publication = offer(name)
    path = ENERGY / "offers" / publication["file"]
    schema = pq.read_schema(path)
    assert path.resolve() == (DATA / f"{OFFERS[name]}.parquet").resolve()
    assert {column["name"]: column["data_type"] for column in publication["columns"]} == {
        field.name: str(field.type) for field in schema
    }
    assert {column["name"]: column["role"] for column in publication["columns"]} == {
        "profile": "unit",
        "sector": "dimension",
        "ts": "time",
        "load_kw": "measure",
    }


@pytest.mark.parametrize("name", OFFERS)
def test_a_publication_file_speaks_german_and_english(name: str) -> None:
    publication = offer(name)
    texts = [publication[key] for key in ("title", "description", "source_note")]
    texts += [column["description"] for column in publication["columns"]]
    assert all(set(text) == {"de", "en"} and text["de"] and text["en"] for text in texts)


def test_both_providers_offer_one_federated_table_under_the_same_terms() -> None:
    one, other = (offer(name) for name in OFFERS)
    assert one["table"] == other["table"] == "load_profiles"
    assert one["offer"] == other["offer"]


@pytest.mark.parametrize("name", OFFERS)
def test_an_offer_leaves_the_algorithm_open_and_writes_every_operand_as_text(name: str) -> None:
    operands = [
        constraint["rightOperand"]
        for permission in offer(name)["offer"]["permission"]
        for constraint in permission["constraint"]
    ]
    assert ["@algorithm"] in operands
    assert all(
        isinstance(text, str)
        for operand in operands
        for text in (operand if isinstance(operand, list) else [operand])
    )


def german_clock(first: datetime, steps: int) -> list[str]:
    """Type out what a German clock shows every quarter of an hour."""
    berlin = ZoneInfo("Europe/Berlin")
    instants = (first + timedelta(minutes=15 * step) for step in range(steps))
    return [instant.astimezone(berlin).strftime("%d.%m.%Y %H:%M") for instant in instants]


@pytest.mark.parametrize("day", [(2016, 1, 5), (2016, 3, 26), (2016, 10, 29), (2016, 7, 1)])
def test_german_clock_times_become_utc_even_when_the_clock_is_changed(day: tuple[int, int, int]) -> None:
    first = datetime(*day, 12, tzinfo=ZoneInfo("UTC"))
    stamps = extract.utc_stamps(german_clock(first, 96 * 2))
    assert stamps[0] == np.datetime64(first.replace(tzinfo=None))
    assert (np.diff(stamps) == np.timedelta64(15, "m")).all()


def test_a_series_with_a_gap_is_not_extracted() -> None:
    clock = german_clock(datetime(2016, 1, 5, tzinfo=ZoneInfo("UTC")), 8)
    with pytest.raises(SystemExit, match="gaps"):
        extract.utc_stamps([*clock[:3], *clock[4:]])


def test_a_profile_is_rated_by_todays_low_voltage_grid_first() -> None:
    today = {("a", "7"): 3.0, ("a", "5"): 300.0, ("b", "5"): 200.0}
    future = {("b", "7"): 9.0, ("c", "7"): 11.0}
    assert [extract.nominal_power(name, (today, future)) for name in "abc"] == [3.0, 200.0, 11.0]
    with pytest.raises(SystemExit, match="no rated power"):
        extract.nominal_power("d", (today, future))
