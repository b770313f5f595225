"""Governed queries, pure: the gate, the site's own SQL, the consumer's merge."""
