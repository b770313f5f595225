"""Train a small load forecast on load profiles that this job sees and nobody else.

The job reads `load_profiles.arrow` (columns `profile`, `ts`, `load_kw`) and
`parameters.json`, and writes `metrics.json` and `model.safetensors`:

    python main.py [INPUT_DIRECTORY OUTPUT_DIRECTORY]     (default: /in /out)

The model is a ridge regression of the mean load per profile on calendar
features, in units of its own mean: a forecast of 1.2 means a load 20 % above
the average. Models of several data holders can therefore be averaged.
It is deterministic: the same input gives the same bytes.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from safetensors.numpy import save

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Stamps = npt.NDArray[np.datetime64]
Model = dict[str, npt.NDArray[np.float32]]

HOURS: Final = 24
DAY_KINDS: Final = 3
CALENDAR: Final = HOURS * DAY_KINDS
"""Number of features that know no season: one per hour of a working day, a Saturday and a Sunday."""
FEATURES: Final = CALENDAR + 2 * HOURS

WEEK: Final = np.timedelta64(7, "D")
DEFAULTS: Final = {"holdout_days": 7, "ridge": 1.0}


def _last_sunday(stamps: Stamps, month: int) -> Stamps:
    """Return 01:00 UTC on the last Sunday of a month in the year of each timestamp."""
    next_month = stamps.astype("datetime64[Y]").astype("datetime64[M]") + month
    last_day = next_month.astype("datetime64[D]") - 1
    # Day 0 of NumPy's calendar, 1970-01-01, was a Thursday.
    after_sunday = (last_day.astype(np.int64) + 4) % 7
    return (last_day - after_sunday).astype("datetime64[h]") + 1


def local_time(stamps: Stamps) -> Stamps:
    """Turn UTC into Central European time, summer time included.

    The sandbox has no time zone database, and people switch on their lights
    by the clock on the wall.

    Source:
        Directive 2000/84/EC, articles 2 and 3.
    """
    summer = (stamps >= _last_sunday(stamps, 3)) & (stamps < _last_sunday(stamps, 10))
    local: Stamps = stamps + np.where(summer, 2, 1).astype("timedelta64[h]")
    return local


def features(stamps: Stamps) -> Floats:
    """Describe quarter-hours by the calendar alone.

    Args:
        stamps: UTC, shape `(n,)`.

    Returns:
        Shape `(n, FEATURES)`: first hour by kind of day (one-hot), then the
        yearly cosine and sine for each hour of the day.
    """
    local = local_time(stamps)
    days = local.astype("datetime64[D]")
    hour = (local - days).astype("timedelta64[h]").astype(np.int64)
    weekday = (days.astype(np.int64) + 3) % 7
    kind = np.maximum(weekday - 4, 0)
    season = 2 * np.pi * (days - days.astype("datetime64[Y]")).astype(np.int64) / 365.25
    rows = np.arange(len(stamps))
    result = np.zeros((len(stamps), FEATURES))
    result[rows, kind * HOURS + hour] = 1.0
    result[rows, CALENDAR + hour] = np.cos(season)
    result[rows, CALENDAR + HOURS + hour] = np.sin(season)
    return result


def fit(stamps: Stamps, load: Floats, *, ridge: float, seasonal: bool = True) -> Model:
    """Fit the forecast.

    Args:
        stamps: UTC, shape `(n,)`.
        load: Load at these times, shape `(n,)`, in kW.
        ridge: Weight of the penalty on large parameters; above 0.
        seasonal: False where the history is too short to show a season; the
            seasonal weights are then 0.

    Returns:
        `weights` of shape `(FEATURES,)` and `mean_kw` of shape `(1,)`.
    """
    mean = float(load.mean())
    if not mean > 0:
        raise SystemExit(
            "the mean load is not above 0 kW, so there is nothing to learn: check the column load_kw"
        )
    known = features(stamps)[:, : FEATURES if seasonal else CALENDAR]
    solution = np.linalg.solve(
        known.T @ known + ridge * np.eye(known.shape[1]), known.T @ (load / mean - 1.0)
    )
    weights = np.zeros(FEATURES, dtype=np.float32)
    weights[: len(solution)] = solution
    return {"weights": weights, "mean_kw": np.array([mean], dtype=np.float32)}


def predict(model: Model, stamps: Stamps) -> Floats:
    """Forecast the load in units of the model's own mean: shape `(n,)`."""
    return 1.0 + features(stamps) @ model["weights"].astype(np.float64)


