"""The names under which the server may be addressed.

A page of a foreign site can let its own domain name point to this machine ("DNS rebinding"), and a browser
then treats the server as part of that site. The `Host` header still has the foreign name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""The names of this machine for programs on it."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?")


def is_loopback(address: str) -> bool:
    """Return whether only programs on this machine can reach a server that listens on this address."""
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


class AllowedHosts:
    """Decides which `Host` and `Origin` headers are accepted.

    Args:
        names: the accepted names.
        port: the port of the server; a `Host` without a port means 80 or 443.
        any_address: True to accept every IP address as a `Host`, too. This is safe, as DNS rebinding needs a
            domain name; and a server for other machines does not know all of its own addresses.
    """

    def __init__(self, names: Iterable[str], port: int, *, any_address: bool = False) -> None:
        self._names = {name.lower() for name in names}
        self._port, self._any_address = port, any_address

    def allows_host(self, host: str) -> bool:
        """Return whether a `Host` header has an accepted name and the server's port."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        if name not in self._names and not (self._any_address and _is_address(name)):
            return False
        # With names for other machines, a proxy may listen on another port.
        return self._any_address or int(match["port"] or 80) == self._port

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether an `Origin` header names the same server as the `Host` header; False for `null`."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        return plain and parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
