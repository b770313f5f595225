"""Repeat the demo's comparison for other series of the consumer; run by hand for SOURCE.md.

    python examples/energy/sensitivity.py WHEELS/simbench-1.6.3-py3-none-any.whl

The demo shows one series. This script shows for which series the joint model
helps and for which it does not.
"""

import sys
from pathlib import Path

import extract
import forecast
import numpy as np
import pyarrow.parquet as pq

SERIES = (
    "lv_urban6",
    "lv_semiurb4",
    "lv_semiurb5",
    "lv_rural1",
    "lv_rural2",
    "lv_rural3",
    "L0-A",
    "L1-A",
    "L2-A",
    "WB-H",
)


def joint_model() -> forecast.Model:
    """Train the job on both providers' files and average the models."""
    tables = [
        pq.read_table(forecast.OWN_DATA.with_name(name))
        for name in ("stadtwerke-rheinaue.parquet", "gewerbeverbund-neckar.parquet")
    ]
    return forecast.average([forecast.job.train(table, {})[0] for table in tables])


def main(wheel: Path) -> None:
    """Print one line of a Markdown table per series."""
    simbench = extract.SimBench(wheel)
    joint = joint_model()
    wanted, _ = forecast.own_series()
    chosen = np.isin(simbench.stamps, wanted)
    print("| series | own model | joint model |\n|---|---|---|")
    for name in SERIES:
        result = forecast.compare(joint, simbench.stamps[chosen], simbench.load_kw(name)[chosen])
        print(f"| {name} | {result.own_mae:.2f} | {result.joint_mae:.2f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
