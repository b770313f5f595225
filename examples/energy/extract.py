"""Cut the demo's load profiles out of the SimBench wheel; run by hand, never by the demo.

    python -m pip download --no-deps --dest WHEELS simbench==1.6.3
    python examples/energy/extract.py WHEELS/simbench-1.6.3-py3-none-any.whl

The wheel is only read as an archive: SimBench is not installed or imported.
Needs pyarrow, and the operating system's time zone database.
"""

import argparse
import csv
import io
import statistics
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]
Stamps = npt.NDArray[np.datetime64]

TODAY = "simbench/networks/1-complete_data-mixed-all-0-sw"
"""SimBench scenario 0: the grids of 2016."""
FUTURE = "simbench/networks/1-complete_data-mixed-all-2-sw"
"""SimBench scenario 2: the same grids with heat pumps and charging points."""

LOW_VOLTAGE, MEDIUM_VOLTAGE = "7", "5"
MONTHS = (1, 4, 7, 10)
OWN_HISTORY = (np.datetime64("2016-01-04T00:00"), np.datetime64("2016-01-18T00:00"))

COLUMNS: dict[str, pa.DataType] = {
    "profile": pa.string(),
    "sector": pa.string(),
    "ts": pa.timestamp("us", tz="UTC"),
    "load_kw": pa.float32(),
}
SCHEMA = pa.schema(COLUMNS)

STADTWERKE = {
    "household": ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L"),
    "heat_pump": (
        "Air_Alternative_1",
        "Air_Alternative_2",
        "Air_Parallel_1",
        "Air_Parallel_2",
        "Air_Semi-Parallel_1",
        "Air_Semi-Parallel_2",
        "Soil_Alternative_1",
        "Soil_Alternative_2",
    ),
    "charging_point": (
        "HLS_A_3.7",
        "HLS_B_3.7",
        "HLS_C_3.7",
        "HLS_A_11.0",
        "HLS_B_11.0",
        "HLS_A_22.0",
        "APLS_A_3.7",
        "APLS_B_3.7",
        "APLS_A_11.0",
        "APLS_B_11.0",
        "APLS_A_22.0",
        "APLS_A_50.0",
    ),
}
GEWERBEVERBUND = {
    "commerce": (
        "G0-A",
        "G0-M",
        "G1-A",
        "G1-B",
        "G1-C",
        "G2-A",
        "G3-A",
        "G3-H",
        "G3-M",
        "G4-A",
        "G4-B",
        "G4-M",
        "G5-A",
        "G6-A",
    ),
    "base_load": ("BL-H",),
}
LASTWERK = {"quarter": ("lv_urban6",)}


def utc_stamps(local_times: Sequence[str]) -> Stamps:
    """Turn SimBench's German wall-clock times into UTC.

    The hour that the end of summer time repeats appears twice, in order.
    """
    seen: set[str] = set()
    stamps = []
    for text in local_times:
        wall = datetime.strptime(text, "%d.%m.%Y %H:%M").replace(tzinfo=ZoneInfo("Europe/Berlin"))
        stamps.append(wall.replace(fold=int(text in seen)).astimezone(UTC).replace(tzinfo=None))
        seen.add(text)
    result = np.array(stamps, dtype="datetime64[us]")
    if not bool((np.diff(result) == np.timedelta64(15, "m")).all()):
        raise SystemExit(
            "the SimBench profiles have gaps in their quarter-hours: take version 1.6.3 of the wheel"
        )
    return result


def load_ratings(wheel: zipfile.ZipFile, scenario: str) -> dict[tuple[str, str], float]:
    """Return the median rated power in kW of the loads that use a profile, per profile and voltage level."""
    powers: dict[tuple[str, str], list[float]] = {}
    with wheel.open(f"{scenario}/Load.csv") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8"), delimiter=";"):
            powers.setdefault((row["profile"], row["voltLvl"]), []).append(float(row["pLoad"]) * 1000)
    return {key: statistics.median(values) for key, values in powers.items()}


