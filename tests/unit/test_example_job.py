import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from examples.energy import forecast

ENERGY = Path(__file__).parents[2] / "examples" / "energy"
JOB = ENERGY / "load-forecast"
PROVIDERS = ("stadtwerke-rheinaue", "gewerbeverbund-neckar")


Stamps = npt.NDArray[np.datetime64]
Result = subprocess.CompletedProcess[str]
Floats = npt.NDArray[np.float64]


def quarter_hours(first: str, last: str) -> Stamps:
    return np.arange(np.datetime64(first, "us"), np.datetime64(last, "us"), np.timedelta64(15, "m"))


def office_load(stamps: Stamps) -> Floats:
    """Four kW from 8 to 18 o'clock UTC on working days, one kW else; typed without the job's calendar."""
    when = [datetime.fromtimestamp(int(stamp) / 1e6, UTC) for stamp in stamps.astype(np.int64)]
    return np.array([4.0 if moment.weekday() < 5 and 8 <= moment.hour < 18 else 1.0 for moment in when])


def profiles(stamps: Stamps, *loads: Floats) -> pa.Table:
    return pa.concat_tables(
        pa.table(
            {
                "profile": pa.array([f"secret-profile-{number}"] * len(stamps)),
                "sector": pa.array(["household"] * len(stamps)),
                "ts": pa.array(stamps, type=pa.timestamp("us", tz="UTC")),
                "load_kw": pa.array(load, type=pa.float32()),
            }
        )
        for number, load in enumerate(loads)
    )


WINTER = quarter_hours("2016-01-01", "2016-03-01")


