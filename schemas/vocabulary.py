"""The IRIs of the vocabularies that Allmende speaks, each written down once.

Source:
    ODRL 2.2 (https://www.w3.org/TR/odrl-vocab/), DCAT 3, DSP 2025-1, DPV 2.
"""

from typing import Final

ODRL: Final = "http://www.w3.org/ns/odrl/2/"
DCAT: Final = "http://www.w3.org/ns/dcat#"
DCT: Final = "http://purl.org/dc/terms/"
DPV: Final = "https://w3id.org/dpv#"
XSD: Final = "http://www.w3.org/2001/XMLSchema#"

DSPACE: Final = "https://w3id.org/dspace/2025/1/"
DSPACE_CONTEXT: Final = "https://w3id.org/dspace/2025/1/context.jsonld"
DSPACE_ODRL_PROFILE_CONTEXT: Final = "https://w3id.org/dspace/2025/1/odrl-profile.jsonld"

ALLMENDE: Final = "https://w3id.org/allmende/v1#"
ALLMENDE_CONTEXT: Final = "https://w3id.org/allmende/v1"
"""JSON-LD context of what we sign: names of ours that have no other meaning."""
"""Our own terms outside policies: catalog columns, evidence, message extensions."""

POLICY_PROFILE: Final = "https://w3id.org/allmende/policy/v1"
"""IRI of our ODRL profile, version 1 (docs/policy-profile.md)."""

POLICY: Final = POLICY_PROFILE + "#"
"""Namespace of the terms of our ODRL profile."""

EVIDENCE: Final = ALLMENDE + "evidence"
"""Extension of DSP messages: signed evidence as a JSON literal."""

IDS: Final = "https://w3id.org/idsa/core/"
IDSC: Final = "https://w3id.org/idsa/code/"
"""Namespaces of the International Data Spaces: what their policies hold beside ODRL."""

EDC: Final = "https://w3id.org/edc/v0.0.1/ns/"
"""Namespace of the Eclipse Dataspace Components, which their messages use beside DSP's."""
EDC_DSPACE_CONTEXT: Final = "https://w3id.org/edc/dspace/v0.0.1"
"""Context that the Eclipse Dataspace Components name; its address does not resolve (EDC issue 5299)."""
