"""What the console's API says, to whom, and what every answer has."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.requests import HTTPConnection

from engine import settings as settings_module
from engine.addresses import origins
from engine.console import doors, openapi, throttle
from engine.console.api import PREFIX
from engine.console.app import Console
from engine.console.guard import HEADERS
from engine.console.keys import Keys, Role
from engine.console.sessions import LOOPBACK_COOKIE, SECURE_COOKIE
from engine.ledger.carry import carry
from engine.ledger.database import open_ledger
from engine.ledger.rows import Batch, FeeRow, HealthRow, ProcessorStateRow
from engine.reconcile.cases import Run, keep
from engine.reconcile.span import Span
from engine.settings import SettingsError
from tests.console.conftest import ACTIONS, PAYMENTS, World
from tests.described import check, names_of
from tests.ledger import making
from tests.system.client import wait_until

EXAMPLES_MAX = 12  # for each operation
ID = str(uuid.UUID(bytes=making.payment(1).id))
NOBODY, VIEWER, OPERATOR, TREASURER = range(4)  # who may, at least
NO_BODY: Any = None
PAUSE = {"act": "pause", "processor": "default", "reason": "maintenance", "isDryRun": True}
# Method, path, body, who may at least, and what those get.
ROUTES = [
    ("GET", "/", NO_BODY, NOBODY, 200),
    ("GET", "/static/app.js", NO_BODY, NOBODY, 200),
    ("GET", "/static/nothing.js", NO_BODY, NOBODY, 404),
    ("GET", "/healthz", NO_BODY, NOBODY, 200),
    ("GET", "/metrics", NO_BODY, NOBODY, 200),
    ("GET", PREFIX + "/session", NO_BODY, NOBODY, 200),
    ("POST", PREFIX + "/session", {"no": "key"}, NOBODY, 400),
    ("DELETE", PREFIX + "/session", NO_BODY, NOBODY, 204),
    ("GET", PREFIX + "/openapi.json", NO_BODY, NOBODY, 200),
    ("GET", PREFIX + "/overview", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/payments", NO_BODY, VIEWER, 200),
    ("GET", f"{PREFIX}/payments/{ID}", NO_BODY, VIEWER, 200),
    ("GET", f"{PREFIX}/payments/{uuid.UUID(int=1)}", NO_BODY, VIEWER, 404),
    ("GET", PREFIX + "/dead-letters", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/exceptions", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/reconciliations", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/processors/history", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/actions", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/actions/waiting", NO_BODY, VIEWER, 200),
    ("GET", f"{PREFIX}/actions/{ID}", NO_BODY, VIEWER, 404),
    ("GET", PREFIX + "/reports/money", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/reports/nothing", NO_BODY, VIEWER, 404),
    ("GET", PREFIX + "/settings", NO_BODY, VIEWER, 200),
    ("GET", PREFIX + "/nothing", NO_BODY, VIEWER, 404),
    ("PUT", PREFIX + "/payments", NO_BODY, VIEWER, 405),
    ("POST", PREFIX + "/actions", PAUSE, OPERATOR, 200),
    ("POST", PREFIX + "/actions", {"act": "ask", "isDryRun": True}, OPERATOR, 200),
    ("POST", PREFIX + "/actions", {"act": "ask", "reason": "so"}, OPERATOR, 409),
    ("POST", PREFIX + "/actions", {"act": "retry", "reason": "so"}, TREASURER, 409),
    ("POST", PREFIX + "/actions", {"act": "retry", "isDryRun": True}, TREASURER, 200),
    ("POST", PREFIX + "/actions", {"act": "cancel", "reason": "so", "evidence": "a letter"}, TREASURER, 409),
    ("POST", f"{PREFIX}/actions/{ID}/confirm", NO_BODY, TREASURER, 404),
]


@pytest.mark.parametrize(("method", "path", "body", "least", "status"), ROUTES, ids=[f"{m} {p}" for m, p, *_ in ROUTES])
def test_each_role_gets_what_it_may_and_every_answer_has_its_headers(
    world: World, method: str, path: str, body: Any, least: int, status: int
) -> None:
    for rank, role in enumerate((None, *Role)):
        answer = world.client(role).request(method, path, json=body)
        expected = status if rank >= least else 401 if role is None else 403
        assert answer.status_code == expected, (role, answer.text)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["Cache-Control"] in ("no-store", "no-cache")
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert answer.json()["status"] == expected
        assert "strict-transport-security" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control")]  # CORS is closed
        said = answer.text + str(answer.headers)
        assert not [key for key in world.keys.values() if key in said] and "$argon2" not in said
        assert "set-cookie" not in answer.headers or (method, path) == ("DELETE", PREFIX + "/session")


def test_https_has_its_own_cookie_and_header_and_a_key_is_not_taken_in_the_open(world: World) -> None:
    key = {"key": world.keys[Role.VIEWER]}
    refused = world.client(None, "http://console.example").post(PREFIX + "/session", json=key)
    assert refused.status_code == 403 and "set-cookie" not in refused.headers
    assert world.client(Role.VIEWER, "http://console.example").get(PREFIX + "/overview").status_code == 403
    for url, name, is_secure in (
        ("https://console.example", SECURE_COOKIE, True),
        ("http://127.0.0.1:9998", LOOPBACK_COOKIE, False),
        ("http://[::1]:9998", LOOPBACK_COOKIE, False),
    ):
        client = world.client(None, url)
        answer = client.post(PREFIX + "/session", json=key)
        assert answer.status_code == 200 and answer.json() == {"name": "viewer", "role": "viewer"}
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{name}=") and "HttpOnly" in cookie and "SameSite=strict" in cookie
        assert ("Secure" in cookie) == is_secure and "Path=/" in cookie and "Domain" not in cookie
        assert ("strict-transport-security" in answer.headers) == is_secure
        assert key["key"] not in answer.text + str(answer.headers)
        value = cookie.partition("=")[2].partition(";")[0]
        with_cookie = {"Cookie": f"{name}={value}"}
        assert client.get(PREFIX + "/overview", headers=with_cookie).status_code == 200
        assert client.get(PREFIX + "/session", headers=with_cookie).json()["name"] == "viewer"
        assert client.get(PREFIX + "/overview", headers={"Cookie": f"{name}={value}x"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost:9998"}, True),
        ({"Origin": "http://localhost:9999"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
def test_a_page_of_another_site_changes_nothing(world: World, headers: dict[str, str], is_taken: bool) -> None:
    client = world.client(Role.OPERATOR)
    answer = client.post(PREFIX + "/actions", json=PAUSE, headers=headers)
    assert answer.status_code == (200 if is_taken else 403)
    assert client.get(PREFIX + "/overview", headers=headers).status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]  # CORS is closed


LISTED, STRANGER = "https://tools.example", "https://tools.example.evil"


@pytest.fixture
def shared(fresh: World) -> World:
    """A console whose API the pages of LISTED may use."""
    fresh.console = Console(replace(fresh.settings, console=replace(fresh.settings.console, origins=LISTED)))
    return fresh


@pytest.mark.parametrize(("origin", "is_listed"), [(LISTED, True), (STRANGER, False), ("null", False)])
def test_a_page_of_a_listed_origin_reads_with_a_key_and_no_other_does(
    shared: World, origin: str, is_listed: bool
) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    asked = headers | {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    before = shared.client().options(PREFIX + "/actions", headers=asked)
    assert before.status_code == (204 if is_listed else 401)
    assert ("access-control-allow-methods" in before.headers) == is_listed
    for role, expected in ((None, 401), (Role.VIEWER, 200)):
        found = shared.client(role).get(PREFIX + "/overview", headers=headers)
        assert found.status_code == expected and found.headers["Vary"] == "Origin"
        assert found.headers.get("access-control-allow-origin") == (LISTED if is_listed else None)
        assert "access-control-allow-credentials" not in found.headers  # nothing of a session is shown
    wish = shared.client(Role.OPERATOR).post(PREFIX + "/actions", json=PAUSE, headers=headers)
    assert wish.status_code == (200 if is_listed else 403)


def test_a_session_is_for_the_consoles_own_page_alone(shared: World) -> None:
    client = shared.client()
    key = {"key": shared.keys[Role.OPERATOR]}
    assert client.post(PREFIX + "/session", json=key).status_code == 200
    assert client.post(PREFIX + "/actions", json=PAUSE).status_code == 200
    for site in ("cross-site", "same-site"):
        headers = {"Origin": LISTED, "Sec-Fetch-Site": site}
        for more in ({}, {"Authorization": "Basic eA=="}, {"Authorization": "Bearer "}):
            assert client.post(PREFIX + "/actions", json=PAUSE, headers=headers | more).status_code == 403
        assert client.delete(PREFIX + "/session", headers=headers).status_code == 403
        with_key = headers | {"Authorization": f"Bearer {shared.keys[Role.OPERATOR]}"}
        assert client.post(PREFIX + "/session", json=key, headers=with_key).status_code == 403


@pytest.mark.parametrize(
    "text",
    ["*", "null", "https://*.example", "tools.example", "https://tools.example/", "https://Tools.example",
     "https://tools.example:443", "https://a.example https://b.example", "https://a.example,", "ftp://a.example"],
)  # fmt: skip
def test_an_origin_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match="is no origin"):
        settings_module.read({"ENGINE_CONSOLE_ORIGINS": text})


def test_origins_are_listed_with_commas() -> None:
    assert origins("https://a.example,http://localhost:8080, https://[::1]:1") == {
        "https://a.example", "http://localhost:8080", "https://[::1]:1"
    }  # fmt: skip
    assert origins("") == frozenset()


@pytest.mark.parametrize(
    "path", ["/settings", "/payments", f"/payments/{ID}", "/openapi.json", "/reports/money?by=day"]
)
def test_what_has_not_changed_is_not_sent_again(world: World, path: str) -> None:
    client = world.client(Role.VIEWER)
    first = client.get(PREFIX + path)
    tag = first.headers["ETag"]
    for known in (tag, f'"other", W/{tag}'):
        again = client.get(PREFIX + path, headers={"If-None-Match": known})
        assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == tag
        assert {name: again.headers[name] for name in HEADERS} == HEADERS
        assert again.headers["Cache-Control"] == "no-store"  # nothing of it stays on a disk
    assert client.get(PREFIX + path, headers={"If-None-Match": '"other"'}).content == first.content
    assert world.client().get(PREFIX + "/settings", headers={"If-None-Match": tag}).status_code == 401


def test_wrong_keys_are_slowed_down_and_keep_nobody_else_out(fresh: World) -> None:
    client, right = fresh.client(), {"key": fresh.keys[Role.TREASURER]}
    wrong = {"Authorization": "Bearer viewer.wrong"}
    statuses = [client.get(PREFIX + "/overview", headers=wrong).status_code for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    answer = client.post(PREFIX + "/session", json={"key": fresh.keys[Role.VIEWER]})
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    counted = client.get("/metrics").text
    assert "engine_console_wrong_keys_total 5.0" in counted
    assert "engine_console_slowed_requests_total 2.0" in counted
    assert client.post(PREFIX + "/session", json=right).status_code == 200
    assert client.get("/healthz", headers=wrong).status_code == 200


def test_keys_that_are_tried_at_the_same_moment_are_looked_at_one_by_one(fresh: World) -> None:
    async def tries() -> list[int]:
        transport = httpx.ASGITransport(fresh.console.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9998") as client:
            path, headers = PREFIX + "/overview", {"Authorization": "Bearer viewer.wrong"}
            answers = await asyncio.gather(*(client.get(path, headers=headers) for _ in range(40)))
            return [answer.status_code for answer in answers]

    statuses = asyncio.run(tries())
    assert statuses.count(401) == throttle.AT_ONCE and statuses.count(429) == 40 - throttle.AT_ONCE


def test_a_key_that_is_taken_away_ends_the_live_page(fresh: World) -> None:
    guard = fresh.console.app
    key = fresh.client(Role.VIEWER).get(PREFIX + "/session")
    assert key.json()["name"] == "viewer"
    scope = {
        "type": "http", "headers": [(b"authorization", f"Bearer {fresh.keys[Role.VIEWER]}".encode())],
        "state": {"key": guard.keys.get("viewer")},
    }  # fmt: skip
    assert guard.still(HTTPConnection(scope))
    Keys(fresh.settings.console_keys_file).remove("viewer")
    assert not guard.still(HTTPConnection(scope))


def test_keys_that_cannot_be_read_close_the_door_and_not_the_metrics(fresh: World) -> None:
    os.chmod(fresh.settings.console_keys_file, 0o644)
    client = fresh.client(Role.TREASURER)
    assert client.get(PREFIX + "/overview").status_code == 503
    assert client.post(PREFIX + "/session", json={"key": "a.b"}).status_code == 503
    assert client.get("/metrics").status_code == 200


def test_pages_hold_every_payment_once_and_filters_hold(world: World) -> None:
    client = world.client(Role.VIEWER)
    found, cursor = list[dict[str, Any]](), None
    while True:
        page = client.get(PREFIX + "/payments", params={"limit": 7} | ({"cursor": cursor} if cursor else {})).json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(found) == PAYMENTS == len({one["id"] for one in found})
    assert [one["acceptedAt"] for one in found] == sorted((one["acceptedAt"] for one in found), reverse=True)
    failed = client.get(PREFIX + "/payments", params={"state": "failed"}).json()["items"]
    assert len(failed) == PAYMENTS // 10 and all(one["reason"] for one in failed)
    there = client.get(PREFIX + "/payments", params={"processor": "fallback", "limit": 200}).json()["items"]
    assert there and {one["processor"] for one in there} == {"fallback"}
    assert all(isinstance(one["amount"], str) for one in found)


def test_payments_are_found_by_their_amount(world: World) -> None:
    client, since = world.client(Role.VIEWER), {"from": "2026-11-27T07:00Z"}

    def found(**amounts: str) -> int:
        return len(client.get(PREFIX + "/payments", params=amounts | since | {"limit": "200"}).json()["items"])

    assert found(amountFrom="19.90", amountTo="19.9") == found(amountFrom="1") == found(amountTo="19.90") == PAYMENTS
    assert found(amountFrom="19.91") == found(amountTo="19.89") == 0


def test_runs_of_reconciliation_are_shown_the_newest_first(fresh: World) -> None:
    database = open_ledger(fresh.settings.ledger_url, name=fresh.settings.host.name)
    whole = Run(Span(making.NOW_MS, making.NOW_MS + 3_600_000), False, making.NOW_MS, 12, 24, 3, "")
    for run in (whole, whole._replace(failure="default: it does not answer", is_deep=True)):
        keep(database, run, (), ())
    database.close()
    client = fresh.client(Role.VIEWER)
    found = client.get(PREFIX + "/reconciliations").json()
    assert found["now"] is None  # this engine has never compared anything
    assert [(one["number"], one["failure"], one["isDeep"], one["windows"]) for one in found["items"]] == [
        (2, "default: it does not answer", True, 12), (1, None, False, 12),
    ]  # fmt: skip
    assert len(client.get(PREFIX + "/reconciliations?limit=1").json()["items"]) == 1


def test_the_history_of_processors_has_states_and_equal_answers_about_health_as_one(fresh: World) -> None:
    database = open_ledger(fresh.settings.ledger_url, name=fresh.settings.host.name)
    begin, at_ms = database.cursor(), making.NOW_MS
    said = [(0, False, 5), (0, False, 5), (1, True, None), (0, False, 5), (0, True, 900), (0, None, None)]
    health = tuple(
        HealthRow(number, processor, at_ms + 1000 * number, failing, ms, 200 if failing is not None else 429)
        for number, (processor, failing, ms) in enumerate(said)
    )
    states = (ProcessorStateRow(50, 0, at_ms, 3, 4, 250_000), ProcessorStateRow(51, 0, at_ms + 9, 0, None, None))
    end = begin._replace(journal=begin.journal + 60)
    carry(database, Batch(begin, end, health=health, states=states, fees=(FeeRow(1, at_ms, 150_000),)))
    database.close()
    client = fresh.client(Role.VIEWER)
    found = client.get(PREFIX + "/processors/history", params={"from": "2026-11-27T07:00Z"}).json()
    assert [(one["state"], one["failingPercent"]) for one in found["states"]] == [("healthy", None), ("open", 25.0)]
    assert [(one["processor"], one["isFailing"], one["minResponseMs"], one["answers"]) for one in found["health"]] == [
        ("default", None, None, 1), ("default", True, 900, 1), ("default", False, 5, 3), ("fallback", True, None, 1),
    ]  # fmt: skip
    assert found["health"][2]["from"] < found["health"][2]["to"] and found["health"][0]["status"] == 429
    assert {"processor": "fallback", "validFrom": found["states"][1]["at"], "percent": 15.0} in found["fees"]


def test_a_payment_has_its_attempts_and_what_people_did(world: World) -> None:
    client = world.client(Role.VIEWER)
    found = client.get(f"{PREFIX}/payments/{ID}").json()
    assert found["amount"] == "19.90" and found["state"] == "completed" and found["offered"] == []
    (attempt,) = found["attempts"]
    assert attempt["outcome"] == "charged" and attempt["latencyMs"] == 15.0 and attempt["status"] == 200
    retried = client.get(f"{PREFIX}/payments/{uuid.UUID(bytes=making.payment(0).id)}").json()
    assert [(one["who"], one["act"], one["result"]) for one in retried["acts"]] == [("Ada", "retry", None)]


def test_the_audit_trail_is_a_page_at_a_time(world: World) -> None:
    client = world.client(Role.VIEWER)
    first = client.get(PREFIX + "/actions", params={"limit": 2}).json()
    rest = client.get(PREFIX + "/actions", params={"cursor": first["next"]}).json()
    found = first["items"] + rest["items"]
    assert len(first["items"]) == 2 and rest["next"] is None
    assert len({one["id"] for one in found}) == ACTIONS and {one["who"] for one in found} == {"Ada"}
    assert {one["why"] for one in found} == {"<b>back</b>"}  # as it was written: the page shows it as text


def test_money_is_exact_text(world: World) -> None:
    report = world.client(Role.VIEWER).get(
        PREFIX + "/reports/money", params={"from": "2026-11-27T07:00Z", "to": "2026-11-27T09:00Z", "by": "hour"}
    ).json()  # fmt: skip
    names = [column["name"] for column in report["columns"]]
    (total,) = [row for row in report["rows"] if row[names.index("processor")] == "(all)"]
    assert total[names.index("gross_cents")] == f"{(PAYMENTS - PAYMENTS // 10) * 1990 // 100}.20"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/payments?limit=0", "limit"), ("/payments?limit=201", "limit"), ("/payments?limit=%D9%A1", "limit"),
        ("/payments?state=lost", "state"), ("/payments?processor=nobody", "processor"),
        ("/payments?cursor=xx", "cursor"), ("/payments?from=yesterday", "from"), ("/payments?from=1h&to=2h", "from"),
        ("/payments?amountFrom=-1", "amountFrom"), ("/payments?amountTo=1.999", "amountTo"),
        ("/payments?amountFrom=2&amountTo=1", "amountFrom"), ("/reconciliations?limit=0", "limit"),
        ("/processors/history?from=1h&to=2h", "from"), ("/payments?sate=open", "sate"),
        ("/payments/17", "id"), ("/actions?limit=x", "limit"),
        ("/actions?cursor=AAAA", "cursor"), ("/exceptions?open=2", "open"), ("/settings?x=1", "x"),
        ("/reports/money?by=second", "by"), ("/reports/money?from=3650d&by=minute", "by"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_is_named(world: World, path: str, field: str) -> None:
    answer = world.client(Role.VIEWER).get(PREFIX + path)
    assert answer.status_code == 400 and answer.json()["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", None), (b"[]", None), (b"{}", "act"), (b'{"act":"pay"}', "act"), (b'{"act":7}', "act"),
        (b'{"act":"pause","reason":"x"}', "processor"), (b'{"act":"ask"}', "reason"),
        (b'{"act":"ask","reason":" "}', "reason"), (b'{"act":"charged","reason":"x"}', "evidence"),
        (b'{"act":"ask","reason":"x","ids":[]}', "ids"), (b'{"act":"ask","reason":"x","ids":["1"]}', "ids"),
        (b'{"act":"ask","reason":"x","ids":[1]}', "ids"), (b'{"act":"ask","reason":"x","state":"open"}', "state"),
        (b'{"act":"ask","reason":"x","why":"so"}', "why"), (b'{"act":"ask","isDryRun":1}', "isDryRun"),
        (b'{"act":"ask","isDryRun":true,"olderThanSeconds":true}', "olderThanSeconds"),
        (b'{"act":"ask","isDryRun":true,"olderThanSeconds":-1}', "olderThanSeconds"),
        (b'{"act":"ask","reason":"x","id":"1"}', "id"),
        (b'{"act":"pause","processor":"nobody","isDryRun":true}', "processor"),
        (b'{"act":"ask","processor":"nobody","isDryRun":true}', "processor"),
    ],
)  # fmt: skip
def test_a_wish_that_is_not_understood_does_nothing_and_is_named(world: World, body: bytes, field: str | None) -> None:
    answer = world.client(Role.TREASURER).post(PREFIX + "/actions", content=body)
    assert answer.status_code == 400 and answer.json().get("field") == field


def test_a_body_without_end_is_cut_off(world: World) -> None:
    client = world.client(Role.TREASURER)
    assert client.post(PREFIX + "/actions", content=b" " * 100_000).status_code == 413
    parts = (b" " * 10_000 for _ in range(100))
    assert client.post(PREFIX + "/actions", content=parts).status_code == 413


def test_no_secret_is_a_setting_that_is_shown(world: World) -> None:
    text = world.client(Role.VIEWER).get(PREFIX + "/settings").text
    assert "secret-of" not in text and '"value":"(set)"' in text and "http://shop:***@127.0.0.1:9" in text


def test_a_ledger_that_is_away_is_said_and_the_rest_goes_on(fresh: World) -> None:
    os.unlink(fresh.settings.ledger_url.removeprefix("sqlite:///"))
    client = fresh.client(Role.VIEWER)
    answer = client.get(PREFIX + "/payments")
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
    assert client.get(PREFIX + "/overview").json()["isUp"] is False
    wait_until(lambda: client.get(PREFIX + "/overview").json()["ledger"]["trouble"], 30.0, "the page says it")


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[str]:
    """The address at which the console really serves. Wrong keys are not slowed down."""
    with socket.socket() as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttle, "EVERY_S", 0.0)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(doors.config(world.console.app, "127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_every_route_is_described_and_nothing_else(world: World) -> None:
    app: Any = world.console.app
    routes = {
        (method, route.path.removeprefix(PREFIX))
        for route in app._app.routes
        if route.path.startswith(PREFIX) and not route.path.endswith("openapi.json")
        for method in route.methods - {"HEAD"}
    }
    described = {
        (method.upper(), path) for path, operations in openapi.document()["paths"].items() for method in operations
    }
    assert routes == described


def test_the_table_of_roles_has_every_route() -> None:
    described = openapi.document()["paths"]
    for method, path in ((method.upper(), path) for path, operations in described.items() for method in operations):
        pattern = PREFIX + re.sub(r"\{\w+\}", "[^/]+", path)
        is_tried = any(method == one and re.fullmatch(pattern, other) for one, other, *_ in ROUTES)
        assert is_tried or path == "/events", (method, path)  # the stream has no end: see below, and test_doors.py


def test_the_live_page_is_for_who_has_a_key(world: World) -> None:
    answer = world.client().get(PREFIX + "/events")
    assert answer.status_code == 401 and answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("operation", [one for one in names_of(openapi.document()) if "/events" not in one])
def test_every_answer_is_as_described(served: str, world: World, operation: str) -> None:
    headers = {"Authorization": f"Bearer {world.keys[Role.TREASURER]}"}

    def answers(case: schemathesis.Case[Any]) -> None:
        # A cursor that no page has given, a time that is not before another: what is valid is no matter of form alone.
        case.call_and_validate(base_url=served + PREFIX, headers=headers, excluded_checks=[positive_data_acceptance])

    check(openapi.document(), operation, EXAMPLES_MAX, answers)
