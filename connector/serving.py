"""Serving: both listeners of one connector in one process, until it is told to stop.

This is the program behind `allmende serve`, too: its process loads nothing that only other commands need.
"""

import argparse
import asyncio
import errno
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import uvloop
from starlette.types import ASGIApp

from connector.adapters.key_files import KeyFileError
from connector.adapters.management_token import ManagementTokenError
from connector.adapters.sql_store import StoreUnavailableError
from connector.app import Connector, build_connector, listener
from connector.settings import ConfigurationError, Listener, Settings, read_settings

_REMEDIES = {
    errno.EADDRINUSE: "Stop the program that uses the port, or set another one ({name}.port).",
    errno.EACCES: "Set a port above 1023 ({name}.port), or give the program the right to use this one.",
}
_OTHER_REMEDY = "Set an address of this machine ({name}.host)."


class StartError(Exception):
    """The connector cannot start; the sentence names the cause and the remedy."""


EXPECTED: Final = (
    ConfigurationError,
    StartError,
    KeyFileError,
    ManagementTokenError,
    StoreUnavailableError,
)
"""Problems of a start that are the operator's to solve; each is a sentence."""
_RED, _YELLOW = 31, 33


def main(arguments: Sequence[str]) -> None:
    """Run a participant's connector until Ctrl-C.

    Args:
        arguments: What follows `allmende serve` on the command line.

    Raises:
        SystemExit: With 2, and one sentence on stderr, where it cannot start.
    """
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = read_settings(asked.config)
        uvloop.run(serve(settings, _announce, until_stdin_closes=asked.until_stdin_closes))
    except EXPECTED as problem:
        _say(str(problem), _RED)
        raise SystemExit(2) from problem


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "allmende serve", description="Run a participant's connector until Ctrl-C.", allow_abbrev=False
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("allmende.toml"),
        help="The participant's configuration file (default: %(default)s).",
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="Also stop when standard input closes: whoever started us has gone.",
    )
    return parser


def _announce(connector: Connector) -> None:
    where = connector.settings.management
    address = f"http://{where.host}:{where.port}"
    for notice in connector.notices:
        _say(notice, _YELLOW)
    facts = {
        "did": connector.did,
        "public": connector.settings.public_url,
        "catalog": f"{connector.settings.public_url}/catalog",
        "management": address,
        "login": f"{address}/?token={connector.token}",
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _say(sentence: str, colour: int) -> None:
    """Tell whoever watches; in colour on a terminal."""
    line = f"allmende: {sentence}"
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    sys.stderr.write(f"\x1b[{colour}m{line}\x1b[0m\n" if coloured else f"{line}\n")


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
        gc.freeze()  # the routes and all they need stay, too
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
