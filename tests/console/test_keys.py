"""Keys, sessions and wrong keys."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.console import throttle
from engine.console.keys import KEY_CHARACTERS_MAX, Keys, KeysError, Role
from engine.console.sessions import Sessions
from engine.console.throttle import Throttle


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "of" / "keys"


def test_a_key_is_known_by_its_text_alone_and_only_its_hash_is_kept(path: Path) -> None:
    keys = Keys(str(path))
    text = keys.add("ada", Role.OPERATOR)
    found = keys.verify(text)
    assert found is not None and (found.name, found.role) == ("ada", Role.OPERATOR)
    assert keys.verify(text) == found
    assert text.partition(".")[2] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "wrong", ["", ".", "ada", "ada.", "bob.x", "ada.x", "{}x", "x{}", " {}", "ada." + "x" * 200, "ada.\x00"]
)
def test_what_is_nearly_a_key_is_none(path: Path, wrong: str) -> None:
    keys = Keys(str(path))
    text = keys.add("ada", Role.VIEWER)
    assert keys.verify(wrong.format(text)) is None
    assert keys.verify(text + "x" * KEY_CHARACTERS_MAX) is None


def test_a_key_that_was_taken_away_or_changed_is_out_at_once_and_its_sessions_too(path: Path) -> None:
    keys, editor = Keys(str(path)), Keys(str(path))
    texts = {name: editor.add(name, Role.TREASURER) for name in ("ada", "bob")}
    sessions = Sessions(keys)
    cookies = {name: sessions.made(keys.all()[name]) for name in texts}
    assert all(keys.verify(text) for text in texts.values())
    editor.remove("ada")
    path.write_text(path.read_text().replace("bob:treasurer", "bob:viewer"))
    assert keys.verify(texts["ada"]) is None and sessions.key(cookies["ada"]) is None
    found = keys.verify(texts["bob"])
    assert found is not None and found.role is Role.VIEWER
    assert sessions.key(cookies["bob"]) is None  # of another role: signed in anew


def test_a_session_outlives_the_console_and_nobody_makes_one_without_its_secret(path: Path, tmp_path: Path) -> None:
    keys = Keys(str(path))
    keys.add("ada", Role.VIEWER)
    key = keys.all()["ada"]
    cookie = Sessions(keys).made(key)
    assert Sessions(Keys(str(path))).key(cookie) == key
    other = Keys(str(tmp_path / "other"))
    other.path = str(tmp_path / "other")
    (tmp_path / "other").write_text(path.read_text())
    os.chmod(tmp_path / "other", 0o600)
    forged = Sessions(other).made(key)  # who has the hashes, and no secret
    assert Sessions(keys).key(forged) is None
    assert Sessions(keys).key(cookie[:-1]) is None and Sessions(keys).key("") is None


def test_files_that_others_may_read_or_that_are_cut_are_refused_with_what_to_do(path: Path) -> None:
    keys = Keys(str(path))
    assert keys.all() == {}
    keys.add("ada", Role.VIEWER)
    path.chmod(0o640)
    with pytest.raises(KeysError, match="chmod 600"):
        keys.all()
    path.chmod(0o600)
    Sessions(keys).made(keys.all()["ada"])
    secret = path.with_name("keys.sessions")
    secret.write_bytes(b"short")
    with pytest.raises(KeysError, match="remove it"):
        Sessions(keys).made(keys.all()["ada"])
    path.write_text("ada:king:$argon2id$x\n")
    with pytest.raises(KeysError, match="line 1"):
        keys.all()


def test_the_command_makes_lists_and_removes_keys(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_CONSOLE_KEYS_FILE", str(path))
    assert main(["console", "key", "add", "ada", "--role", "treasurer"]) == 0
    text = capsys.readouterr().out.strip()
    found = Keys(str(path)).verify(text)
    assert found is not None and found.role is Role.TREASURER
    assert main(["console", "key", "add", "ada", "--role", "viewer"]) == 1
    assert main(["console", "key", "add", "a:b", "--role", "viewer"]) == 1
    assert main(["console", "key", "list"]) == 0
    assert capsys.readouterr().out.split() == ["ada", "treasurer"]
    assert main(["console", "key", "remove", "ada"]) == 0
    assert main(["console", "key", "remove", "ada"]) == 1
    assert Keys(str(path)).all() == {}


def test_wrong_keys_are_slowed_down_by_name_and_address() -> None:
    one, ada = Throttle(), ("here", "ada")
    for number in range(throttle.AT_ONCE):
        assert one.wait_s(ada, 0.0) == 0
        one.note_wrong(ada, 0.0)
        assert one.wrong == number + 1
    assert one.wait_s(ada, 0.0) == throttle.EVERY_S
    assert one.wait_s(("there", "ada"), 0.0) == one.wait_s(("here", "bob"), 0.0) == 0
    assert one.wait_s(ada, throttle.EVERY_S) == 0
    one.note_wrong(ada, throttle.EVERY_S)
    assert one.wait_s(ada, throttle.EVERY_S) == throttle.EVERY_S


def test_more_names_than_are_remembered_cost_no_memory() -> None:
    one = Throttle()
    for number in range(throttle.NAMES_MAX + 100):
        one.note_wrong(("here", str(number)), 0.0)
    assert len(one._full_at) <= throttle.NAMES_MAX


def test_a_key_that_was_verified_once_is_known_and_no_other(path: Path) -> None:
    keys = Keys(str(path))
    text = keys.add("ada", Role.VIEWER)
    assert keys.known(text) is None
    found = keys.verify(text)
    assert keys.known(text) == found is not None
    assert keys.known(text + "x") is None and keys.known("") is None
    Keys(str(path)).remove("ada")
    assert keys.known(text) is None


def test_two_who_edit_at_once_lose_no_key(path: Path) -> None:
    editors = [Keys(str(path)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: editors[at].add(f"of-{at}", Role.VIEWER), range(4)))
    assert set(Keys(str(path)).all()) == {f"of-{at}" for at in range(4)}
