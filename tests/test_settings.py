"""What may be set, and what happens when it is set wrongly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import settings, settings_table
from engine.__main__ import main
from engine.processors import FEE_UNKNOWN_PPM, Processor
from engine.settings import SettingsError

ROOT = Path(__file__).parent.parent


def test_without_an_environment_every_variable_has_its_default() -> None:
    values = settings.read({})
    assert all(values.value(variable) == variable.default for variable in settings.VARIABLES)


def test_defaults_are_within_their_own_bounds() -> None:
    environment = settings.as_environment(settings.read({}))
    assert settings.read(environment) == settings.read({})


def test_an_old_name_goes_on_working_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    old = {variable.was: variable for variable in settings.VARIABLES if variable.was}
    for name, variable in old.items():
        caplog.clear()
        value = variable.low if isinstance(variable.default, int) else variable.default
        assert settings.read({name: str(value)}).value(variable) == value
        # What other tests have kept back by its number comes with the next line, whichever that is.
        said = [text for text in caplog.messages if not text.startswith("and ")]
        assert said == [f"{name} is called {variable.name} now"]
        with pytest.raises(SettingsError, match=f"{name} is the old name of {variable.name}, and both are set"):
            settings.read({name: str(value), variable.name: str(value)})
    assert "ENGINE_LATE_MS" in old


def test_a_child_gets_the_settings_and_no_old_name() -> None:
    environment = {"ENGINE_LATE_MS": "1000", "PATH": "/bin"}
    inherited = settings.inherited(environment, settings.read(environment))
    assert inherited["PATH"] == "/bin" and "ENGINE_LATE_MS" not in inherited
    assert settings.read(inherited).routing.slow_ms == 1000


def test_without_a_list_the_processors_are_the_contests_two() -> None:
    processors = settings.read({"ENGINE_FEE_FALLBACK_PPM": "150000"}).processors.all
    assert processors == (
        Processor("default", "http://127.0.0.1:8001", FEE_UNKNOWN_PPM),
        Processor("fallback", "http://127.0.0.1:8002", 150_000),
    )


def test_a_list_of_processors_has_its_own_names_order_and_fees() -> None:
    environment = {
        "ENGINE_PROCESSORS": "near=http://near:1/, far = http://far:2,third=https://third",
        "ENGINE_FEES_PPM": "far=70000",
        "PAYMENT_PROCESSOR_URL_DEFAULT": "http://somewhere:1",
    }
    assert settings.read(environment).processors.all == (
        Processor("near", "http://near:1"),
        Processor("far", "http://far:2", 70_000),
        Processor("third", "https://third"),
    )


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"ENGINE_PROCESSORS": "one=http://one:1"}, "must name 2 to 8 processors"),
        ({"ENGINE_PROCESSORS": ",".join(f"p{n}=http://p{n}" for n in range(9))}, "must name 2 to 8 processors"),
        ({"ENGINE_PROCESSORS": "a=http://a:1,A=http://b:1"}, "'A' is there twice"),
        ({"ENGINE_PROCESSORS": "a=http://a:1,b"}, "'b' is not like name=value"),
        ({"ENGINE_PROCESSORS": "a=http://a:1,2b=http://b:1"}, "'2b': a name begins with a letter"),
        ({"ENGINE_PROCESSORS": "a=http://a:1,b=http://b:1/path?"}, "b: must be like http://host:port"),
        ({"ENGINE_PROCESSORS": "a=http://h:1/x,b=http://H:1/%78/"}, "are one and the same: http://h:1/x"),
        ({"ENGINE_PROCESSORS": "a=http://h:1,b=http://H:1/"}, "are one and the same: http://h:1"),
        ({"ENGINE_FEES_PPM": "default=x"}, "default: must be 0 to 1000000"),
        ({"ENGINE_FEES_PPM": "default=1000001"}, "default: must be 0 to 1000000"),
        ({"ENGINE_FEES_PPM": "other=1"}, "ENGINE_FEES_PPM names other, which is no processor"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_with_the_reason(environment: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        settings.read(environment)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read({"ENGINE_RING_SLOT": "4", "ENGINE_RING_SLOTS": "100", "ENGINE_PORT": "x", "PATH": "/bin"})
    assert caught.value.problems == [
        "ENGINE_RING_SLOT: unknown. Did you mean ENGINE_RING_SLOTS? tuning.md lists the variables",
        "ENGINE_PORT='x': must be a whole number",
        "ENGINE_RING_SLOTS='100': must be a power of two",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENGINE_PORT", "0"),
        ("ENGINE_PORT", "65536"),
        ("ENGINE_PORT", "1_000"),
        ("ENGINE_PORT", ""),
        ("ENGINE_PURGE", "yes"),
        ("ENGINE_NAME", "a/b"),
        ("ENGINE_NAME", ""),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "localhost:8001"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "http://"),
        ("PAYMENT_PROCESSOR_URL_FALLBACK", "http://host:port"),
        ("PAYMENT_PROCESSOR_URL_FALLBACK", "http://[::x]:1"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.read({name: value})


@pytest.mark.parametrize(
    "end", ["\r", "\n", "\r\n", "\t", " ", "#", "?", "?a=b", "#c", "\0", "\x7f", "\xa0", "\u2028", '"', "\\"]
)
@pytest.mark.parametrize(
    "url", ["http://host:1{}", "http://host:1/{}", "http://host:1/base{}", "http://ho{}st:1", "{}http://host"]
)
def test_an_address_with_a_character_too_many_is_refused(url: str, end: str) -> None:
    with pytest.raises(SettingsError, match="PAYMENT_PROCESSOR_URL_DEFAULT"):
        settings.read({"PAYMENT_PROCESSOR_URL_DEFAULT": url.format(end)})


@pytest.mark.parametrize(
    "url",
    ["http://h:0", "http://h:65536", "http://h:", "http://h:+1", "http://a..b", "http://-a", "http://h/a//b",
     "http://h/../a", "http://h/a/%2e%2E", "http://h/%zz", "http://h/é", "http://hé", "http://a@b@", "ftp://h", "//h"],
)  # fmt: skip
def test_an_address_that_libcurl_would_read_otherwise_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="PAYMENT_PROCESSOR_URL_DEFAULT"):
        settings.read({"PAYMENT_PROCESSOR_URL_DEFAULT": url})


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://host:8002/base/", "http://host:8002/base"),
        ("https://a_b.c-d.example/v1/%C3%A9;x=1", "https://a_b.c-d.example/v1/%C3%A9;x=1"),
        ("HTTP://user:word@[::1]:80", "HTTP://user:word@[::1]:80"),
    ],
)
def test_an_address_may_have_a_base_path(url: str, kept: str) -> None:
    assert settings.read({"PAYMENT_PROCESSOR_URL_DEFAULT": url}).processors.urls[0] == kept


@pytest.mark.parametrize("durability", ["disk", "sync"])
@pytest.mark.parametrize(
    "directory", [{}, {"ENGINE_DATA_DIR": ""}, {"ENGINE_DATA_DIR": "data"}], ids=["none", "empty", "relative"]
)
def test_what_must_survive_has_no_default_directory(durability: str, directory: dict[str, str]) -> None:
    with pytest.raises(
        SettingsError, match=f"ENGINE_DATA_DIR=.*: ENGINE_DURABILITY={durability} needs the absolute path"
    ):
        settings.read({"ENGINE_DURABILITY": durability} | directory)
    assert settings.read({"ENGINE_DURABILITY": durability, "ENGINE_DATA_DIR": "/data"}).storage.data_dir == "/data"


@pytest.mark.parametrize(
    ("default", "fallback"),
    [("http://host:80", "http://HOST/"), ("http://a@host:1", "http://b@host:1"), ("http://[::1]:1", "http://[0::1]:1")],
)
def test_two_processors_that_are_one_are_refused(default: str, fallback: str) -> None:
    environment = dict(zip(settings.PROCESSOR_URL_NAMES, (default, fallback), strict=True))
    with pytest.raises(
        SettingsError, match=r"_DEFAULT and PAYMENT_PROCESSOR_URL_FALLBACK are one and the same: http://"
    ):
        settings.read(environment)


def test_an_origin_may_end_with_a_slash() -> None:
    values = settings.read({"PAYMENT_PROCESSOR_URL_DEFAULT": "http://payment-processor-default:8080/"})
    assert values.processors.urls[0] == "http://payment-processor-default:8080"


def test_tuning_md_has_the_table_that_is_made_from_the_variables() -> None:
    rows = [line for line in (ROOT / "tuning.md").read_text().splitlines() if re.match(r"\| `(ENGINE|PAYMENT)_", line)]
    assert rows == settings_table.markdown().splitlines()[2:]


def test_the_settings_in_force_are_shown_with_what_differs_from_the_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_DISPATCH_BATCH", "32")
    monkeypatch.setenv("ENGINE_ADMIN_TOKEN", "secret")
    assert main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.match(r"\* ENGINE_DISPATCH_BATCH +32 payments", line) for line in lines)
    assert any(re.match(r"  ENGINE_PORT +9999 TCP port", line) for line in lines)
    assert "secret" not in "".join(lines)
    assert any(re.match(r"\* ENGINE_DISPATCH_BATCH .*\(default: 64 payments\)$", line) for line in lines)
    assert lines[-1] == f"2 of {len(settings.VARIABLES)} differ from their defaults: see *"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PAYMENT_PROCESSOR_URL_DEFUALT", "Did you mean PAYMENT_PROCESSOR_URL_DEFAULT?"),
        ("PAYMENT_PROCESSOR_DEFAULT_URL", "Did you mean PAYMENT_PROCESSOR_URL_DEFAULT?"),
        ("PAYMENT_PROCESSOR_URL", "Did you mean PAYMENT_PROCESSOR_URL_"),
        ("ENGINE_FEE_DEFAULT", "Did you mean ENGINE_FEE_DEFAULT_PPM?"),
        ("ENGINE_PROT", "Did you mean ENGINE_PORT?"),
    ],
)
def test_a_name_that_looks_like_ours_is_refused_with_the_one_that_was_meant(name: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read({name: "http://host:1"})
    assert caught.value.problems[0].startswith(f"{name}: unknown. {told}")


def test_a_name_that_is_like_none_is_refused_without_a_guess() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read({"ENGINE_LOG_LEVEL": "1", "ENGINE_HOST": "here"})
    assert [problem for problem in caught.value.problems if "Did you mean" in problem] == []


def test_what_kubernetes_sets_for_services_is_told_from_a_mistake() -> None:
    service = "PAYMENT_PROCESSOR_DEFAULT"
    settings.read(
        {
            f"{service}_SERVICE_HOST": "10.0.0.1",
            f"{service}_SERVICE_PORT": "8080",
            f"{service}_SERVICE_PORT_HTTP": "8080",
            f"{service}_PORT_8080_TCP": "tcp://10.0.0.1:8080",
            f"{service}_PORT_8080_TCP_ADDR": "10.0.0.1",
        }
    )
    with pytest.raises(SettingsError, match=r"ENGINE_SERVICE_HOST: set by Kubernetes .* `enableServiceLinks: false`"):
        settings.read({"ENGINE_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("ENGINE_IN_FLIGHT_MIN=33", "ENGINE_IN_FLIGHT_MAX=32"),
        ("ENGINE_CONNECT_TIMEOUT_MS=501", "ENGINE_REQUEST_TIMEOUT_MS=500"),
        ("ENGINE_BOOKS_RECENT_SECONDS=3601", "ENGINE_BOOKS_HORIZON_HOURS=1"),
        ("ENGINE_AUDIT_GUARD_MS=5001", "ENGINE_AUDIT_INTERVAL_MS=5000"),
        ("ENGINE_WAIT_MAX_MS=60001", "ENGINE_GIVE_UP_SECONDS=60"),
    ],
)
def test_two_ends_of_one_range_that_cross_are_refused(low: str, high: str) -> None:
    environment = dict(pair.split("=") for pair in (low, high))
    with pytest.raises(SettingsError, match=f"^{low} .* is more than {high} .*: change one of them$"):
        settings.read(environment)
    name, value = low.split("=")
    settings.read(environment | {name: str(int(value) - 1)})


def test_an_end_that_crosses_the_others_default_names_it() -> None:
    with pytest.raises(SettingsError, match=r"is more than ENGINE_REQUEST_TIMEOUT_MS=10000 ms \(its default\)"):
        settings.read({"ENGINE_CONNECT_TIMEOUT_MS": "10001"})


@pytest.mark.parametrize("upper", ["ENGINE_IN_FLIGHT_MAX=8", "ENGINE_REQUEST_TIMEOUT_MS=300"])
def test_a_lower_end_that_nobody_has_set_stands_in_nobodys_way(upper: str) -> None:
    told = settings.read(dict([upper.split("=")]))
    assert settings.read(settings.as_environment(told)) == told, "a child reads what its parent has"