def nominal_power(profile: str, ratings: Iterable[Mapping[tuple[str, str], float]]) -> float:
    """Return the first rating found: low before medium voltage, today's grid before the future one."""
    for known in ratings:
        for level in (LOW_VOLTAGE, MEDIUM_VOLTAGE):
            if (profile, level) in known:
                return known[profile, level]
    raise SystemExit(f"no SimBench load uses the profile {profile}, so it has no rated power")


class SimBench:
    """The load profiles inside one SimBench wheel."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as wheel:
            source = io.BytesIO(wheel.read(f"{TODAY}/LoadProfile.csv"))
            self._ratings = (load_ratings(wheel, TODAY), load_ratings(wheel, FUTURE))
        self._table = pacsv.read_csv(source, parse_options=pacsv.ParseOptions(delimiter=";"))
        self.stamps = utc_stamps([str(text) for text in self._table["time"].to_pylist()])

    def load_kw(self, profile: str) -> Floats:
        """Return one profile of a year in kW: shape `(35136,)`, rounded to a watt."""
        relative = np.asarray(self._table[f"{profile}_pload"].to_numpy(), dtype=np.float64)
        # Adding zero turns a rounded -0.0 into 0.0.
        return np.round(relative * nominal_power(profile, self._ratings), 3) + 0.0

    def rows(self, sectors: Mapping[str, Sequence[str]], chosen: npt.NDArray[np.bool_]) -> Iterator[pa.Table]:
        """Yield one table per profile with the chosen quarter-hours."""
        stamps = pa.array(self.stamps[chosen], type=pa.timestamp("us"))
        for sector, profiles in sectors.items():
            for profile in profiles:
                columns: list[pa.Array[Any]] = [
                    pa.repeat(profile, len(stamps)),
                    pa.repeat(sector, len(stamps)),
                    pc.assume_timezone(stamps, "UTC"),
                    pa.array(self.load_kw(profile)[chosen].astype(np.float32)),
                ]
                yield pa.Table.from_arrays(columns, schema=SCHEMA)


def write(path: Path, tables: Iterator[pa.Table]) -> None:
    """Write one row group per profile: few distinct values each, so the dictionary compresses well."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=19) as writer:
        rows = 0
        for table in tables:
            writer.write_table(table)
            rows += table.num_rows
    print(f"{path.name}: {rows} rows, {path.stat().st_size / 1e6:.2f} MB")


def extract(wheel: Path, target: Path) -> None:
    """Write the three Parquet files of the demo."""
    simbench = SimBench(wheel)
    months = simbench.stamps.astype("datetime64[M]").astype(np.int64) % 12 + 1
    year = simbench.stamps >= np.datetime64("2016-01-01")
    seasons = year & np.isin(months, MONTHS)
    history = (simbench.stamps >= OWN_HISTORY[0]) & (simbench.stamps < OWN_HISTORY[1])
    target.mkdir(parents=True, exist_ok=True)
    write(target / "stadtwerke-rheinaue.parquet", simbench.rows(STADTWERKE, seasons))
    write(target / "gewerbeverbund-neckar.parquet", simbench.rows(GEWERBEVERBUND, seasons))
    write(target / "lastwerk-ki.parquet", simbench.rows(LASTWERK, history | (seasons & (months > 1))))


def main(arguments: Sequence[str]) -> None:
    """Read the command line and extract."""
    parser = argparse.ArgumentParser(description="Cut the demo's load profiles out of the SimBench wheel.")
    parser.add_argument("wheel", type=Path, help="simbench-1.6.3-py3-none-any.whl")
    parser.add_argument("--target", type=Path, default=Path(__file__).parent / "data")
    options = parser.parse_args(arguments)
    extract(options.wheel, options.target)


if __name__ == "__main__":
    main(sys.argv[1:])
