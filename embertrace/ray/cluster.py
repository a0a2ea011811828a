"""What the cluster means for an embedded aggregator: where workers reach it, and how they get its key.

Rules:
- On one machine an embedded aggregator stays on loopback, and needs no key.
- On several, or through Ray Client, it listens at the address by which the cluster reaches this machine, under a key
  made for it. A named actor holds the client's part; the carrier says its name. Who can call that actor may submit
  tasks to the cluster anyway.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from embertrace import collect
from embertrace.keys import ClientKey

NAMESPACE = "embertrace"
FETCH_S = 10.0
"""For an actor that has just been made to answer."""

_ray: Any = ray
_holders: dict[str, tuple[object, Any]] = {}
"""The actors of this process's keys: they live as long as their handles, and as the connection that made them."""
_lock = threading.Lock()


def address_beyond() -> str | None:
    """The address at which workers on other machines reach this process; None where there are none."""
    if not ray.is_initialized():
        return None
    nodes = [node for node in _ray.nodes() if node.get("Alive")]
    server = _client_server()
    if server is not None:
        here = _address_towards(server)
        if not here.startswith("127."):
            return here
    if len(nodes) < 2:
        return None
    return str(_ray.util.get_node_ip_address()) if server is None else str(nodes[0]["NodeManagerAddress"])


def _client_server() -> str | None:
    """The host of the cluster's entrance where this process is a Ray Client of it."""
    from ray.util.client import ray as connected

    client: Any = connected
    if not client.is_connected():
        return None
    worker: Any = client.get_context().client_worker
    return str(worker._conn_str).rpartition("://")[2].rpartition(":")[0]


def _address_towards(host: str) -> str:
    """This machine's address on the way to `host`. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return str(probe.getsockname()[0])


class Holder:
    """The actor that holds a key."""

    def __init__(self, key: ClientKey) -> None:
        self._key = key

    def get(self) -> ClientKey:
        return self._key


def publish(key: ClientKey) -> None:
    """Let workers of the cluster fetch a key by its name. Once per key and connection to Ray; never raises."""
    if not ray.is_initialized():
        return
    with _lock:
        try:
            here = _connection()
            if _holders.get(key.name, (None, None))[0] == here:
                return
            holder = (
                ray.remote(**_lasting())(Holder)
                .options(name=key.name, namespace=NAMESPACE, get_if_exists=True)
                .remote(key)
            )
            _holders[key.name] = here, holder
        except Exception:
            collect.report_failure("publish the key of", key.name)


def _connection() -> object:
    """By what this process is connected to Ray: something else after ray.shutdown() and ray.init()."""
    from ray.util.client import ray as connected

    client: Any = connected
    if client.is_connected():
        return client.get_context().client_worker
    context: Any = ray.get_runtime_context()
    return context.gcs_address, context.get_job_id()


def _lasting() -> dict[str, Any]:
    """How an actor lives as long as this process: beside it, where nodes that go take nothing away, or made again."""
    here = ray.get_runtime_context().get_node_id()
    beside = NodeAffinitySchedulingStrategy(here, soft=True)
    return {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": beside}


def fetch(name: str) -> ClientKey | None:
    """The key that another process of the cluster published; None where there is none."""
    if not ray.is_initialized():
        return None
    try:
        holder: Any = ray.get_actor(name, namespace=NAMESPACE)
        found: Any = holder.get.remote().future().result(FETCH_S)  # ray.get would complain in async actors
    except Exception:
        return None
    return found if isinstance(found, ClientKey) else None