@dataclass(frozen=True)
class Run:
    """Runs the job as the sandbox does: isolated, with an input and an output directory."""

    directory: Path

    @property
    def out(self) -> Path:
        return self.directory / "out"

    def __call__(
        self, table: pa.Table, parameters: Mapping[str, float] | None = None
    ) -> subprocess.CompletedProcess[str]:
        source = self.directory / "in"
        with pa.ipc.new_file(str(source / "load_profiles.arrow"), table.schema) as writer:
            writer.write_table(table)
        (source / "parameters.json").write_text(json.dumps(dict(parameters or {})), encoding="utf-8")
        command = [sys.executable, "-I", str(JOB / "main.py"), str(source), str(self.out)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return Run(tmp_path)


def test_the_job_writes_exactly_the_outputs_that_it_declares(run: Run) -> None:
    declared = json.loads((JOB / "job.json").read_text(encoding="utf-8"))["outputs"]
    assert run(profiles(WINTER, office_load(WINTER))).returncode == 0
    assert {path.name for path in run.out.iterdir()} == set(declared)
    assert declared == {"metrics.json": "metrics", "model.safetensors": "model"}


def test_metrics_are_flat_numbers_and_the_model_is_a_few_hundred_parameters(run: Run) -> None:
    run(profiles(WINTER, office_load(WINTER), office_load(WINTER) * 2))
    metrics = json.loads((run.out / "metrics.json").read_text(encoding="utf-8"))
    model = load_file(run.out / "model.safetensors")
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["rows"] == 2 * len(WINTER)
    assert metrics["timestamps"] == len(WINTER)
    assert metrics["holdout_timestamps"] == 14 * 96
    assert {name: (values.dtype.name, values.shape) for name, values in model.items()} == {
        "weights": ("float32", (120,)),
        "mean_kw": ("float32", (1,)),
    }


def test_a_load_that_follows_the_calendar_is_forecast_without_error(run: Run) -> None:
    run(profiles(WINTER, office_load(WINTER)), {"ridge": 1e-6})
    metrics = json.loads((run.out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["mae"] < 1e-3
    assert metrics["baseline_mae"] < 1e-9


def test_a_noisy_load_is_forecast_better_than_by_the_week_before(run: Run) -> None:
    noise = np.random.default_rng(20160101).normal(0, 0.5, len(WINTER))
    run(profiles(WINTER, office_load(WINTER) + noise))
    metrics = json.loads((run.out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["mae"] < metrics["baseline_mae"]
    assert metrics["rmse"] < metrics["baseline_rmse"]


def test_the_same_input_gives_the_same_bytes(run: Run) -> None:
    table = profiles(WINTER, office_load(WINTER))
    run(table)
    first = {path.name: path.read_bytes() for path in run.out.iterdir()}
    run(table)
    assert {path.name: path.read_bytes() for path in run.out.iterdir()} == first


def test_no_output_names_a_profile(run: Run) -> None:
    run(profiles(WINTER, office_load(WINTER)))
    assert all(b"secret-profile" not in path.read_bytes() for path in run.out.iterdir())


def test_missing_values_are_left_out_of_the_mean(run: Run) -> None:
    load = office_load(WINTER)
    broken = load.copy()
    broken[::7] = np.nan
    run(profiles(WINTER, load, broken), {"ridge": 1e-6})
    metrics = json.loads((run.out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["timestamps"] == len(WINTER)
    assert metrics["mae"] < 1e-3


@pytest.mark.parametrize(
    ("table", "parameters", "reason"),
    [
        (profiles(WINTER, office_load(WINTER)), {"epochs": 5}, "unknown parameters"),
        (profiles(WINTER, 0 * office_load(WINTER)), {}, "not above 0 kW"),
        (profiles(WINTER[:96], office_load(WINTER[:96])), {}, "give more data"),
        (profiles(WINTER, office_load(WINTER)), {"holdout_days": 40}, "change holdout_days"),
    ],
    ids=["an unknown parameter", "no load at all", "too short a series", "all of it held out"],
)
def test_an_input_that_cannot_be_learned_from_is_refused_with_a_sentence(
    run: Run, table: pa.Table, parameters: Mapping[str, float], reason: str
) -> None:
    result = run(table, parameters)
    assert result.returncode == 1
    assert reason in result.stderr
    assert "Traceback" not in result.stderr
    assert list(run.out.iterdir()) == []


def test_the_job_imports_only_what_the_sandbox_holds() -> None:
    tree = ast.parse((JOB / "main.py").read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    imported = {module.split(".")[0] for module in modules}
    assert imported - set(sys.stdlib_module_names) == {"numpy", "pyarrow", "safetensors"}


def test_using_the_job_leaves_nothing_behind_in_its_directory() -> None:
    assert {path.name for path in JOB.iterdir()} == {"main.py", "job.json"}


moments = st.integers(0, 40 * 365 * 86400).map(
    lambda seconds: datetime(1997, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@given(moments)
def test_local_time_is_central_european_time(moment: datetime) -> None:
    berlin = moment.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None)
    stamp = np.array([moment.replace(tzinfo=None)], dtype="datetime64[us]")
    assert forecast.job.local_time(stamp)[0] == np.datetime64(berlin)


def test_features_tell_the_hour_the_kind_of_day_and_the_season() -> None:
    # 9 January 2016 was a Saturday; 12:30 UTC is 13:30 on the wall.
    row = forecast.job.features(np.array(["2016-01-09T12:30"], dtype="datetime64[us]"))[0]
    assert np.flatnonzero(row[:72]).tolist() == [24 + 13]
    assert np.flatnonzero(row[72:]).tolist() == [13, 24 + 13]
    assert row[72 + 13] == pytest.approx(np.cos(2 * np.pi * 8 / 365.25))


weights_of_a_model = st.lists(st.floats(-1, 1, width=32), min_size=120, max_size=120)


@given(weights_of_a_model, weights_of_a_model, st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_averaged_model_forecasts_the_averaged_forecast(
    first: list[float], second: list[float], one: float, other: float
) -> None:
    models = [
        {"weights": np.array(values, dtype=np.float32), "mean_kw": np.ones(1, dtype=np.float32)}
        for values in (first, second)
    ]
    stamps = quarter_hours("2016-03-26", "2016-03-28")
    forecasts = [forecast.predict(model, stamps) for model in models]
    joint = forecast.average(models, [one, other])
    assert forecast.predict(joint, stamps) == pytest.approx(
        (one * forecasts[0] + other * forecasts[1]) / (one + other), abs=1e-5
    )


def a_model(shape: int = 120, mean: float = 1.0) -> forecast.Model:
    return {"weights": np.zeros(shape, dtype=np.float32), "mean_kw": np.array([mean], dtype=np.float32)}


@pytest.mark.parametrize(
    ("models", "weights", "reason"),
    [
        ([], None, "no model"),
        ([a_model(), a_model(7)], None, "different jobs"),
        ([a_model(), {"weights": a_model()["weights"]}], None, "different jobs"),
        ([a_model(), a_model()], [1.0], "positive weights"),
        ([a_model(), a_model()], [1.0, 0.0], "positive weights"),
        ([a_model(), a_model()], [1.0, float("nan")], "positive weights"),
    ],
)
def test_models_that_do_not_belong_together_are_not_averaged(
    models: list[forecast.Model], weights: list[float] | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        forecast.average(models, weights)


def test_a_rescaled_model_meets_the_level_of_the_measured_load() -> None:
    stamps = WINTER[: 14 * 96]
    load = 250 * office_load(stamps)
    scaled = forecast.rescale(a_model(mean=3.0), stamps, load)
    assert forecast.predict(scaled, stamps).mean() == pytest.approx(load.mean())


def test_a_model_without_any_load_cannot_be_scaled() -> None:
    below_zero = {"weights": np.full(120, -4, dtype=np.float32), "mean_kw": np.ones(1, dtype=np.float32)}
    with pytest.raises(ValueError, match="cannot be scaled"):
        forecast.rescale(below_zero, WINTER, office_load(WINTER))


def test_the_error_is_relative_to_the_measured_mean() -> None:
    stamps = WINTER[:4]
    measured = forecast.error_on_holdout(a_model(mean=3.0), stamps, np.array([1.0, 3.0, 3.0, 5.0]))
    assert measured["mae"] == pytest.approx((2 + 0 + 0 + 2) / 4 / 3)
    assert measured["rmse"] == pytest.approx(np.sqrt((4 + 0 + 0 + 4) / 4) / 3)


def test_a_model_of_two_weeks_knows_no_season() -> None:
    stamps, load = forecast.own_series()
    history = stamps < np.datetime64("2016-01-18")
    own = forecast.train_own(stamps[history], load[history])
    assert np.flatnonzero(own["weights"][72:]).tolist() == []
    winter = quarter_hours("2016-01-04", "2016-01-11")
    # The same week in July, by the clock on the wall: summer time starts an hour earlier in UTC.
    summer = winter + np.timedelta64(26 * 7, "D") - np.timedelta64(1, "h")
    assert forecast.predict(own, summer).tolist() == forecast.predict(own, winter).tolist()


def test_the_source_note_tells_what_the_demos_comparison_comes_to() -> None:
    tables = [pq.read_table(ENERGY / "data" / f"{name}.parquet") for name in PROVIDERS]
    joint = forecast.average([forecast.job.train(table, {})[0] for table in tables])
    result = forecast.compare(joint, *forecast.own_series())
    line = f"| lv_urban6 (the demo) | {result.own_mae:.2f} | {result.joint_mae:.2f} |"
    assert line in (ENERGY / "data" / "SOURCE.md").read_text(encoding="utf-8")
    assert result.history_timestamps == 14 * 96
    assert result.test_timestamps == (30 + 31 + 31) * 96
