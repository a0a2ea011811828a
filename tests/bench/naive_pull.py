"""PULL in a loop: what comes is counted and dropped. The least a receiver of batches can do.

python naive_pull.py SENDERS

It prints its address as one line of JSON, and how many bytes it took once each sender has sent an empty message.
"""

from __future__ import annotations

import json
import sys

import zmq


def main(senders: str) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    pull = context.socket(zmq.PULL)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    print(json.dumps({"endpoint": f"tcp://127.0.0.1:{port}"}), flush=True)
    taken, left = 0, int(senders)
    while left:
        message = pull.recv()
        taken += len(message)
        left -= not message
    print(json.dumps({"bytes": taken}), flush=True)
    pull.close()
    context.term()


if __name__ == "__main__":
    main(*sys.argv[1:])
