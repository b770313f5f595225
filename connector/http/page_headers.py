"""The headers that keep a web page from doing anything but being read."""

from typing import Final

PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: that would also blank the Origin header of our own forms.
    "Referrer-Policy": "same-origin",
}
"""For every HTML answer: no script, nothing from elsewhere, no framing."""
