"""Templates filled in, in one language and one time zone."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import partial
from importlib.resources import files
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from connector.ui.formatting import format_bytes, format_day, format_figure, format_moment, format_number
from connector.ui.shortening import pieces_of, shortened
from connector.ui.translating import TRANSLATORS

STATIC_FILES: Final[Mapping[str, str]] = {"allmende.css": "text/css", "mark.svg": "image/svg+xml"}
"""What the pages load, with its media type; nothing else is served."""


def read_static(name: str) -> bytes:
    """A file that the pages load.

    Args:
        name: A key of `STATIC_FILES`.
    """
    return files("connector.ui").joinpath("static", name).read_bytes()


def _static_address(name: str) -> str:
    """The file's address with its digest, so that it may be cached for ever."""
    return f"/static/{name}?v={hashlib.sha256(read_static(name)).hexdigest()[:12]}"


class PageRenderer:
    """Turns a template and its values into a page."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        """Load the templates.

        Args:
            zone: The time zone in which times are shown.
        """
        self._zone = zone
        self._templates = Environment(
            loader=PackageLoader("connector.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        addresses = {name: _static_address(name) for name in STATIC_FILES}
        self._templates.globals.update(static=addresses, zone_name=str(zone))
        self._templates.filters.update(segment=partial(quote, safe=""), shortened=shortened, pieces=pieces_of)

    def render(self, template: str, language: str, **values: object) -> str:
        """Fill in a template.

        Args:
            template: Its file name.
            language: `de` or `en`.
            values: What it shows.

        Returns:
            A whole HTML page.
        """
        t = TRANSLATORS[language]
        return self._templates.get_template(template).render(
            t=t,
            text=t.pick,
            language=language,
            moment=partial(format_moment, language=language, zone=self._zone),
            day=partial(format_day, language=language, zone=self._zone),
            number=partial(format_number, language=language),
            figure=partial(format_figure, language=language),
            size=partial(format_bytes, language=language),
            **values,
        )
