# A Ray node for KubeRay, with the library in it: Ray's own image has what KubeRay's probes and jobs need.
# Build from the repository's root: docker build -f deploy/ray.Dockerfile -t embertrace-ray:local .
FROM rayproject/ray:2.60.0-py312

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    RAY_USAGE_STATS_ENABLED=0

WORKDIR /home/ray/embertrace
COPY --chown=ray pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=ray embertrace ./embertrace
COPY --chown=ray aggregator ./aggregator
# Ray stays as it is in the image: only what embertrace itself needs is added.
RUN python -m pip install --constraint constraints.txt ".[cli]"

WORKDIR /home/ray
