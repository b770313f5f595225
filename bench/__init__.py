"""What the connector costs, measured: `python -m bench.run [NAME ...]`."""
