"""What glibc's allocator is told about memory that was freed: when it goes back to the system.

Left alone it gives back soon, and takes anew what comes next: for a process that takes and frees megabytes in every
round, fresh pages cost more than what is written into them. Only speed and memory depend on this; another allocator is
told nothing.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>."""

KEPT_BYTES = 32 * 1024 * 1024
"""How much is kept for the next round: twice a drain of the ingest. What a flood took beyond it goes back."""
MESSAGE_BYTES = 2 * 1024 * 1024
"""More than a message has. What is larger is taken from the system each time, and goes back at once."""


def keep_freed() -> None:
    """For the ingest, in its own process: somebody else starts it, with the environment that there is."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(MMAP_THRESHOLD, MESSAGE_BYTES)
