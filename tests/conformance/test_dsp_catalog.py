"""Our catalog is valid under the JSON Schemas of DSP 2025-1."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft201909Validator
from referencing import Registry, Resource

from catalog.dsp import read_dsp_catalog, to_dsp_catalog, to_dsp_dataset
from tests.unit.catalog.example_catalog import catalog, dataset

SPEC = Path(os.environ.get("ALLMENDE_SPEC_DIR", Path(__file__).parents[2] / ".." / "shared" / "spec"))

pytestmark = pytest.mark.skipif(
    not (SPEC / "dsp").is_dir(), reason="the DSP schemas are not here; set ALLMENDE_SPEC_DIR"
)


@pytest.fixture(scope="module")
def registry() -> Registry[Any]:
    schemas = (json.loads(path.read_text()) for path in (SPEC / "dsp").glob("*/*-schema.json"))
    return Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in schemas)


def _validator(name: str, registry: Registry[Any]) -> Draft201909Validator:
    return Draft201909Validator(json.loads((SPEC / "dsp" / "catalog" / name).read_text()), registry=registry)


@pytest.mark.parametrize(
    "published",
    [
        catalog(),
        catalog(dataset(), dataset(identifier="CAT0101")),
        catalog(dataset(publishing=False)),
    ],
    ids=["one dataset", "two datasets", "none"],
)
def test_the_catalog_is_valid(published: Any, registry: Registry[Any]) -> None:
    _validator("catalog-schema.json", registry).validate(to_dsp_catalog(published))


def test_the_dataset_is_valid(registry: Registry[Any]) -> None:
    _validator("dataset-schema.json", registry).validate(to_dsp_dataset(dataset(), catalog()))


def test_the_schema_would_notice_a_missing_offer(registry: Registry[Any]) -> None:
    document = to_dsp_catalog(catalog())
    del document["dataset"][0]["hasPolicy"]

    assert not _validator("catalog-schema.json", registry).is_valid(document)


@pytest.mark.parametrize("name", ["catalog.json", "nested-catalog.json"])
def test_the_examples_of_the_specification_can_be_read(name: str) -> None:
    document = json.loads((SPEC / "dsp" / "catalog" / "example" / name).read_text())

    view = read_dsp_catalog(document)

    assert view.participant_id == document["participantId"]
    assert view.datasets or name == "nested-catalog.json"
    assert all(found.offers and found.formats for found in view.datasets)
