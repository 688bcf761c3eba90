"""Writes the folder that the contest wants of an entry: ``make submission IMAGE=docker.io/you/payment-engine:1.0.0``.

Everything in it is made from docker-compose.yml and nginx.conf. It reads the environment, where ``make`` puts its own
variables:

  IMAGE       under which name the image can be pulled by everybody; there is no default
  TO          the folder, build/submission by default
  ENTRANT     who enters; by default what git calls you
  REPOSITORY  where the source can be read; by default the https address of git's `origin`
  SOCIAL      addresses where the entrant is found, separated by spaces

and what docker-compose.yml takes from there, such as ENGINE_FEE_DEFAULT_PPM: the values of now are written down.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from engine import settings
from scripts import contest_rules

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = "docker.io/you/payment-engine:1.0.0"
OWN_IMAGE = re.compile(r"payment-engine:[\w.-]+")
REFERENCE_LENGTH_MAX = 255
# The name of an image, by the grammar of Docker's package `reference`: registry, path, tag, digest; the path is a must.
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"(?:(?P<domain>{_DOMAIN})/)??(?P<path>{_PART}(?:/{_PART})*)"
    rf"(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?",
    re.ASCII,
)
COMPOSE_TOP = """\
# Made by `make submission` from the docker-compose.yml of the source, whose comments say why. Change that one.

"""
README = """\
# Payment engine

Shops send payments. The engine accepts each in about a millisecond, settles it exactly once at the processor that is
worth most at that moment, and says what was settled where, equal to the processors' own books.

- **Languages**: Python 3.11 and a little C. socketify serves HTTP, pycurl speaks to the processors, orjson writes JSON.
- **Load balancer**: nginx, over Unix sockets, to {api_processes} API processes.
- **Storage and queue**: shared memory. A ring for each API process is queue, journal and status of its payments; books
  count by processor and millisecond. There is no database and no broker.
- **One dispatcher** decides where and when a payment goes, and is the only service on the processors' network.

| service | CPU | memory |
|---|---|---|
{limits}

{source}The image is `{image}`. The processors come first, then the engine, in this folder:

    docker compose up -d
"""


class SubmissionError(Exception):
    """The folder cannot be written; holds a sentence for each reason."""


def main(environment: Mapping[str, str]) -> int:
    """Writes the folder and says what comes next. Returns 0, or 1 when it cannot be written or breaks a rule."""
    folder = Path(environment.get("TO") or "build/submission")
    try:
        image = checked_image(environment.get("IMAGE", ""))
        info = info_of(environment)
        write(folder, image, info, environment)
        broken = contest_rules.broken(folder)
    except (SubmissionError, OSError) as error:
        print(f"submission: {error}", file=sys.stderr)
        return 1
    if broken:
        print(f"submission: {folder} breaks the contest's rules:", *broken, sep="\n  ", file=sys.stderr)
        return 1
    print(next_steps(folder, image, info, environment))
    return 0


def checked_image(name: str) -> str:
    """``name`` if it is the name of an image that a registry can show to everybody. Raises SubmissionError."""
    hint = f"name the image as everybody can pull it: make submission IMAGE={EXAMPLE}"
    if not name:
        raise SubmissionError(f"IMAGE is not set; {hint}")
    match = REFERENCE.fullmatch(name)
    if match is None or len(name) > REFERENCE_LENGTH_MAX:
        raise SubmissionError(f"IMAGE={name} is not the name of an image (small letters, a tag after a colon); {hint}")
    first, slash, _ = name.partition("/")
    if not slash:
        raise SubmissionError(f"IMAGE={name} names neither a registry nor an owner there; {hint}")
    if first.partition(":")[0] in ("localhost", "127.0.0.1"):
        raise SubmissionError(f"IMAGE={name} is on this machine only; {hint}")
    return name


def info_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """What info.json says. What nobody has said is empty."""
    return {
        "name": environment.get("ENTRANT") or _git("config", "user.name"),
        "social": environment.get("SOCIAL", "").split(),
        "source-code-repo": environment.get("REPOSITORY") or _origin(),
        "langs": ["python", "c"],
        "storages": ["shared memory"],
        "messaging": ["shared memory"],
        "load-balancers": ["nginx"],
        "other-technologies": ["socketify", "pycurl", "orjson"],
    }


def write(folder: Path, image: str, info: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Writes the folder's four files, and leaves others that are there.

    Raises SubmissionError if the compose file needs something else of the environment than variables with a default,
    or if the engine would refuse the settings. Raises OSError.
    """
    compose = entry_of(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), image, environment)
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(compose, Dumper=_Plain, sort_keys=False, width=120)
    (folder / contest_rules.COMPOSE).write_text(COMPOSE_TOP + text)
    (folder / contest_rules.INFO).write_text(json.dumps(info, indent=4, ensure_ascii=False) + "\n")
    (folder / contest_rules.README).write_text(_readme(compose, image, info))
    shutil.copyfile(ROOT / "nginx.conf", folder / "nginx.conf")


