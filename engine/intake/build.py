"""``python -m engine build``: compiles ``fast_path.c``, the part of the intake in C. `make setup` runs it."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

from engine.memory import layout, metrics_layout

HELP = "Compile the fast path of POST /payments; does nothing when it is built already."
DIRECTORY = Path(__file__).parent
SOURCES = (DIRECTORY / "fast_path.c", DIRECTORY / "fast_path.h")
LIBRARY = DIRECTORY / "libfastpath.so"
# -Wl,...: without a build id the same sources make the same library.
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC")
LINK_FLAGS = ("-shared", "-Wl,--build-id=none")
_WANTED = re.compile(r"\bLAYOUT_([A-Z_]+)\b")


def configure(_parser: argparse.ArgumentParser) -> None:
    """No options; the compiler is ``$CC``, else ``cc``."""


def run(_arguments: argparse.Namespace) -> int:
    """Compiles if need be; 1 when the compiler fails or is missing."""
    if is_built(LIBRARY):
        return 0
    try:
        build(LIBRARY)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"engine: fast_path.c cannot be compiled: {error}", file=sys.stderr)
        return 1
    return 0


def is_built(library: Path) -> bool:
    """Whether ``library`` exists and was made of the present sources and layout."""
    try:
        return stamp().encode() in library.read_bytes()
    except FileNotFoundError:
        return False


def build(library: Path) -> None:
    """Compiles to ``library``, which other processes may be using. Raises OSError and CalledProcessError."""
    new = library.with_name(f"{library.name}.{os.getpid()}")
    try:
        subprocess.run([*compiler(), *LINK_FLAGS, "-o", str(new), str(SOURCES[0])], check=True)
        os.replace(new, library)
    finally:
        new.unlink(missing_ok=True)


def compiler() -> list[str]:
    """The compiler with its options and definitions."""
    return [os.environ.get("CC", "cc"), *FLAGS, f'-DFAST_PATH_STAMP="{stamp()}"', *_defines()]


def stamp() -> str:
    """Identifies what a library is made of: the sources, the numbers of the layout, the flags."""
    parts = [source.read_text() for source in SOURCES] + [*_defines(), *FLAGS, *LINK_FLAGS]
    return f"fast-path-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:32]}"


def _defines() -> list[str]:
    """The numbers that the C code asks for by name: the layout is written down in one place only."""
    names = vars(metrics_layout) | vars(layout)
    numbers = {name.lstrip("_"): value for name, value in names.items() if isinstance(value, int)}
    wanted = sorted(set(_WANTED.findall(SOURCES[0].read_text())))
    return [f"-DLAYOUT_{name}={numbers[name]}ULL" for name in wanted]
