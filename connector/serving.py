"""Serving: both listeners of one connector in one process, until it is told to stop."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp

from connector.app import Connector, build_connector, listener
from connector.settings import Listener, Settings


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
        StartError: A port is taken.
        ManagementTokenError: The data directory was not initialised.
        KeyFileError: The keys cannot be used.
        StoreUnavailableError: The database cannot be opened.
    """
    sockets = [_bound(settings.public, "public"), _bound(settings.management, "management")]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    try:
        async with build_connector(settings) as connector:
            await _serve_both(connector, sockets, stop, lambda: announce(connector))
    finally:
        for bound in sockets:
            bound.close()


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
    announce()
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    connector.release_waiters()
    for server in servers:
        server.should_exit = True
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def _bound(where: Listener, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((where.host, where.port))
    except OSError as problem:
        bound.close()
        raise StartError(
            f"The {name} listener cannot use {where.host}:{where.port}: {problem.strerror}. "
            f"Stop the program that uses the port, or set another one ({name}.port)."
        ) from problem
    bound.listen(1024)
    return bound
