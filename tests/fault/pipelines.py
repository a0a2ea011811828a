"""A program that runs traced pipelines: ensembles with members in other processes, judges, failures, scores.

python pipelines.py ENDPOINT NAME [--items N] [--skew S] [--step S] [--pause S]

Half of the members of each ensemble run in a second process, which this one starts and asks over a pipe; it continues
the trace. Both clocks can be wrong: the first is `skew` seconds ahead, the second as much behind, and after half of
the items the first is set back by `step` seconds. Every result holds the monotonic time at which its call began, by
the one clock of this machine: the truth.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time

_true_ns = time.time_ns
_wrong_ns = 0


def _now_ns() -> int:
    return _true_ns() + _wrong_ns


time.time_ns = _now_ns  # before anything binds it

import embertrace as et  # noqa: E402  # behind the clock that it is to see

MEMBERS = 4


@et.trace(type="member", stage="members")
def member(item: int, number: int) -> dict[str, object]:
    began = time.monotonic()
    roll = random.Random(f"{item}/{number}").random()
    if roll < 0.1:
        raise ValueError("no idea")
    return {"answer": "AB"[roll > 0.7], "began": began}


@et.trace(type="judge", stage="judge_1")
def judge(item: int, answers: list[str]) -> dict[str, object]:
    began = time.monotonic()
    et.score(accuracy=len(set(answers)) / 2)
    return {"answer": max(sorted(answers), key=answers.count, default="A"), "began": began}


def ask(item: int, number: int) -> str | None:
    try:
        return str(member(item, number)["answer"])
    except ValueError:
        return None


def pipeline(item: int, other: subprocess.Popen[str]) -> None:
    assert other.stdin is not None
    assert other.stdout is not None
    with et.operator("panel", type="ensemble", stage="ensemble_1") as panel:
        began = time.monotonic()
        answers = [ask(item, number) for number in range(MEMBERS // 2)]
        print(item, et.traceparent(), file=other.stdin, flush=True)
        answers += [text if text != "None" else None for text in other.stdout.readline().split()]
        panel.result({"answers": answers, "began": began})
    judge(item, [answer for answer in answers if answer is not None])


def serve(skew_s: float) -> None:
    """The second process: members of others' ensembles, one line per item."""
    for line in sys.stdin:
        item, header = line.split()
        with et.continue_trace(header):
            answers = [ask(int(item), number) for number in range(MEMBERS // 2, MEMBERS)]
        print(*answers, flush=True)


def main() -> int:
    global _wrong_ns
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("name")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--skew", type=float, default=0.0)
    parser.add_argument("--step", type=float, default=0.0)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    _wrong_ns = int((-options.skew if options.serve else options.skew) * 1e9)
    run = et.init(options.endpoint, run=options.name, linger_s=60.0)
    if options.serve:
        serve(options.skew)
    else:
        command = [sys.executable, __file__, options.endpoint, options.name, "--skew", str(options.skew), "--serve"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            for number in range(options.items):
                if number == options.items // 2:
                    _wrong_ns -= int(options.step * 1e9)
                with et.item(f"{options.name}-{number}", truth="A"):
                    pipeline(number, other)
                time.sleep(options.pause)
    return 0 if run.close(timeout_s=60.0) and run.emitter.close(60.0) else 1


if __name__ == "__main__":
    sys.exit(main())
