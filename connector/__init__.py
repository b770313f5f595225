"""The connector: the imperative shell around the pure core."""
