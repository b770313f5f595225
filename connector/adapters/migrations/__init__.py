"""Changes of the database schema, in order."""

from typing import Final

HEAD: Final = "0006"
"""The last of them: what the tables of this version are."""
