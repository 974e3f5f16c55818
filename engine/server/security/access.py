"""Refuses requests from pages of other sites, and requests without the token."""

from __future__ import annotations

import base64
import binascii
import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.server.refusal import Refused, refused, send_refusal
from engine.server.security.hosts import AllowedHosts

HEALTH = "/healthz"
"""The only path that needs no token; its answer is always the same."""

PAGES = ("/", "/train")
"""The addresses of the page of the canvas."""

COOKIE_SECONDS = 30 * 24 * 3600


class Access:
    """Checks the `Host`, the `Origin` and the token of each request.

    The token is in the header `Authorization: Bearer TOKEN`, in a cookie, or is the password of HTTP Basic.
    The page is opened once with `?token=TOKEN` in its URL: the response sets the cookie, and redirects to the
    URL without the token.

    Args:
        app: receives the accepted requests.
        hosts: the accepted names of the server.
        token: the secret.
        cookie: the name of the cookie. Browsers share cookies between the ports of a machine, so the name has
            the port in it.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, token: str, cookie: str) -> None:
        self._app, self._hosts, self._token, self._cookie = app, hosts, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request that has the token and does not come from a page of another site."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check_sender(headers)
            if scope["type"] == "http" and scope["path"] in PAGES and b"token=" in scope["query_string"]:
                await self._open_page(scope, send)
                return
            if scope["path"] != HEALTH:
                self._check_token(headers)
        except Refused as refusal:
            await send_refusal(scope, send, refusal)
            return
        await self._app(scope, receive, send)

    def _check_sender(self, headers: Headers) -> None:
        """Check that the `Host` is one of this server, and that no page of another site sent the request.

        Raises:
            Refused: the `Host` is another, or the request comes from another site (403).
        """
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._hosts.allows_host(hosts[0]):
            hint = "use the address that safelight serve prints; --allow-host adds a name"
            raise refused(403, "foreign_host", "the Host header is not a name of this server", hint)
        for origin in headers.getlist("origin"):
            if not self._hosts.allows_origin(origin, hosts[0]):
                raise refused(403, "foreign_origin", "the request comes from a page of another site")
        if headers.get("sec-fetch-site", "").lower() == "cross-site" and not _is_navigation(headers):
            raise refused(403, "foreign_origin", "the request comes from a page of another site")

    def _check_token(self, headers: Headers) -> None:
        """Check that the request has the token.

        Raises:
            Refused: the token is missing or wrong (401).
        """
        given = _tokens(headers, self._cookie)
        if any(self._is_token(token) for token in given):
            return
        code, message = ("bad_token", "the token is wrong") if given else ("no_token", "the token is missing")
        hint = "open the address that safelight serve prints, or send the header Authorization: Bearer TOKEN"
        raise refused(401, code, message, hint, headers={"WWW-Authenticate": 'Bearer realm="safelight"'})

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    async def _open_page(self, scope: Scope, send: Send) -> None:
        """Set the cookie if the token in the page's URL is right, and redirect to the URL without the token.

        Raises:
            Refused: the token is wrong, or the request is not a GET (401).
        """
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        token = dict(query).get("token", "")
        if scope["method"] not in ("GET", "HEAD") or not self._is_token(token):
            raise refused(401, "bad_token", "the token is wrong", "open the address of the running server")
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_SECONDS}"
        headers = [
            (b"location", (f"{scope['path']}?{rest}" if rest else scope["path"]).encode()),
            (b"set-cookie", cookie.encode()),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _is_navigation(headers: Headers) -> bool:
    """Return whether the request opens a page, for example by a link; the page needs the cookie anyway."""
    return headers.get("sec-fetch-mode", "").lower() == "navigate"


def _tokens(headers: Headers, cookie: str) -> list[str]:
    """Return the tokens in a request's `Authorization` header and cookie."""
    found = []
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found.append(value.strip())
    elif scheme.lower() == "basic":
        try:
            found.append(base64.b64decode(value, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            found.append("")
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return found
    return [*found, jar[cookie].value] if cookie in jar else found