def entry_of(compose: dict[str, Any], image: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """The compose file of an entry: ``image`` by name, nothing to build, no variables left. Raises SubmissionError."""
    filled = _filled({key: value for key, value in compose.items() if not key.startswith("x-")}, environment)
    services = {}
    for name, service in filled["services"].items():
        kept = {key: value for key, value in service.items() if key not in ("build", "pull_policy", "image")}
        own = OWN_IMAGE.fullmatch(service["image"]) is not None
        services[name] = {"image": image if own else service["image"], "platform": contest_rules.PLATFORM, **kept}
        if own:
            try:
                settings.read(service["environment"])
            except settings.SettingsError as error:
                raise SubmissionError(str(error)) from error
    return {**filled, "services": services}


def next_steps(folder: Path, image: str, info: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """What was written, what is still missing in it, and what to do with it."""
    compose = (ROOT / "docker-compose.yml").read_text()
    notes = [
        f"{name}={environment[name]} was taken from the environment"
        for name in sorted(set(re.findall(r"\$\{(\w+):-", compose)))
        if environment.get(name)
    ]
    notes += [
        f"{variable}= is not set, so {contest_rules.INFO} has no {key}"
        for variable, key in (("ENTRANT", "name"), ("REPOSITORY", "source-code-repo"), ("SOCIAL", "social"))
        if not info[key]
    ]
    match = REFERENCE.fullmatch(image)
    if match and not match["digest"] and match["tag"] in (None, "latest"):
        notes.append("the image has no tag that stays: whoever pushes another latest changes the entry")
    lines = [f"{folder} keeps the contest's rules. Next:"]
    lines += [f"  - {one}" for one in notes]
    lines += [
        f"  1. docker build --platform {contest_rules.PLATFORM} --tag {image} .",
        "  2. try it, first the processors, then the entry:",
        "       docker compose -f docker-compose.processors.yml up -d",
        f"       docker compose -f {folder / contest_rules.COMPOSE} up -d",
        "       ./engine.sh contest --scenario preview",
        f"  3. docker push {image}, and let everybody pull it",
        "  4. copy the folder to participantes/<your id>/ in a fork of the contest's repository; open a pull request",
    ]
    return "\n".join(lines)


class _Plain(yaml.SafeDumper):  # type: ignore[misc]  # yaml has no types
    """Writes everything out where it is used, and a text of several lines as such."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def _filled(tree: Any, environment: Mapping[str, str]) -> Any:
    """``tree`` with ``${NAME:-default}`` filled in as Docker does; ``$$`` stays, since Docker reads the result too."""
    if isinstance(tree, dict):
        return {key: _filled(value, environment) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_filled(value, environment) for value in tree]
    if not isinstance(tree, str):
        return tree

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$$"
        if match["name"] is None:
            raise SubmissionError(f"docker-compose.yml: only ${{NAME:-default}} can be filled in, not {tree!r}")
        return (environment.get(match["name"]) or match["default"]).replace("$", "$$")

    return re.sub(r"\$\$|\$\{(?P<name>\w+):-(?P<default>[^}$]*)\}|\$", value, tree)


def _readme(compose: Mapping[str, Any], image: str, info: Mapping[str, Any]) -> str:
    limits = {name: service["deploy"]["resources"]["limits"] for name, service in compose["services"].items()}
    source = info["source-code-repo"]
    return README.format(
        api_processes=sum(name.startswith("api-") for name in limits),
        limits="\n".join(f"| {name} | {one['cpus']} | {one['memory']} |" for name, one in limits.items()),
        source=f"The source, with tests and measurements, is at {source}. " if source else "",
        image=image,
    )


def _origin() -> str:
    """The https address of git's `origin`; "" if it has none that everybody can open."""
    address = re.sub(r"^(?:ssh://)?git@([\w.-]+)[:/]", r"https://\1/", _git("remote", "get-url", "origin"))
    return address.removesuffix(".git") if re.fullmatch(r"https://[\w.-]+(?:/[\w.~-]+)+", address) else ""


def _git(*words: str) -> str:
    """What git answers; "" where there is no git, no repository or no answer."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(os.environ))
