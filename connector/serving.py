"""Serving: both listeners of one connector in one process, until it is told to stop."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from starlette.types import ASGIApp

from connector.app import Connector, build_connector, listener
from connector.settings import Listener, Settings

_REMEDIES = {
    errno.EADDRINUSE: "Stop the program that uses the port, or set another one ({name}.port).",
    errno.EACCES: "Set a port above 1023 ({name}.port), or give the program the right to use this one.",
}
_OTHER_REMEDY = "Set an address of this machine ({name}.host)."


class StartError(Exception):
    """The connector cannot start; the sentence names the cause and the remedy."""


async def serve(
    settings: Settings, announce: Callable[[Connector], None], *, until_stdin_closes: bool = False
) -> None:
    """Run a participant's connector until SIGINT or SIGTERM.

    Args:
        settings: The participant's configuration.
        announce: Called once both listeners accept connections.
        until_stdin_closes: Also stop when standard input closes, so that a
            connector does not outlive the program that started it.

    Raises:
        StartError: A port is taken, or standard input cannot be watched.
        ManagementTokenError: The data directory was not initialised.
        KeyFileError: The keys cannot be used.
        StoreUnavailableError: The database cannot be opened.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if until_stdin_closes:
        _stop_with_stdin(stop)
    with _bound(settings.public, "public") as public, _bound(settings.management, "management") as management:
        async with build_connector(settings) as connector:
            await _serve_both(connector, [public, management], stop, lambda: announce(connector))


async def _serve_both(
    connector: Connector, sockets: list[socket.socket], stop: asyncio.Event, announce: Callable[[], None]
) -> None:
    apps: list[ASGIApp] = [connector.public, connector.management]
    servers = [listener(app) for app in apps]
    tasks = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, bound in zip(servers, sockets, strict=True)
    ]
    while not all(server.started for server in servers):
        if any(task.done() for task in tasks):
            break
        await asyncio.sleep(0.005)
    else:
        announce()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    connector.release_waiters()
    for server in servers:
        server.should_exit = True
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


def _stop_with_stdin(stop: asyncio.Event) -> None:
    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    except (AttributeError, OSError, ValueError) as problem:
        raise StartError("--until-stdin-closes needs a pipe or a terminal as standard input.") from problem


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


@contextmanager
def _bound(where: Listener, name: str) -> Iterator[socket.socket]:
    """A socket that listens before anything else is opened; its connections wait."""
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((where.host, where.port))
        except OSError as problem:
            remedy = _REMEDIES.get(problem.errno or 0, _OTHER_REMEDY).format(name=name)
            raise StartError(
                f"The {name} listener cannot use {where.host}:{where.port}: {problem.strerror}. {remedy}"
            ) from problem
        bound.listen(1024)
        yield bound
