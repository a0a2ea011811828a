"""The recording: the event stream on disk, as segments of checksummed records.

    layout     the bytes: headers, records, finding records among damaged bytes
    files      the files and their durable operations
    manifest   recording.json, and the names recordings may have
    synced     the published position up to which data is durable
    retention  which segments need not be kept
    removed    removed.json: what was removed on purpose
    removal    removing it
    claim      the directory is a recording's, and this writer's alone
    recovery   what a writer makes of what an earlier one left
    writer     RecordingWriter: append, sync, roll
    reader     Recording: read it
    follower   Follower: read along
    streams    records taken apart into what is alike
    packed     a sealed segment, compressed
    packing    making it so
    check      is everything there and readable?
    repair     a copy of what is

A *position* is global: the position at which a segment begins, plus the offset in it. docs/recording-format.md
describes the same bytes for other languages; tests/golden holds both to it.
"""

from embertrace.recording.check import CheckReport, Discontinuity, Undecodable, check
from embertrace.recording.files import DISK, Disk
from embertrace.recording.follower import Follower
from embertrace.recording.layout import BEGIN, CLOCK, END, KIND_NAMES, Damage, Record
from embertrace.recording.manifest import check_name
from embertrace.recording.packing import PackReport, pack
from embertrace.recording.reader import Recording
from embertrace.recording.removal import Retention
from embertrace.recording.removed import Removed
from embertrace.recording.repair import RepairReport, repair
from embertrace.recording.retention import Limits
from embertrace.recording.writer import SEGMENT_BYTES, RecordingWriter
from embertrace.wire.batch import BATCH, GAP

__all__ = [
    "BATCH",
    "BEGIN",
    "CLOCK",
    "DISK",
    "END",
    "GAP",
    "KIND_NAMES",
    "SEGMENT_BYTES",
    "CheckReport",
    "Damage",
    "Discontinuity",
    "Disk",
    "Follower",
    "Limits",
    "PackReport",
    "Record",
    "Recording",
    "RecordingWriter",
    "Removed",
    "RepairReport",
    "Retention",
    "Undecodable",
    "check",
    "check_name",
    "pack",
    "repair",
]