def mean_load(table: pa.Table) -> tuple[Stamps, Floats]:
    """Average the profiles at each point in time.

    Returns:
        The distinct times in ascending order, UTC, and the mean load in kW;
        both of shape `(n,)`.
    """
    stamps = np.asarray(table["ts"].to_numpy(), dtype="datetime64[us]")
    load = np.asarray(table["load_kw"].to_numpy(), dtype=np.float64)
    usable = np.isfinite(load) & ~np.isnat(stamps)
    times, position, count = np.unique(stamps[usable], return_inverse=True, return_counts=True)
    return times, np.bincount(position, weights=load[usable], minlength=len(times)) / count


def held_out(stamps: Stamps, days: int) -> Flags:
    """Choose the last days of each month: every season is tested, and every season is learned."""
    month_end = (stamps.astype("datetime64[M]") + 1).astype("datetime64[D]")
    chosen: Flags = (month_end - stamps.astype("datetime64[D]")).astype(np.int64) <= days
    return chosen


def errors(forecast: Floats, actual: Floats, prefix: str = "") -> dict[str, float]:
    """Measure a forecast: mean absolute and root mean squared error, in the unit of its arguments."""
    difference = forecast - actual
    return {
        f"{prefix}mae": float(np.abs(difference).mean()),
        f"{prefix}rmse": float(np.sqrt((difference**2).mean())),
    }


def week_before(stamps: Stamps, load: Floats, wanted: Stamps) -> tuple[Flags, Floats]:
    """Look up the load seven days before each wanted time.

    Returns:
        Which wanted times have such a value, and the values of those.
    """
    position = np.minimum(np.searchsorted(stamps, wanted - WEEK), len(stamps) - 1)
    known = stamps[position] == wanted - WEEK
    return known, load[position[known]]


def evaluate(model: Model, stamps: Stamps, load: Floats, test: Flags) -> dict[str, float]:
    """Compare the model on the weeks held out with the plainest forecast: as a week before.

    All errors are in units of the training mean.
    """
    actual = load / float(model["mean_kw"][0])
    result = errors(predict(model, stamps[test]), actual[test])
    known, naive = week_before(stamps, actual, stamps[test])
    if known.any():
        result |= errors(naive, actual[test][known], "baseline_")
    return result


def train(table: pa.Table, parameters: Mapping[str, Any]) -> tuple[Model, dict[str, float]]:
    """Train on all but the last days of each month and measure on those."""
    unknown = sorted(set(parameters) - set(DEFAULTS))
    if unknown:
        raise SystemExit(f"unknown parameters {unknown}: this job knows {sorted(DEFAULTS)}")
    settings = {**DEFAULTS, **parameters}
    stamps, load = mean_load(table)
    test = held_out(stamps, int(settings["holdout_days"]))
    if test.all() or not test.any():
        raise SystemExit(
            f"{len(stamps)} points in time leave nothing to train or nothing to test with "
            f"holdout_days = {settings['holdout_days']}: give more data or change holdout_days"
        )
    model = fit(stamps[~test], load[~test], ridge=float(settings["ridge"]))
    metrics = {
        "rows": table.num_rows,
        "timestamps": len(stamps),
        "holdout_timestamps": int(test.sum()),
        "parameters": FEATURES + 1,
        **evaluate(model, stamps, load, test),
    }
    return model, metrics


def main(arguments: Sequence[str]) -> None:
    """Read the input directory, train, and write the output directory."""
    source, target = (Path(path) for path in (arguments or ("/in", "/out")))
    with pa.memory_map(str(source / "load_profiles.arrow")) as memory:
        table = pa.ipc.open_file(memory).read_all()
        parameters = json.loads((source / "parameters.json").read_text(encoding="utf-8"))
        model, metrics = train(table, parameters)
    (target / "model.safetensors").write_bytes(save(model))
    (target / "metrics.json").write_text(
        json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
