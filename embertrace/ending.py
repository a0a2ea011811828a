"""at_end(): what is done when this process ends, in whatever way Python lets one do something then.

Most processes run `atexit` handlers. Forked children of `multiprocessing` don't: they run its own finalisers, and skip
the rest. Spawned ones run both, so whatever is registered must bear to be called twice.
"""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import multiprocessing.util
from collections.abc import Callable

_LAST = -1000
"""Below all priorities that others give: theirs may still emit."""
_priorities = itertools.count(_LAST)


def at_end(function: Callable[[], object]) -> None:
    """Call `function` when this process ends, and in each forked child when that ends; the latest registered first."""
    priority = next(_priorities)

    def finalise(_: object) -> None:
        multiprocessing.util.Finalize(None, function, exitpriority=priority)

    atexit.register(function)
    multiprocessing.util.register_after_fork(function, finalise)
    if multiprocessing.parent_process() is not None:  # such a child, and the fork is over
        finalise(None)
