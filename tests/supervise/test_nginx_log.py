"""What nginx says becomes lines of the engine, and its refusals are counted to the last one."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.memory import metrics_layout as pages
from engine.memory.words import Words, zeros
from engine.supervise import nginx_log
from engine.supervise.nginx_log import NginxLog, kind

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
REFUSED = (
    "2026/11/27 14:00:00 [error] 12#12: *7 connect() to unix:/run/engine/api-0.sock failed (111: Connection refused) "
    'while connecting to upstream, client: 127.0.0.1, request: "POST /payments?token=SEEN-1 HTTP/1.1", host: "x"\n'
)


def request(status: int = 202, own: str = "", sampled: str = "", path: str = "/payments") -> str:
    seen = {"at": "1764252000.123", "seconds": "0.002", "status": status, "own": own, "sampled": sampled}
    return json.dumps(seen | {"method": "POST", "path": path, "request": TRACE}) + "\n"


@pytest.fixture
def counts() -> Words:
    return zeros(pages.METRICS_WORDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nginx.log"


@pytest.fixture
def log(path: Path, counts: Words, caplog: pytest.LogCaptureFixture) -> Iterator[NginxLog]:
    """The log of an nginx that this process stands for: at its signal the file is opened anew."""
    caplog.set_level(logging.INFO)
    old = signal.signal(signal.SIGUSR1, lambda *_: path.touch())
    made = NginxLog(str(path), counts, os.getpid)
    yield made
    made.close()
    signal.signal(signal.SIGUSR1, old)


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    return [(getattr(one, "event", ""), getattr(one, "fields", {})) for one in caplog.records]


def test_its_words_are_events_of_few_kinds_without_what_clients_put_into_an_address(
    log: NginxLog, caplog: pytest.LogCaptureFixture
) -> None:
    os.write(log.stderr, (REFUSED + "nginx: [emerg] bind() failed\n" + "half a li").encode())
    log.look()
    (event, fields), (_, other) = events(caplog)
    assert event == "nginx_said" and fields["kind"] == "connect()" and caplog.records[0].levelno == logging.ERROR
    assert "SEEN" not in str(fields["said"]) and other["kind"] == "other"
    os.write(log.stderr, b"ne\n")
    log.look()
    assert events(caplog)[-1][1]["said"] == "half a line"


def test_an_nginx_that_says_more_than_is_read_is_not_kept_waiting(log: NginxLog) -> None:
    with pytest.raises(BlockingIOError):
        for _ in range(100_000):
            os.write(log.stderr, REFUSED.encode())


def test_kinds_are_of_a_closed_set() -> None:
    assert {kind(f"{word} 7") for word in nginx_log.KINDS} | {kind("anything")} <= {
        *(word.strip() for word in nginx_log.KINDS),
        "other",
    }


def test_refusals_of_its_own_are_counted_by_status_and_what_is_chosen_has_a_line(
    log: NginxLog, path: Path, counts: Words, caplog: pytest.LogCaptureFixture
) -> None:
    lines = request(503, own="1") * 3 + request(504, own="1", sampled="1") + request(202, sampled="1")
    path.write_text(lines + request(200, sampled="1", path=f"/payments/{ID}/status") + '{"cut": ')
    log.look()
    at = pages.NGINX_AT
    assert [counts[at + place] for place in pages.NGINX_STATUSES.values()] == [0, 0, 3, 1]
    said = events(caplog)
    assert [event for event, _ in said] == ["nginx_refused"] * 4 + ["access"] * 3
    assert said[-1][1]["correlation_id"] == ID and said[-1][1]["request_id"] == TRACE
    assert said[-1][1]["took_ms"] == 2 and said[-1][1]["ended"] == "2025-11-27T14:00:00.123Z"


def test_a_file_that_is_long_is_renewed_and_none_of_its_lines_is_lost(
    log: NginxLog, path: Path, counts: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_log, "RENEW_BYTES", 1_000)
    nginx = open(path, "a", buffering=1)  # noqa: SIM115 (as nginx: it stays open over the renewal)
    for _ in range(50):
        nginx.write(request(503, own="1"))
    log.look()
    assert path.exists() and path.stat().st_size == 0 and Path(f"{path}.old").exists()
    nginx.write(request(503, own="1"))  # a worker that has not heard of it yet
    log.look()
    nginx.close()
    assert not Path(f"{path}.old").exists()
    path.write_text(request(503, own="1"))
    log.look()
    assert counts[pages.NGINX_AT + pages.NGINX_STATUSES[503]] == 52


def test_a_file_that_is_longer_than_a_look_reads_is_counted_to_its_last_line_over_its_renewal(
    log: NginxLog, path: Path, counts: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_log, "RENEW_BYTES", 1_000)
    monkeypatch.setattr(nginx_log, "READ_BYTES", 1_000)
    lines = 3_500 // len(request(503, own="1"))
    path.write_text(request(503, own="1") * lines + '{"cut": ')
    log.look()
    assert path.stat().st_size == 0 and Path(f"{path}.old").stat().st_size > 3 * nginx_log.READ_BYTES
    path.write_text(request(503, own="1"))
    for _ in range(5):
        log.look()
    assert not Path(f"{path}.old").exists()
    assert counts[pages.NGINX_AT + pages.NGINX_STATUSES[503]] == lines + 1


@pytest.mark.parametrize("error", [errno.EMFILE, errno.EACCES], ids=errno.errorcode.get)
def test_a_file_that_cannot_be_opened_now_is_counted_later(
    log: NginxLog, path: Path, counts: Words, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    path.write_text(request(503, own="1"))
    os.write(log.stderr, REFUSED.encode())

    def fail(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as now:
        now.setattr(os, "open", fail)
        log.look()
    at = pages.NGINX_AT + pages.NGINX_STATUSES[503]
    assert counts[at] == 0
    log.look()
    assert counts[at] == 1


def test_a_file_that_somebody_has_removed_comes_back(log: NginxLog, path: Path, counts: Words) -> None:
    path.write_text(request(503, own="1"))
    log.look()
    path.unlink()
    for _ in range(3):
        log.look()
    assert path.exists()
    path.write_text(request(503, own="1"))
    log.look()
    assert counts[pages.NGINX_AT + pages.NGINX_STATUSES[503]] == 2


def test_of_clients_that_are_slowed_down_one_in_sixteen_is_told_and_counts_as_sixteen(
    log: NginxLog, path: Path, counts: Words, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(request(429, own="1") * 3)
    log.look()
    assert counts[pages.NGINX_AT + pages.NGINX_SLOWED] == 48
    assert {one.levelno for one in caplog.records} == {logging.INFO}, "whatever a client sends"


def test_an_nginx_that_opens_the_file_for_each_line_needs_no_signal_and_what_came_before_the_start_is_counted(
    path: Path, counts: Words
) -> None:
    def write() -> None:
        with open(path, "a") as nginx:
            nginx.write(request(503, own="1"))

    write()
    Path(f"{path}.old").write_text(request(503, own="1"))  # was counted by the one before
    log = NginxLog(str(path), counts, pid=None)
    for _ in range(5):
        log.look()
        log.look()
        assert not path.exists()
        write()
    for _ in range(3):
        log.look()
    log.close()
    assert counts[pages.NGINX_AT + pages.NGINX_STATUSES[503]] == 6
