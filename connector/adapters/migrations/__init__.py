"""Changes of the database schema, in order."""

from typing import Final

HEAD: Final = "0008"
"""The last of them: what the tables of this version are."""
