"""An aggregator on a disk that fails: `python -m support.faulty_aggregator DIRECTORY BIND SEGMENT_BYTES FAULT`.

FAULT is "kill:<place>:<moment>", or "<operation>:<place>:<errno's name>". Prints a line of JSON when it listens.
"""

from __future__ import annotations

import errno
import logging
import pathlib
import sys
import time

from aggregator.server import Options, serve
from embertrace.errors import EmbertraceError
from embertrace.recording import Disk, RecordingWriter
from support.disks import FailingDisk, KillingDisk


def disk_with(fault: str) -> Disk:
    what, place, how = fault.split(":")
    if what == "kill":
        return KillingDisk(int(place), how)
    return FailingDisk(what, int(place), getattr(errno, how))


def main(directory: str, bind: str, segment_bytes: int, fault: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)

    def open_writer(options: Options) -> RecordingWriter:
        return RecordingWriter(
            options.directory, clock_ns=time.time_ns, segment_bytes=segment_bytes, disk=disk_with(fault)
        )

    try:
        serve(
            Options(pathlib.Path(directory), bind, with_parent=True),
            lambda ready: print(ready.to_json(), flush=True),
            open_writer,
        )
    except EmbertraceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
