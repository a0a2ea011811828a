"""A program of its own: blocks and sessions around operators on several nodes, directly and through Ray Client.

python nodes.py DIRECTORY [directly] [client]: each way prints its lines, in one cluster.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

import ray
from ray.cluster_utils import Cluster

import embertrace as et
import embertrace.ray as eray
from embertrace.embedded import Embedded
from support.ports import free_port


@eray.remote(num_cpus=0.1)
@et.trace(type="member", stage="members")
def ask(question: str, answer: str) -> str:
    return answer


@eray.remote(num_cpus=0.1)
@et.trace(type="judge", stage="judge_1", name="chooser")
class Chooser:
    def __call__(self, question: str, *answers: str) -> str:
        return max(sorted(answers), key=answers.count)


def pipeline(chooser: object, places: list[str]) -> None:
    for key, answers in enumerate(["aaa", "aab"]):
        with et.item(key, truth="a"):
            members = [
                ask.options(resources={place: 0.1}).remote("q", answer)
                for place, answer in zip([*places, places[0]], answers, strict=True)
            ]
            assert ray.get(chooser.__call__.remote("q", *members)) == "a"  # type: ignore[operator]


def show(analysis: et.OperatorAnalysis) -> None:
    print(
        {name: float(value) for name, value in analysis.judge_accuracy_by_agreement().items()},
        analysis.health()["open"],
    )


def connect(address: str) -> None:
    """Ray gives a client's server 30 seconds to start, which a busy machine may not manage at once."""
    for attempt in range(3):
        try:
            ray.init(address, logging_level="ERROR")
            return
        except ConnectionAbortedError:
            if attempt == 2:
                raise


def main(directory: pathlib.Path, *ways: str) -> None:
    port = free_port()
    head = {"num_cpus": 1, "resources": {"near": 1}}
    cluster = Cluster(initialize_head=True, head_node_args={**head, "ray_client_server_port": port})
    cluster.add_node(num_cpus=1, resources={"far": 1})
    try:
        with watched() as started, et.collect_events():
            child = os.fork()  # its events, too, go through an aggregator
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
        print(started)
        for how in ways:
            connect(f"ray://127.0.0.1:{port}" if how == "client" else cluster.address)
            try:
                trace(directory / how)
            finally:
                ray.shutdown()
    finally:
        cluster.shutdown()


def trace(directory: pathlib.Path) -> None:
    chooser = Chooser.remote()
    with watched() as started:
        with et.collect_events(wait=30) as events:
            pipeline(chooser, ["near", "far"])
        show(et.OperatorAnalysis(events))
        with et.session(directory / "rec", quiet=True) as session:
            pipeline(chooser, ["near", "far"])
            show(session.analysis())
        show(session.analysis())
    print(started)


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[bool, bool]]]:
    """Of each embedded aggregator that starts in the block, whether it is on loopback, and whether it has a key."""
    started: list[tuple[bool, bool]] = []
    kept = Embedded.__init__

    def noting(self: Embedded, *args: object) -> None:
        kept(self, *args)  # type: ignore[arg-type]
        started.append((self.endpoint.startswith("tcp://127."), self.key is not None))

    Embedded.__init__ = noting  # type: ignore[method-assign, assignment]
    try:
        yield started
    finally:
        Embedded.__init__ = kept  # type: ignore[method-assign]


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
