"""A bug that is put in on purpose, in either simulation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock


class Mutant(NamedTuple):
    """``attribute`` of ``owner`` is replaced by ``wrong``, and so are ``others``."""

    text: str
    owner: object
    attribute: str
    wrong: Any
    others: tuple[tuple[object, str, Any], ...] = ()


@contextlib.contextmanager
def put_in(mutant: Mutant, *, creates: bool = False) -> Iterator[None]:
    """Puts the bug in, and takes it out at the end. ``creates``: it may add attributes that are not there else."""
    with contextlib.ExitStack() as stack:
        for owner, attribute, wrong in ((mutant.owner, mutant.attribute, mutant.wrong), *mutant.others):
            stack.enter_context(mock.patch.object(owner, attribute, wrong, create=creates))
        yield
