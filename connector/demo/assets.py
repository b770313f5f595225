"""Where the demonstration's data and job lie: in the wheel, or in the repository's `examples/`."""

import json
import runpy
from pathlib import Path
from typing import Any

from connector.protocol.jobs import algorithm_digest
from schemas.strict_json import JsonObject

_PACKAGED = Path(__file__).parent / "energy"
_IN_REPOSITORY = Path(__file__).parents[2] / "examples" / "energy"
ENERGY = _PACKAGED if _PACKAGED.is_dir() else _IN_REPOSITORY
JOB = ENERGY / "load-forecast"


def job_files() -> dict[str, str]:
    """The algorithm: path to text."""
    return {
        str(path.relative_to(JOB)): path.read_text(encoding="utf-8")
        for path in sorted(JOB.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def job_outputs() -> dict[str, str]:
    """The outputs that the job declares: file name to kind."""
    outputs: dict[str, str] = json.loads((JOB / "job.json").read_text(encoding="utf-8"))["outputs"]
    return outputs


def publication(name: str) -> JsonObject:
    """A dataset to put on offer, its policy naming the algorithm's digest."""
    path = ENERGY / "offers" / f"{name}.json"
    text = path.read_text(encoding="utf-8").replace("@algorithm", algorithm_digest(job_files()))
    body: JsonObject = json.loads(text)
    body["file"] = str((path.parent / str(body["file"])).resolve())
    return body


def forecasting() -> dict[str, Any]:
    """The consumer's side of the forecast: averaging models and measuring their errors."""
    return runpy.run_path(str(ENERGY / "forecast.py"))
