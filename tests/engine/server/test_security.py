"""Every request that the server refuses, and why, in one table; and the requests beside them that pass."""

from __future__ import annotations

import base64
import json

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.server.limits import Limits
from engine.server.security.access import PAGES, Access
from engine.server.security.bodies import Bodies
from engine.server.security.headers import SecureHeaders
from engine.server.security.hosts import LOOPBACK, AllowedHosts, is_loopback
from engine.server.security.rates import Rates
from tests.engine.server.asking import HOST, JSON, TOKEN, Ask, answer

LIMITS = Limits(
    json_bytes=6000, blob_bytes=3000, idle_seconds=0.05, body_seconds=0.2, uploads=1, header_bytes=4000
)
UPLOAD = "/api/v1/blobs"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body that arrived."""
    message = await receive()
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": message["body"]})


def guarded(limits: Limits = LIMITS, hosts: AllowedHosts | None = None) -> ASGIApp:
    hosts = hosts or AllowedHosts(LOOPBACK, 8400)
    return SecureHeaders(
        Rates(Access(Bodies(echo, limits, [UPLOAD]), hosts, TOKEN, "safelight_8400"), limits)
    )


def basic(password: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


def post(body: bytes, *headers: tuple[str, str], path: str = "/api/v1/runs", **more: object) -> Ask:
    return Ask("POST", path, [JSON, *headers], body, **more)  # type: ignore[arg-type]


DEEP = b"[" * 200 + b"]" * 200

HOSTILE: dict[str, tuple[Ask, int, str]] = {
    # Who asks
    "no host": (Ask(host=None), 403, "foreign_host"),
    "two hosts": (Ask(headers=[("host", HOST)]), 403, "foreign_host"),
    "rebound name": (Ask(host="evil.example:8400"), 403, "foreign_host"),
    "own name at another port": (Ask(host="127.0.0.1:80"), 403, "foreign_host"),
    "own name as a prefix": (Ask(host="localhost.evil.example:8400"), 403, "foreign_host"),
    "own name as user": (Ask(host="localhost:8400@evil.example"), 403, "foreign_host"),
    "host with a path": (Ask(host="localhost:8400/"), 403, "foreign_host"),
    "foreign origin": (Ask(headers=[("origin", "https://evil.example")]), 403, "foreign_origin"),
    "null origin": (Ask(headers=[("origin", "null")]), 403, "foreign_origin"),
    "empty origin": (Ask(headers=[("origin", "")]), 403, "foreign_origin"),
    "origin of another port": (Ask(headers=[("origin", "http://127.0.0.1:1")]), 403, "foreign_origin"),
    "origin of another loopback name": (
        Ask(headers=[("origin", "http://localhost:8400")]),
        403,
        "foreign_origin",
    ),
    "origin with a user": (Ask(headers=[("origin", f"http://a@{HOST}")]), 403, "foreign_origin"),
    "origin that is no address": (Ask(headers=[("origin", "http://[")]), 403, "foreign_origin"),
    "cross-site fetch": (Ask(headers=[("sec-fetch-site", "Cross-Site")]), 403, "foreign_origin"),
    "no token": (Ask(token=False), 401, "no_token"),
    "empty token": (Ask(token=False, headers=[("authorization", "Bearer ")]), 401, "bad_token"),
    "wrong token": (Ask(token=False, headers=[("authorization", "Bearer x")]), 401, "bad_token"),
    "half a token": (Ask(token=False, headers=[("authorization", f"Bearer {TOKEN[:-1]}")]), 401, "bad_token"),
    "token in the user name": (
        Ask(
            token=False,
            headers=[("authorization", "Basic " + base64.b64encode(f"{TOKEN}:x".encode()).decode())],
        ),
        401,
        "bad_token",
    ),
    "broken basic": (Ask(token=False, headers=[("authorization", "Basic ###")]), 401, "bad_token"),
    "token in the query of the API": (
        Ask(path="/api/v1/runs", token=False, query=f"token={TOKEN}"),
        401,
        "no_token",
    ),
    "token in the cookie of another port": (
        Ask(token=False, headers=[("cookie", f"safelight_1={TOKEN}")]),
        401,
        "no_token",
    ),
    "wrong token for the page": (Ask(token=False, query="token=x"), 401, "bad_token"),
    "page by POST": (Ask("POST", token=False, query=f"token={TOKEN}"), 401, "bad_token"),
    # What the request is
    "form": (
        Ask("POST", "/api/v1/runs", [("content-type", "application/x-www-form-urlencoded")], b"a=1"),
        415,
        "not_json",
    ),
    "plain text": (Ask("POST", "/api/v1/runs", [("content-type", "text/plain")], b"{}"), 415, "not_json"),
    "no type": (Ask("POST", "/api/v1/runs", body=b"{}"), 415, "not_json"),
    "two types": (post(b"{}", ("content-type", "text/plain")), 415, "not_json"),
    "another charset": (
        Ask("PUT", "/x", [("content-type", "application/json; charset=utf-7")], b"{}"),
        415,
        "not_json",
    ),
    "compressed": (post(b"{}", ("content-encoding", "gzip")), 415, "not_json"),
    "delete with a form": (
        Ask("DELETE", "/x", [("content-type", "text/plain")], b"x"),
        415,
        "not_json",
    ),
    "long address": (Ask(path="/" + "a" * 9000), 414, "too_large"),
    "many headers": (Ask(headers=[(f"x-{n}", "1") for n in range(100)]), 431, "too_large"),
    "long header": (Ask(headers=[("x-long", "a" * 5000)]), 431, "too_large"),
    # The body
    "claims to be large": (post(b"{}", ("content-length", "99999999999")), 413, "too_large"),
    "length that is no number": (post(b"{}", ("content-length", "-1")), 400, "bad_request"),
    "is large": (post(b'"' + b"a" * 6000 + b'"'), 413, "too_large"),
    "is large without a length": (
        post(b"a" * 6500, ("transfer-encoding", "chunked")),
        413,
        "too_large",
    ),
    "large upload": (Ask("POST", UPLOAD, body=b"a" * 3001), 413, "too_large"),
    "pauses": (Ask("POST", UPLOAD, body=[b"a", b"b"], pause=0.1), 408, "slow_body"),
    "trickles": (Ask("POST", UPLOAD, body=[b"a"] * 100, pause=0.02), 408, "slow_body"),
    "not JSON": (post(b"{"), 400, "bad_json"),
    "not UTF-8": (post(b'"\xff"'), 400, "bad_json"),
    "a repeated key": (post(b'{"a": 1, "a": 2}'), 400, "duplicate_key"),
    "NaN": (post(b'{"a": NaN}'), 400, "not_finite"),
    "infinity": (post(b'{"a": 1e999}'), 400, "not_finite"),
    "half a surrogate": (post(b'{"a": "\\ud800"}'), 400, "bad_text"),
    "deep": (post(DEEP), 400, "too_deep"),
    "a huge number": (post(b"1" * 5000), 400, "bad_json"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(name: str) -> None:
    ask, status, code = HOSTILE[name]
    answered = answer(guarded(), ask)
    assert (answered.status, answered.code) == (status, code)
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answered.headers


ACCEPTED: dict[str, Ask] = {
    "bearer": Ask(),
    "password of basic": Ask(token=False, headers=[basic(TOKEN)]),
    "cookie": Ask(token=False, headers=[("cookie", f"other=1; safelight_8400={TOKEN}")]),
    "own origin": Ask(headers=[("origin", f"http://{HOST}")]),
    "localhost": Ask(host="LOCALHOST:8400", headers=[("origin", "http://localhost:8400")]),
    "IPv6": Ask(host="[::1]:8400"),
    "own page": Ask(headers=[("sec-fetch-site", "same-origin")]),
    "link from another site": Ask(headers=[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]),
    "health without a token": Ask(path="/healthz", token=False),
    "delete": Ask("DELETE", "/x"),
    "upload of any bytes": Ask("POST", UPLOAD, body=b"\xff\x00{"),
    "JSON with a charset": Ask("POST", "/x", [("content-type", "application/json; charset=utf-8")], b"{}"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_honest_request_passes_with_its_body(name: str) -> None:
    ask = ACCEPTED[name]
    answered = answer(guarded(), ask)
    assert (answered.status, answered.body) == (200, ask.body)
    assert "sandbox" in answered.headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
def test_the_page_exchanges_the_token_for_a_cookie_that_foreign_pages_cannot_use(path: str) -> None:
    answered = answer(guarded(), Ask(path=path, token=False, query=f"token={TOKEN}"))
    assert (answered.status, answered.headers["location"]) == (303, path)
    answered = answer(guarded(), Ask(path=path, token=False, query=f"graph=mug&token={TOKEN}"))
    assert (answered.status, answered.headers["location"]) == (303, f"{path}?graph=mug")
    cookie = answered.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    again = answer(guarded(), Ask(path=path, token=False, headers=[("cookie", cookie.partition(";")[0])]))
    assert again.status == 200


def test_a_websocket_is_checked_before_it_is_accepted() -> None:
    scope = {"type": "websocket"}
    assert answer(guarded(), Ask(token=False, scope=scope)).status == 403
    assert answer(guarded(), Ask(headers=[("origin", "null")], scope=scope)).status == 403


def test_too_many_requests_are_told_when_to_try_again() -> None:
    now = 0.0
    app = Rates(echo, Limits(requests_per_second=2, burst=3), lambda: now)
    other = Ask(scope={"client": ("127.0.0.2", 1)})
    assert [answer(app, Ask()).status for _ in range(4)] == [200, 200, 200, 429]
    assert int(answer(app, Ask()).headers["retry-after"]) == 1
    assert answer(app, other).status == 200  # each address has its own bucket
    now = 0.5
    assert [answer(app, Ask()).status for _ in range(2)] == [200, 429]


def test_a_server_for_other_machines_accepts_addresses_but_only_its_own_names() -> None:
    hosts = AllowedHosts([*LOOPBACK, "studio.local"], 8400, any_address=True)
    app = guarded(hosts=hosts)
    assert (
        answer(app, Ask(host="192.168.1.7:443", headers=[("origin", "https://192.168.1.7:443")])).status
        == 200
    )
    assert answer(app, Ask(host="studio.local")).status == 200
    assert answer(app, Ask(host="evil.example")).code == "foreign_host"


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(address: str, local: bool) -> None:
    assert is_loopback(address) is local


def test_the_problem_names_every_fault_of_a_body() -> None:
    answered = answer(guarded(), post(b'{"a": NaN, "b": 1, "b": 2}'))
    assert {item["code"] for item in json.loads(answered.body)["problems"]} == {"not_finite", "duplicate_key"}
