"""The style sheet and the mark, for both listeners."""

from typing import Final

from fastapi import APIRouter, Response

from connector.ui.rendering import STATIC_FILES, read_static

_HEADERS: Final = {
    # The address holds the content's digest, so it never goes stale.
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}


def static_router() -> APIRouter:
    """The files that pages load, from a fixed list; each listener with pages needs it."""
    router = APIRouter()
    contents = {name: read_static(name) for name in STATIC_FILES}

    async def static_file(name: str) -> Response:
        """Answer with one of the files."""
        if name not in contents:
            return Response("There is no such file.\n", 404, media_type="text/plain")
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(contents[name], media_type=STATIC_FILES[name], headers=headers)

    router.add_api_route("/static/{name}", static_file, methods=["GET"], include_in_schema=False)
    return router
