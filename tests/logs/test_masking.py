"""No text that is written has a secret in it, whoever has put it there."""

from __future__ import annotations

import json

import pytest

from engine import settings as settings_module
from engine.logs.masking import MASKED, is_secret, mask_of
from engine.settings import VARIABLES
from engine.settings_table import SECRETS

SECRET = "s3cr\"et'\\ wörd/+"


@pytest.mark.parametrize("name", ["ENGINE_ADMIN_TOKEN", "ENGINE_PROCESSOR_TOKEN", "PGPASSWORD", "POSTGRES_PASSWORD"])
@pytest.mark.parametrize("write", [str, repr, json.dumps, lambda text: json.dumps(repr(text))], ids=range(4))
def test_the_value_of_a_secret_variable_is_masked_however_it_is_written(name: str, write: object) -> None:
    assert callable(write)
    text = f"it said {write(SECRET)} to me"
    masked = mask_of({name: SECRET})(text)
    assert "s3cr" not in masked and MASKED in masked and masked.startswith("it said")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ENGINE_LEDGER_URL", "postgresql://engine:pa%2Fss-word@db/ledger"),
        ("ENGINE_LEDGER_URL", "postgresql://db/ledger?password=pa%2Fss-word&x=1"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "http://shop:pa%2Fss-word@host:80"),
    ],
)
def test_a_password_in_an_address_is_masked_as_it_stands_there_and_decoded(name: str, url: str) -> None:
    mask = mask_of({name: url})
    assert mask(f"{name}={url!r}").count("ss-word") == 0
    assert "ss-word" not in mask("FATAL: pa/ss-word is wrong for engine")
    assert "ledger" in mask("the ledger is away"), "what is not secret stays"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.SEEN-1",
        "authorization: Basic dXNlcjpTRUVOLTE=",
        "{'Authorization': 'Bearer SEEN-1'}",
        '{"x-engine-token":"SEEN-1"}',
        "X-Rinha-Token: SEEN-1",
        "GET /?access_token=SEEN-1&a=1",
        "password=SEEN-1 host=db",
        "api_key = 'SEEN-1'",
        "connection to postgresql://u:SEEN-1@db/x failed",
        "the header Bearer SEEN-1 was refused",
        r"{\"client_secret\": \"SEEN-1\"}",
    ],
)
def test_what_is_announced_as_a_secret_is_masked_though_nobody_knows_it(text: str) -> None:
    masked = mask_of({})(text)
    assert "SEEN" not in masked and "U0VFTi0x" not in masked and "dXNlc" not in masked and MASKED in masked


def test_text_without_secrets_stays_as_it_is() -> None:
    text = "payment 4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3 at http://host:8080/path: 1,123 basic facts, status 500"
    assert mask_of({"ENGINE_PROCESSOR_TOKEN": "123", "ENGINE_ADMIN_TOKEN": ""})(text) == text


def test_a_short_secret_is_masked_where_it_stands_alone_and_breaks_no_words() -> None:
    assert mask_of({"ENGINE_ADMIN_TOKEN": "pay"})("pay for a payment") == f"{MASKED} for a payment"


def test_every_variable_whose_value_is_not_shown_is_known_to_be_secret() -> None:
    names = {variable.name for variable in VARIABLES if is_secret(variable.name)}
    assert names | {"ENGINE_LEDGER_URL"} == set(SECRETS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ENGINE_ADMIN_TOKEN", " SEEN-1"),
        ("ENGINE_PROCESSOR_TOKEN", "SEEN-1" * 100),
        ("ENGINE_LEDGER_URL", "mysql://engine:SEEN-1@db/ledger"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "http://u:SEEN-1@host/x?y"),
        ("ENGINE_PROCESSORS", "a=http://u:SEEN-1@host,b=http://b?"),
    ],
)
def test_a_bad_value_is_complained_of_without_what_is_secret_in_it(name: str, text: str) -> None:
    with pytest.raises(settings_module.SettingsError) as raised:
        settings_module.read({name: text})
    assert "SEEN" not in str(raised.value) and name in str(raised.value)
