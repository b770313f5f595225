"""The usage-control engine: reads, classifies, evaluates and compares policies; no I/O, no clock."""
