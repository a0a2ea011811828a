"""An mlflow server: an export of all calls, read back by mlflow's own client."""

from __future__ import annotations

import json
import pathlib
import subprocess

from embertrace.interop.otlp import OtlpExporter
from interop.servers import asked, environment, running, version_of
from interop.story import Found, Node, analysis, differences
from support.ports import free_port

PACKAGE = "mlflow"

WHAT = "tree, names, kinds, status, exceptions, evaluations as events, links"
READ = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
told = []
for trace in mlflow.search_traces(locations=[sys.argv[2]], return_type="list"):
    for span in trace.data.spans:
        told.append({
            "trace": format(int(span._span.context.trace_id), "032x"), "span": span.span_id, "parent": span.parent_id,
            "name": span.name, "kind": span.attributes.get("openinference.span.kind"), "type": span.span_type,
            "failed": span.status.status_code.value == "ERROR",
            "events": [event.name for event in span.events], "links": sorted(link.span_id for link in span.links),
        })
print(json.dumps(told))
"""


def run(directory: pathlib.Path) -> tuple[str, list[str], str]:
    """(version, differences, what was compared)."""
    programs, port = environment(PACKAGE), free_port()
    base = f"http://127.0.0.1:{port}"
    command = [str(programs / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{directory}/mlflow.db"]
    with running(command, {"MLFLOW_DISABLE_TELEMETRY": "true"}, directory, f"{base}/health"):
        experiment = asked(f"{base}/api/2.0/mlflow/experiments/create", {"name": "embertrace"})["experiment_id"]
        done = OtlpExporter(base, headers={"x-mlflow-experiment-id": experiment}).export(analysis())
        said = [f"{done.rejected} spans were refused: {done.reasons}"] if done.rejected else []
        told = subprocess.run(
            [str(programs / "python"), "-c", READ, base, experiment], capture_output=True, text=True, check=False
        )
        if told.returncode:
            return version_of(programs, PACKAGE), [*said, told.stderr[-500:]], ""
    spans = json.loads(told.stdout)
    found = Found(
        {(one["trace"], one["span"]): Node(one["name"], one["kind"], one["parent"], one["failed"]) for one in spans},
        {one["span"]: one["events"] for one in spans if one["events"]},
        {one["span"]: one["links"] for one in spans if one["links"]},
    )
    return version_of(programs, PACKAGE), said + differences(found), WHAT
