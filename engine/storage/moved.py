"""``python -m engine moved``: tells an engine that is not running that a processor has a new address."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from engine import settings as settings_module
from engine.addresses import fingerprint, normalized
from engine.books import listed
from engine.memory import layout
from engine.memory.errors import SegmentError
from engine.settings import Settings
from engine.storage import durability, making, mapping, names, opening
from engine.storage.segment import Segment, Store

HELP = (
    "Say that a processor has moved: payments with an unknown outcome were sent to the same processor that is at the "
    "address in the settings now. If it is a different processor, they may be charged twice."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("processor", help="which one has moved, by its name")


def run(arguments: argparse.Namespace) -> int:
    """Keeps the new address; 1 if the engine runs or has no books, 2 for bad settings."""
    try:
        settings = settings_module.read(os.environ)
        if arguments.processor not in settings.processors.names:
            raise settings_module.SettingsError(
                [f"there is no processor {arguments.processor!r}, but {', '.join(settings.processors.names)}"]
            )
        number = settings.processors.names.index(arguments.processor)
        move(settings, number)
    except settings_module.SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except SegmentError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.processor} is at {normalized(settings.processors.urls[number])} from now on")
    return 0


def move(settings: Settings, processor: int) -> None:
    """Keeps the address of one processor in the books. Raises SegmentError."""
    kept = mapping.store(settings)
    if not names.find(settings.host.name, kept.names()).books:
        raise SegmentError(f"there are no {mapping.books_name(settings)}: nothing was sent")
    with (
        making.locked(kept, settings.host.name),
        contextlib.closing(_attached(kept, settings)) as books,
    ):
        if not books.lock():
            raise SegmentError(f"{books.name} is held: stop the engine first")
        if listed.read(books.words)[processor : processor + 1] != (settings.processors.names[processor],):
            raise SegmentError(
                f"{books.name} counts for {', '.join(listed.read(books.words))}, in this order, and ENGINE_PROCESSORS "
                f"names {', '.join(settings.processors.names)}"
            )
        books.words[layout.BOOKS_FINGERPRINTS_AT + processor] = fingerprint(settings.processors.urls[processor])
        books.sync()


def _attached(kept: Store, settings: Settings) -> Segment:
    """The books. Memory of an older layout is converted to today's, with the same sizes."""
    making.make_ready(kept, settings.host.name, None, durability.of(settings), settings.ledger.is_required)
    return opening.attached(kept, mapping.books_name(settings))
