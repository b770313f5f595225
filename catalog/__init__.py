"""A pure DCAT catalog: what a participant offers, as values and as the documents others read."""
