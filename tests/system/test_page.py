"""The console's page in a real browser, on a real engine: what it shows is true, and what is done there is done."""

from __future__ import annotations

import re
import shutil
import signal
import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from engine import settings as settings_module
from engine.console.keys import Keys, Role
from engine.lab.machine.processes import CONSOLE
from tests.lab.simulate.processes import Processors, processors
from tests.system.client import Payment, client, new_payments, wait_until
from tests.system.running import Engine, engine, free_port

BROWSER = shutil.which("chromium")
SECONDS_MAX = 60.0
PAGES = {
    "": "Overview", "payments": "Payments", "processors": "Processors",
    "dead-letters": "Dead letters", "reconciliation": "Reconciliation",
    "money": "Money", "audit": "Audit trail", "settings": "Settings",
}  # fmt: skip
# Payments are given up after six seconds in which both processors fail: on a busy machine one may take two seconds.
SETTINGS = {
    "ENGINE_CONSOLE": "1", "ENGINE_LEDGER": "best", "ENGINE_FEES_PPM": "default=50000,fallback=150000",
    "ENGINE_GIVE_UP_SECONDS": "6", "ENGINE_WAIT_MAX_MS": "1000",
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="there is no chromium: `make test` installs it"),
    pytest.mark.timeout(300),  # a test waits several times, each time for at most SECONDS_MAX
]


class World:
    """An engine with a console, and keys."""

    def __init__(self, running: Engine, simulated: Processors, port: int) -> None:
        self.running = running
        self.simulated = simulated
        self.url = f"http://localhost:{port}/"
        keys = Keys(settings_module.read(running.place.settings).console_keys_file)
        self.keys = {role: keys.add(role.name.lower(), role) for role in (Role.VIEWER, Role.TREASURER)}

    def pay(self, count: int) -> list[Payment]:
        payments = new_payments(count)
        with client(self.running.port) as shop:
            for payment in payments:
                assert shop.pay(payment).status == 202
        return payments

    def settle(self) -> None:
        with client(self.running.port) as shop:
            wait_until(lambda: shop.pending() == 0, SECONDS_MAX, "all are settled")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    port = free_port()
    with processors() as simulated, engine(simulated, ENGINE_CONSOLE_PORT=str(port), **SETTINGS) as running:
        yield World(running, simulated, port)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()


