#!/bin/sh
# Entry point of the image. With RAY_JOIN=true the container first joins the Ray cluster of RAY_ADDRESS as a node
# without CPUs and GPUs, which a driver needs on its host; not if FASHION_OPS_RAY_CLUSTER gives each run a cluster of
# its own, which the run joins itself. An empty DAGSTER_HOME receives the settings of this repository.
set -eu
if [ "${RAY_JOIN:-false}" = true ] && [ -z "${FASHION_OPS_RAY_CLUSTER:-}" ]; then
    ray start --address="$RAY_ADDRESS" --num-cpus=0 --num-gpus=0 --disable-usage-stats >&2
fi
if [ -n "${DAGSTER_HOME:-}" ] && [ ! -f "$DAGSTER_HOME/dagster.yaml" ]; then
    python -m pipelines.home
fi
exec "$@"
