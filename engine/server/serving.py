"""Runs the server: checks the address, opens the home, answers requests, and stops in time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.concurrency import run_in_threadpool

from engine.errors import GraphError, Problem
from engine.server import address_file, server_log
from engine.server.app import application
from engine.server.compat.programs import programs_of
from engine.server.limits import Limits
from engine.server.opening import opened
from engine.server.security.hosts import LOOPBACK, AllowedHosts, is_loopback
from engine.server.security.slow_clients import protocol, socket_protocol
from engine.server.security.tokens import new_token, read_token
from engine.server.services import Services

PORT = 8400
QUEUE_SECONDS, CONNECTION_SECONDS = 7.0, 2
"""The seconds after SIGTERM in which runs may finish, and then answers."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `safelight serve`."""

    home: Path | None = None
    graph: Path | None = None
    """A graph file outside the home folder to open, which is saved in place."""
    host: str = "127.0.0.1"
    port: int = PORT
    token_file: Path | None = None
    allow_remote: bool = False
    allow_hosts: Sequence[str] = ()
    devices: Sequence[str] = ("auto",)
    compat: Sequence[str] = ()
    """The names of other programs whose APIs are added; see `compat.programs`."""
    limits: Limits = field(default_factory=Limits)


def serve(options: Options, announce: Callable[[str, Services], None]) -> None:
    """Serve a home folder until a signal stops the process.

    Args:
        options: the options.
        announce: called with the URL of the page, with the token in it, just before the server starts.

    Raises:
        GraphError: the address is refused or taken, the token file or the graph cannot be used, or another
            server uses the home folder.
    """
    token = _token(options)
    compat = programs_of(options.compat)
    with (
        _listening(options) as listener,
        opened(options.home, options.graph, devices=options.devices, limits=options.limits) as services,
    ):
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{port}"
        hosts = AllowedHosts(
            [*LOOPBACK, name, *(options.allow_hosts or ())], port, any_address=options.allow_remote
        )
        app = application(services, hosts, token, f"safelight_{port}", compat)
        config = uvicorn.Config(
            app,
            http=protocol(options.limits),
            ws=socket_protocol(options.limits) if any(program.has_socket for program in compat) else "none",
            ws_max_size=options.limits.socket_bytes,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=CONNECTION_SECONDS,
            h11_max_incomplete_event_size=options.limits.header_bytes + options.limits.url_bytes,
            limit_concurrency=options.limits.streams + 1000,
        )
        home = services.settings.home
        with server_log.written(home, services.queue.events), address_file.written(home, url, token):
            announce(f"{url}/?token={token}", services)
            server = _Server(config, lambda: services.close(QUEUE_SECONDS))
            asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Stops the queue when a signal comes, so that event streams end; a second signal ends the process."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None]) -> None:
        super().__init__(config)
        self._close = close

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM while the server runs, so that the process ends with exit code 0."""
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._handle) for number in signals}
        try:
            yield
        finally:
            for number, former in before.items():
                signal.signal(number, former)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting connections, stop the queue, and wait for the current responses."""
        for server in self.servers:
            server.close()
        await run_in_threadpool(self._close)
        await super().shutdown(sockets)

    def _handle(self, number: int, frame: Any) -> None:
        if self.should_exit:
            os._exit(1)  # the workers stop by themselves; the queue survives
        self.should_exit = True


def _token(options: Options) -> str:
    """Read the token from the token file, or create a new one without a token file.

    Raises:
        GraphError: the token file cannot be used, or other machines can reach the address and the options do
            not allow that.
    """
    if not is_loopback(options.host) and not (options.allow_remote and options.token_file):
        message = (
            f"other machines can reach {options.host}, and anyone with the token can run code on this one"
        )
        hint = "add --allow-remote and --token-file FILE, and put a proxy with TLS in front"
        raise GraphError([Problem("remote_refused", message, hint=hint)])
    return new_token() if options.token_file is None else read_token(options.token_file)


@contextmanager
def _listening(options: Options) -> Iterator[socket.socket]:
    """Open the socket on which the server listens, and close it at the end of the block.

    Raises:
        GraphError: the address is unknown or already in use.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host.strip("[]"), options.port), family=family, backlog=2048)
    except OSError as error:
        message = f"{options.host}:{options.port} cannot be used: {error.strerror or error}"
        hint = "another program may use it: choose another one with --port"
        raise GraphError([Problem("address_in_use", message, hint=hint)]) from None
    with listener:
        # Accepted connections inherit this option. Without it, the second part of a response waits for the
        # client's delayed acknowledgement of the first, which takes 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener
