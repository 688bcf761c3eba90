"""What the console and its readers cost shops: ``python -m tests.console.cost [--rounds 5] [--scenario preview]``.

Contests in turns: with neither metrics nor console; with both, and Prometheus scraping each second; and with twenty
viewers of the first screen besides. Each contest has an engine and processors of its own, at free ports.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from engine.console.keys import Keys, Role
from engine.lab.launch import free_ports, stop

OFF: Final = "off"
SCRAPED: Final = "scraped"
VIEWED: Final = "viewed"
MODES: Final = (OFF, SCRAPED, VIEWED)
VIEWERS: Final = 20
WAIT_S: Final = 0.5  # between two tries to reach the console
CONFIG: Final = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: engine
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def main() -> None:
    """Prints a line for each contest, and the ratios of each mode to the first one's."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenario", default="preview")
    options = parser.parse_args()
    found = list[dict[str, dict[str, float]]]()
    for number in range(options.rounds):
        one = dict[str, dict[str, float]]()
        for mode in MODES[:: 1 if number % 2 == 0 else -1]:
            one[mode] = contest(mode, options.scenario)
            print(number, mode, json.dumps(one[mode]), flush=True)
        found.append(one)
    for mode in MODES:
        ratios = [one[mode]["p99_ms"] / one[OFF]["p99_ms"] for one in found]
        cores = [one[mode]["console_cores"] for one in found]
        more = [one[mode]["engine_us"] - one[OFF]["engine_us"] for one in found]
        print(
            f"{mode}: p99 {spread([one[mode]['p99_ms'] for one in found])} ms, by that of off {spread(ratios)}; "
            f"CPU for a payment {spread(more)} us more, console not counted; console {spread(cores)} cores"
        )


def contest(mode: str, scenario: str) -> dict[str, float]:
    """The figures of one contest."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as held:
        place = Path(directory)
        port, prometheus = free_ports(2)
        key = Keys(str(place / "keys")).add("viewer", Role.VIEWER)
        on = {"ENGINE_CONSOLE_PORT": str(port), "ENGINE_CONSOLE_KEYS_FILE": str(place / "keys")}
        off = {"ENGINE_METRICS": "0", "ENGINE_CONSOLE": "0"}
        variables = off if mode == OFF else on | {"ENGINE_METRICS": "1", "ENGINE_CONSOLE": "1"}
        ended = threading.Event()
        held.callback(ended.set)
        if mode != OFF:
            held.enter_context(scraping(place, port, prometheus))
        streamed = [0] * VIEWERS
        if mode == VIEWED:
            for number in range(VIEWERS):
                threading.Thread(target=view, args=(port, key, ended, streamed, number), daemon=True).start()
        result = held_contest(scenario, place / "result", os.environ | variables)
        if mode == VIEWED:
            assert min(streamed) > 10, f"a viewer saw little: {streamed}"
    roles = result["resources"]["engine"]["roles"]
    console_s = roles.get("console", {"cpu_s": 0.0})["cpu_s"]
    engine_s = result["resources"]["engine"]["cpu_s"] - console_s
    return {
        "p99_ms": result["p99_ms"],
        "engine_us": round(engine_s * 1e6 / max(result["accepted"], 1), 1),
        "console_cores": roles.get("console", {"cores_mean": 0.0})["cores_mean"],
    }


def held_contest(scenario: str, directory: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The result of a contest that has passed."""
    command = [sys.executable, "-m", "engine", "contest", "--scenario", scenario, "--ledger", "off", "--no-picture"]
    command += ["--output", str(directory)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    results = list(directory.glob("1-off/result.json"))
    assert results, said.stdout + said.stderr
    outcome: dict[str, Any] = json.loads(results[0].read_text())
    assert outcome["passed"], said.stdout
    return outcome


@contextlib.contextmanager
def scraping(place: Path, port: int, listen: int) -> Iterator[None]:
    """Prometheus, which scrapes the console's port each second."""
    (place / "prometheus.yml").write_text(CONFIG.format(port=port))
    command = [
        "prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/series",
        f"--web.listen-address=127.0.0.1:{listen}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        stop(process)


def view(port: int, key: str, ended: threading.Event, streamed: list[int], number: int) -> None:
    """Follows the first screen until ``ended``, also before and after the console is there; counts its events."""
    while not ended.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {key}"})
            for line in connection.getresponse():
                streamed[number] += line.startswith(b"data:")
                if ended.is_set():
                    return
        time.sleep(WAIT_S)


def spread(values: list[float]) -> str:
    """The median, the least and the most."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
