"""A source of data for what is on offer, and a destination for what is pushed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue


class DataServer:
    """A small web server: `GET /source` gives the content, `POST /destination` takes one.

    Args:
        url: Its address.
        content: What the source holds.
        received: What the destination was sent.
    """

    def __init__(self, url: str, content: bytes, received: "SimpleQueue[bytes]") -> None:
        self.source = f"{url}/source"
        self.destination = f"{url}/destination"
        self.content = content
        self._received = received

    def next_received(self, seconds: float = 20) -> bytes | None:
        """What was pushed next; None if nothing comes."""
        try:
            return self._received.get(timeout=seconds)
        except Empty:
            return None


@contextmanager
def serving_data(content: bytes) -> Iterator[DataServer]:
    """Serve a content on this machine until the block ends."""
    received: SimpleQueue[bytes] = SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200 if self.path.startswith("/source") else 404, content)

        def do_POST(self) -> None:
            received.put(self._body())
            self._answer(200, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/csv")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield DataServer(f"http://localhost:{server.server_address[1]}", content, received)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
