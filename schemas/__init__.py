"""The shared vocabulary: IRIs, strict JSON, JSON-LD contexts and the messages of the Dataspace Protocol."""
