"""What a loaded recording takes: prints [resident bytes beyond an empty forest's, bytes of payloads].

python resident.py RECORDING
"""

from __future__ import annotations

import gc
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import embertrace as et
from embertrace.analysis import Forest

STATM_PAGE = 4096


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(pathlib.Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * STATM_PAGE


def main(recording: str) -> None:
    assert Forest().trees.roots == []  # so that the libraries it needs are there
    before = resident()
    forest = et.open(recording)._forest
    assert len(forest.trees.shape)
    print(json.dumps([resident() - before, forest.payload_bytes]))


if __name__ == "__main__":
    main(sys.argv[1])
