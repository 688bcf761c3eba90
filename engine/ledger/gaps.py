"""Why something is a gap, for people."""

from __future__ import annotations

from typing import Final

SLOT_GONE: Final = "its slot was given away before its last state was carried"
SLOTS_GONE: Final = "their slots were given away before they were carried"
LEFT_OUT: Final = "memory of other sizes had no room for what was over, and it had not been carried"
PURGE_UNSEEN: Final = "a purge, and then memory of other sizes: what was not carried before is not counted"
PLACE_GONE: Final = "its parked place was given away before its last state was carried"
OVERWRITTEN: Final = "it was written over"
MADE_ANEW: Final = "the journal was made anew: what its predecessor held beyond this was not read"
