"""A program of its own: a cluster of two nodes loses the one that held a result, which is then rebuilt."""

from __future__ import annotations

import tempfile
import time

import numpy as np
import ray
from ray.cluster_utils import Cluster

import embertrace as et
import embertrace.ray as eray


@eray.remote(num_cpus=1, resources={"far": 1}, max_retries=3)
@et.trace(name="build")
def build() -> np.ndarray:
    return np.ones(300_000)


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        rebuild(cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


def rebuild(cluster: Cluster) -> None:
    far = {"num_cpus": 1, "resources": {"far": 1}, "object_store_memory": 80_000_000}
    node = cluster.add_node(**far)
    ray.init(address=cluster.address, logging_level="ERROR")
    with tempfile.TemporaryDirectory() as directory, et.session(directory) as run:
        reference = build.remote()
        ray.wait([reference], fetch_local=False)
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(**far)
        assert float(ray.get(reference).sum()) == 300_000.0
        chosen = et.connect(run.endpoint, key=run.run.key)
        every = et.connect(run.endpoint, key=run.run.key, attempts="all")
        deadline = time.monotonic() + 30
        while len(ended(every)) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)  # nobody expects a rebuild: only its events tell of it, and its start comes before its end
        attempts, (call,) = list(every.calls), chosen.calls
    print(sorted((one.attempt, one.outcome) for one in attempts), call.attempt)


def ended(analysis: et.OperatorAnalysis) -> list[et.Call]:
    return [call for call in analysis.calls if call.outcome == "result"]


if __name__ == "__main__":
    main()
