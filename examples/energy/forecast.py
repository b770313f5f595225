"""What the consumer does with the released models: average them, forecast, compare.

Lastwerk KI has the meter of an urban quarter for two weeks in January and wants
to forecast its load in spring, summer and autumn. Its own model can only know
those two weeks; the joint model knows the seasons of other people's customers.

The calendar features come from the job's own `main.py`: forecasts are made
by the very code whose digest stands in the contracts.
"""

import runpy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Stamps = npt.NDArray[np.datetime64]
Model = dict[str, npt.NDArray[np.float32]]

JOB: Final = Path(__file__).parent / "load-forecast"
OWN_DATA: Final = Path(__file__).parent / "data" / "lastwerk-ki.parquet"
HISTORY_END: Final = np.datetime64("2016-01-18T00:00:00", "us")
"""End of the two weeks that the consumer has measured; everything later is for the test."""
RIDGE: Final = 1.0
"""The job's default: own and joint model are fitted alike."""


# Not imported: that would leave compiled code in the job's directory, which is hashed and sent as text.
job: Final = SimpleNamespace(**runpy.run_path(str(JOB / "main.py"), run_name="load_forecast"))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Forecast errors on the consumer's test period, each divided by the mean load measured there.

    Attributes:
        own_mae: Mean absolute error of the model trained on the consumer's two weeks.
        joint_mae: The same of the averaged model, scaled to the level of those two weeks.
        own_rmse: Root mean squared error of the own model.
        joint_rmse: Root mean squared error of the joint model.
        history_timestamps: Quarter-hours of the history.
        test_timestamps: Quarter-hours of the test period.
    """

    own_mae: float
    joint_mae: float
    own_rmse: float
    joint_rmse: float
    history_timestamps: int
    test_timestamps: int


def average(models: Sequence[Model], weights: Sequence[float] | None = None) -> Model:
    """Average several models of the same kind, parameter by parameter.

    The models are linear and forecast in units of their own mean load, so the
    average of the parameters forecasts exactly the average of the forecasts.

    Args:
        models: At least one model; all with the same names and shapes.
        weights: One positive weight per model; equal ones unless given.

    Raises:
        ValueError: There is no model, a weight is missing or not positive, or
            the models are of different kinds.
    """
    if not models:
        raise ValueError(
            "there is no model to average: at least one computation must have released its model"
        )
    shares = np.ones(len(models)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(models),) or not bool((shares > 0).all()):
        raise ValueError(f"{len(models)} models need as many positive weights, not {weights}")
    kinds = {tuple(sorted((name, values.shape) for name, values in model.items())) for model in models}
    if len(kinds) != 1:
        raise ValueError("the models have different parameters: they come from different jobs")
    return {
        name: np.average([model[name] for model in models], axis=0, weights=shares).astype(np.float32)
        for name in models[0]
    }


def predict(model: Model, timestamps: Stamps) -> Floats:
    """Forecast the load in kW.

    Args:
        model: `weights` and `mean_kw`, as the job writes them.
        timestamps: UTC, shape `(n,)`.

    Returns:
        Shape `(n,)`, in kW.
    """
    return _relative(model, timestamps) * float(model["mean_kw"][0])


def rescale(model: Model, timestamps: Stamps, load_kw: Floats) -> Model:
    """Bring a model to the level of a measured load, and change nothing else.

    Args:
        model: A model of another level, such as the average of several.
        timestamps: Times of the measured load, UTC, shape `(n,)`.
        load_kw: The measured load, shape `(n,)`, in kW.

    Raises:
        ValueError: The model forecasts no load at these times, so no factor fits.
    """
    level = float(_relative(model, timestamps).mean())
    if not level > 0:
        raise ValueError("the model forecasts no load in the measured period, so it cannot be scaled to it")
    return {**model, "mean_kw": np.array([load_kw.mean() / level], dtype=np.float32)}


def error_on_holdout(model: Model, timestamps: Stamps, load_kw: Floats) -> dict[str, float]:
    """Measure a model's forecasts against a measured load.

    Returns:
        `mae` and `rmse`, divided by the mean of the measured load.
    """
    measured: dict[str, float] = job.errors(predict(model, timestamps), load_kw)
    return {name: value / float(load_kw.mean()) for name, value in measured.items()}


def train_own(timestamps: Stamps, load_kw: Floats) -> Model:
    """Train on a history too short to show a season: the model has hours and kinds of day only."""
    model: Model = job.fit(timestamps, load_kw, ridge=RIDGE, seasonal=False)
    return model


def own_series(path: Path = OWN_DATA) -> tuple[Stamps, Floats]:
    """Read the consumer's own meter: times in UTC and load in kW, both of shape `(n,)`."""
    series: tuple[Stamps, Floats] = job.mean_load(pq.read_table(path))
    return series


def compare(joint: Model, timestamps: Stamps, load_kw: Floats) -> Comparison:
    """Set the consumer's own model against the joint one.

    Both see the same two weeks: the own model learns its weights from them,
    the joint model only its level.

    Args:
        joint: The average of the released models.
        timestamps: Times of the consumer's meter, UTC, shape `(n,)`.
        load_kw: Its load, shape `(n,)`.
    """
    history = timestamps < HISTORY_END
    own = train_own(timestamps[history], load_kw[history])
    scaled = rescale(joint, timestamps[history], load_kw[history])
    own_error = error_on_holdout(own, timestamps[~history], load_kw[~history])
    joint_error = error_on_holdout(scaled, timestamps[~history], load_kw[~history])
    return Comparison(
        own_mae=own_error["mae"],
        joint_mae=joint_error["mae"],
        own_rmse=own_error["rmse"],
        joint_rmse=joint_error["rmse"],
        history_timestamps=int(history.sum()),
        test_timestamps=int((~history).sum()),
    )


def _relative(model: Model, timestamps: Stamps) -> Floats:
    forecast: Floats = job.predict(model, timestamps)
    return forecast
