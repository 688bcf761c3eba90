"""What `make submission` writes keeps the contest's rules, and what would break one of them is found and named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import contest_rules, submission
from tests.test_compose import ROOT, SERVICES

IMAGE = "docker.io/somebody/payment-engine:1.0.0"
WHO = {
    "ENTRANT": "Ana Souza",
    "REPOSITORY": "https://code.example/ana/engine",
    "SOCIAL": "https://a.example https://b.example",
}
Entry = dict[str, Any]


def made(folder: Path, **environment: str) -> Path:
    """A folder as `make submission` makes it."""
    assert submission.main({"IMAGE": IMAGE, "TO": str(folder), **WHO, **environment}) == 0
    return folder


def compose_of(folder: Path) -> Entry:
    found: Entry = yaml.safe_load((folder / "docker-compose.yml").read_text())
    return found


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("submission") / "entry")


@pytest.fixture
def folder(shipped: Path, tmp_path: Path) -> Path:
    """One that the test may change."""
    return Path(shutil.copytree(shipped, tmp_path / "entry"))


def test_the_folder_keeps_the_rules_and_has_four_files(folder: Path) -> None:
    assert contest_rules.broken(folder) == []
    assert {path.name for path in folder.iterdir()} == {"docker-compose.yml", "nginx.conf", "info.json", "README.md"}
    assert (folder / "nginx.conf").read_text() == (ROOT / "nginx.conf").read_text()


def test_the_services_are_those_of_the_compose_file_by_image_and_platform_and_nothing_is_built(folder: Path) -> None:
    for name, service in compose_of(folder)["services"].items():
        source = dict(SERVICES[name])
        own = source.pop("image").startswith("payment-engine:")
        assert service.pop("image") == (IMAGE if own else "nginx:1.28")
        assert service.pop("platform") == "linux/amd64"
        assert not {"build", "pull_policy"} & service.keys()
        for key in ("build", "pull_policy", "environment"):
            source.pop(key, None)
            service.pop(key, None)
        assert service == source
    assert compose_of(folder)["services"].keys() == SERVICES.keys()


def test_what_runs_is_what_is_written_whatever_the_contests_machine_has_in_its_environment(folder: Path) -> None:
    text = (folder / "docker-compose.yml").read_text()
    assert "${" not in text and "&" not in text.replace("&&", "").replace(">&3", "").replace("<&3", "")
    found = compose_of(folder)
    assert found["services"]["dispatcher"]["environment"]["ENGINE_FEE_DEFAULT_PPM"] == "50000"
    assert found["volumes"]["memory"]["driver_opts"]["o"].endswith("nr_blocks=12k")
    assert "$$status" in str(found["services"]["nginx"]["healthcheck"]["test"])


def test_a_variable_of_the_compose_file_is_taken_from_the_environment_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path, ENGINE_FEE_DEFAULT_PPM="70000")
    assert compose_of(folder)["services"]["dispatcher"]["environment"]["ENGINE_FEE_DEFAULT_PPM"] == "70000"
    assert "ENGINE_FEE_DEFAULT_PPM=70000 was taken from the environment" in capsys.readouterr().out


def test_a_setting_that_the_engine_refuses_is_refused_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submission.main({"IMAGE": IMAGE, "TO": str(tmp_path), "ENGINE_FEE_DEFAULT_PPM": "5%"}) == 1
    assert "ENGINE_FEE_DEFAULT_PPM" in capsys.readouterr().err


def test_a_variable_without_a_default_cannot_be_filled_in() -> None:
    compose = {"services": {"a": {"image": "nginx:1.28", "command": "${SOMETHING}"}}}
    with pytest.raises(submission.SubmissionError, match=r"only \$\{NAME:-default\} can be filled in"):
        submission.entry_of(compose, IMAGE, {})


def test_the_info_has_what_the_contest_asks_for(folder: Path) -> None:
    info = json.loads((folder / "info.json").read_text())
    assert info["name"] == "Ana Souza" and info["source-code-repo"] == "https://code.example/ana/engine"
    assert info["social"] == ["https://a.example", "https://b.example"]
    assert info["langs"] == ["python", "c"] and info["load-balancers"] == ["nginx"]


def test_the_readme_links_the_source_and_names_technologies_and_limits(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "https://code.example/ana/engine" in text and IMAGE in text and "socketify" in text
    for name, service in SERVICES.items():
        assert f"| {name} | {service['deploy']['resources']['limits']['cpus']} |" in text


def test_what_is_missing_and_what_comes_next_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path, SOCIAL="", IMAGE="docker.io/somebody/engine")
    said = capsys.readouterr().out
    assert "SOCIAL= is not set, so info.json has no social" in said
    assert "has no tag that stays" in said
    steps = ("docker build --platform linux/amd64", "docker-compose.processors.yml", "docker push", "pull request")
    assert sorted(steps, key=said.index) == list(steps)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "IMAGE is not set"),
        ("docker.io/Somebody/engine:1", "is not the name of an image"),
        ("docker.io/somebody/engine:", "is not the name of an image"),
        ("docker.io/somebody/engine:-1", "is not the name of an image"),
        ("docker.io/somebody/engine 1", "is not the name of an image"),
        ("docker.io/somebody/engine:1\n", "is not the name of an image"),
        ("https://docker.io/somebody/engine:1", "is not the name of an image"),
        ("docker.io/somebody/engine@sha256:12", "is not the name of an image"),
        ("docker.io//engine:1", "is not the name of an image"),
        ("docker.io/somebody/" + "e" * 240, "is not the name of an image"),
        ("payment-engine:1.0.0", "names neither a registry nor an owner"),
        ("localhost/payment-engine:1.0.0", "is on this machine only"),
        ("localhost:5000/payment-engine:1.0.0", "is on this machine only"),
    ],
)
def test_an_image_that_the_contest_could_not_pull_is_refused_with_an_example(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submission.main({"IMAGE": name, "TO": str(tmp_path)}) == 1
    said = capsys.readouterr().err
    assert reason in said and "make submission IMAGE=docker.io/you/payment-engine:1.0.0" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "somebody/engine",
        "somebody/engine:1.0.0",
        "docker.io/somebody/pay.ment__engine-x:v1_2.3-rc.1",
        "registry.example:5000/a/b/c:1",
        "Registry.Example/a:1",
        "ghcr.example/somebody/engine@sha256:" + "0a" * 32,
        "ghcr.example/somebody/engine:1@sha256:" + "0a" * 32,
    ],
)
def test_every_name_that_docker_takes_from_a_registry_is_taken(name: str, tmp_path: Path) -> None:
    folder = made(tmp_path, IMAGE=name)
    assert compose_of(folder)["services"]["api-0"]["image"] == name


def test_other_files_of_the_folder_are_left_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "payment.py").write_text("x = 1\n")
    assert submission.main({"IMAGE": IMAGE, "TO": str(tmp_path)}) == 1
    assert "engine/payment.py does not belong there" in capsys.readouterr().err
    assert (tmp_path / "engine" / "payment.py").exists()


def test_the_make_target_ends_with_one_sentence_when_no_image_is_named(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "IMAGE"} | {"TO": str(tmp_path)}
    command = [sys.executable, "-m", "scripts.submission"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stderr.startswith("submission: IMAGE is not set;") and not done.stdout
    assert "\t@.venv/bin/python -m scripts.submission\n" in (ROOT / "Makefile").read_text()


def service(name: str, **changes: object) -> Callable[[Entry], None]:
    return lambda entry: entry["services"][name].update(changes)


def limit(name: str, key: str, value: str) -> Callable[[Entry], None]:
    return lambda entry: entry["services"][name]["deploy"]["resources"]["limits"].update({key: value})


def without(name: str, key: str) -> Callable[[Entry], None]:
    return lambda entry: entry["services"][name].pop(key)


# By the sentence that names it: what somebody might do to the compose file.
BREAKS: dict[str, Callable[[Entry], None]] = {
    "the services have 1.51 CPU together, and may have 1.5": limit("nginx", "cpus", "0.41"),
    "the services have 351 MB together, and may have 350": limit("nginx", "memory", "71M"),
    "a service without limits": without("api-0", "deploy"),
    "nginx: privileged is not allowed": service("nginx", privileged=True),
    "nginx: network_mode is not allowed": service("nginx", network_mode="host"),
    "api-0: build is not allowed": service("api-0", build="."),
    "api-1: scale is not allowed": service("api-1", scale=2),
    "api-1: replicas is not allowed": lambda entry: entry["services"]["api-1"]["deploy"].update(replicas=2),
    "dispatcher: ipc is not allowed": service("dispatcher", ipc="host"),
    "dispatcher: it has no image": without("dispatcher", "image"),
    "api-0: its platform must be linux/amd64": service("api-0", platform="linux/arm64"),
    "network backend: only the driver bridge is allowed": lambda entry: entry["networks"].update(
        backend={"driver": "host"}
    ),
    "network payment-processor: it is the processors' own": lambda entry: entry["networks"].update(
        {"payment-processor": {"driver": "bridge"}}
    ),
    "no service is on the network payment-processor": service("dispatcher", networks=["backend"]),
    "network other is used and not declared": service("dispatcher", networks=["payment-processor", "other"]),
    "port 9999, and no other, must be published; 8080:9999 is": service("nginx", ports=["8080:9999"]),
    "port 9999, and no other, must be published; none is": without("nginx", "ports"),
    "published; 9000:9000, 9999:9999 is": service("api-0", ports=["9000:9000"]),
    "2 API processes must answer at least": lambda entry: entry["services"].pop("api-1"),
    "extra.conf is missing": service("nginx", volumes=["./extra.conf:/etc/nginx/nginx.conf:ro"]),
    "docker-compose.yml: ${SECRET is left to the machine that runs it": service("api-0", labels=["${SECRET}"]),
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_every_break_of_a_rule_is_named(sentence: str, folder: Path) -> None:
    entry = compose_of(folder)
    BREAKS[sentence](entry)
    (folder / "docker-compose.yml").write_text(yaml.safe_dump(entry))
    assert any(sentence in one for one in contest_rules.broken(folder)), contest_rules.broken(folder)


@pytest.mark.parametrize("name", ["info.json", "README.md", "nginx.conf"])
def test_a_file_that_is_missing_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    assert contest_rules.broken(folder) == [f"{name} is missing"]


@pytest.mark.parametrize("name", ["run.logs", "engine/api.py", "fast_path.c", ".env"])
def test_whatever_no_run_needs_is_named(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    assert contest_rules.broken(folder) == [f"{name} does not belong there: no source, no logs, only what a run needs"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is not JSON"),
        ("[]", "it must have name"),
        ('{"name": "a"}', "it must have name"),
        ({"name": 1}, "name must be a text"),
        ({"langs": "python"}, "langs must be a list of texts"),
        ({"langs": [1]}, "langs must be a list of texts"),
        ({"more": []}, "and nothing else"),
    ],
)
def test_an_info_of_another_form_is_named(text: str | Entry, sentence: str, folder: Path) -> None:
    path = folder / "info.json"
    path.write_text(text if isinstance(text, str) else json.dumps(json.loads(path.read_text()) | text))
    (found,) = contest_rules.broken(folder)
    assert found.startswith("info.json: ") and sentence in found


def test_the_bounds_are_the_contests() -> None:
    assert f"{contest_rules.CPUS_MAX} CPU, {contest_rules.MEMORY_BYTES_MAX} bytes" == "1.5 CPU, 367001600 bytes"
    assert contest_rules.PORT == 9999
    assert contest_rules.API_PROCESSES_MIN == 2