def signed_in(browser: Browser, world: World, role: Role, scheme: str = "light") -> Page:
    """The page of somebody; an error of its scripts, or what its policy refuses, fails the test."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})  # type: ignore[arg-type]
    context.set_default_timeout(SECONDS_MAX * 1000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"error of the page: {error}"))
    page.on("console", lambda said: check_said(said.type, said.text))
    wait_until(lambda: reached(page, world.url), SECONDS_MAX, "the console serves")
    page.get_by_label("Your key").fill(world.keys[role])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=SECONDS_MAX * 1000)
    return page


def check_said(kind: str, text: str) -> None:
    assert kind != "error" or "Failed to load resource" in text or "ERR_" in text, text


def reached(page: Page, url: str) -> bool:
    try:
        page.goto(url)
        return page.get_by_label("Your key").is_visible() or bool(page.wait_for_selector("input[name=key]"))
    except Exception:
        return False


def see(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("main")).to_contain_text(text, timeout=SECONDS_MAX * 1000)


def go(page: Page, name: str) -> None:
    page.get_by_role("link", name=re.compile(f"^{name}")).first.click()
    expect(page.get_by_role("heading", level=1, name=name)).to_be_visible(timeout=SECONDS_MAX * 1000)


def test_a_wrong_key_opens_nothing(browser: Browser, world: World) -> None:
    page = browser.new_page()
    wait_until(lambda: reached(page, world.url), SECONDS_MAX, "the console serves")
    page.get_by_label("Your key").fill("owner.wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("This is no key of this console.", timeout=SECONDS_MAX * 1000)
    page.context.close()


def test_numbers_move_and_agree_with_the_summary_and_a_payment_shows_its_attempt(
    browser: Browser, world: World
) -> None:
    page = signed_in(browser, world, Role.VIEWER)
    payments = world.pay(40)
    world.settle()
    with client(world.running.port) as shop:
        cents = sum(total.cents for total in shop.summary().values())
    expect(page.locator("#settled")).to_have_text(f"{Decimal(cents) / 100:,.2f}", timeout=SECONDS_MAX * 1000)
    go(page, "Payments")
    page.get_by_label("Payment", exact=True).fill(payments[-1].correlation_id)
    page.get_by_role("button", name="Search").click()
    see(page, "Sent at default: charged")
    see(page, "Settled at default")
    go(page, "Overview")
    assert page.get_by_role("button", name="Pause ...").count() == 0  # a viewer only looks
    page.context.close()


def test_more_is_asked_for_once_however_often_it_is_clicked(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.VIEWER)
    asked = list[Route]()
    page.route(re.compile(r"/api/v1/payments(\?|$)"), lambda route: asked.append(route))
    go(page, "Payments")
    for number in range(3):
        route = the_one(page, asked)
        row = {"id": str(uuid.UUID(int=number)), "amount": "1.00", "state": "completed", "processor": "default",
               "attemptCount": 1, "acceptedAt": "2026-11-27T08:00:00.000Z", "settledAt": None}  # fmt: skip
        route.fulfill(json={"items": [row], "next": "more" if number < 2 else None})
        expect(page.locator("tbody tr")).to_have_count(number + 1, timeout=SECONDS_MAX * 1000)
        if number < 2:
            page.get_by_role("button", name=f"More ({number + 1} shown)").dblclick()
    assert not asked and page.evaluate("document.activeElement.tagName") == "MAIN"
    page.context.close()


def the_one(page: Page, asked: list[Route]) -> Route:
    """The request that the page has sent, and no second one."""

    def is_there() -> bool:
        page.wait_for_timeout(50)
        return bool(asked)

    wait_until(is_there, SECONDS_MAX, "it is asked for")
    page.wait_for_timeout(200)  # another one would be there by then
    (route,) = asked
    asked.clear()
    return route


def test_a_processor_is_paused_and_resumed_with_a_reason_that_stays(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.TREASURER)
    for word, reason in (("Pause", "maintenance <b>"), ("Resume", "it is back")):
        page.get_by_role("button", name=f"{word} ...").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Reason").fill(reason)
        dialog.get_by_role("button", name=word, exact=True).click()
        expect(dialog).to_contain_text("over", timeout=SECONDS_MAX * 1000)
        expect(dialog).to_contain_text("1: done")
        dialog.get_by_role("button", name="Close").click()
    go(page, "Audit trail")
    see(page, "pause default")
    see(page, "maintenance <b>")
    see(page, "treasurer")
    page.context.close()


def test_a_dead_letter_is_found_and_sent_again(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.TREASURER)
    both = (world.simulated.default, world.simulated.fallback)
    for one in both:
        one.set_failing(True)
    (payment,) = world.pay(1)
    go(page, "Dead letters")
    see(page, payment.correlation_id)
    for one in both:
        one.set_failing(False)
    page.get_by_label(f"Choose {payment.correlation_id}").check()
    see(page, "1 chosen")
    page.locator("select[name=state]").select_option("unknown")
    see(page, "all that match")  # nothing stays chosen that is not seen any more
    page.locator("select[name=state]").select_option("")
    page.get_by_label(f"Choose {payment.correlation_id}").check()
    page.get_by_role("button", name="Send again ...").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 payments", timeout=SECONDS_MAX * 1000)
    dialog.get_by_label("Reason").fill("the processors are back")
    dialog.get_by_role("button", name="Send again", exact=True).click()
    expect(dialog).to_contain_text("1: done", timeout=SECONDS_MAX * 1000)
    dialog.get_by_role("button", name="Close").click()
    page.goto(f"{world.url}#/payments/{payment.correlation_id}")
    see(page, "treasurer: retry, done")
    see(page, "Settled at")
    page.context.close()


def test_a_killed_console_comes_back_and_the_page_goes_on_by_itself(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.VIEWER)
    see(page, "live")
    pid = world.running.send_signal(CONSOLE, signal.SIGKILL)
    see(page, "trying again")
    see(page, re.compile("^Overview *live"))
    assert world.running.pid(CONSOLE) != pid
    world.pay(3)
    world.settle()
    with client(world.running.port) as shop:
        count = sum(total.count for total in shop.summary().values())
    expect(page.locator("main")).to_contain_text(f"{count} payments", timeout=SECONDS_MAX * 1000)
    page.context.close()


def test_who_is_signed_out_comes_to_a_door_that_stays_as_it_is(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.VIEWER)
    page.clock.install()
    go(page, "Dead letters")
    page.context.clear_cookies()
    page.clock.fast_forward(6000)  # a page asks again every 5 s
    see(page, "Your session is over")
    key = page.get_by_label("Your key")
    key.fill("half a k")
    page.clock.fast_forward(6000)
    page.goto(f"{world.url}#/payments")
    page.clock.fast_forward(6000)
    page.wait_for_timeout(300)  # an answer would be there by now
    expect(key).to_have_value("half a k")
    page.context.close()


def test_a_stream_that_is_refused_for_want_of_a_session_leads_to_the_door(browser: Browser, world: World) -> None:
    page = signed_in(browser, world, Role.VIEWER)
    see(page, "live")
    page.context.clear_cookies()
    world.running.send_signal(CONSOLE, signal.SIGKILL)
    see(page, "Your session is over")
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_barrier(browser: Browser, world: World, scheme: str) -> None:
    page = signed_in(browser, world, Role.TREASURER, scheme)
    payments = world.pay(2)
    world.settle()
    for name, title in PAGES.items():
        page.goto(f"{world.url}#/{name}")
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible(timeout=SECONDS_MAX * 1000)
        check(page, title)
    page.goto(f"{world.url}#/payments/{payments[0].correlation_id}")
    see(page, "Settled at")
    check(page, "Payment")
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{world.url}#/")
    see(page, "live")
    check(page, "Overview, narrow")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible(timeout=SECONDS_MAX * 1000)
    check(page, "Sign in")
    page.context.close()


def check(page: Page, title: str) -> None:
    """That a screen reader, a keyboard and weak eyes find everything (axe-core)."""
    page.wait_for_timeout(300)  # what the page asks for has come
    results = Axe().run(page)
    assert results.violations_count == 0, f"{title}: {results.generate_report()}"
