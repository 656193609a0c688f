#!/bin/sh
# Entry point of the image. With RAY_JOIN=true the container first joins the Ray cluster of RAY_ADDRESS as a node
# without CPUs, which a driver needs on its host. An empty DAGSTER_HOME receives the settings of this repository.
set -eu
if [ "${RAY_JOIN:-false}" = true ]; then
    ray start --address="$RAY_ADDRESS" --num-cpus=0 --disable-usage-stats >&2
fi
if [ -n "${DAGSTER_HOME:-}" ] && [ ! -f "$DAGSTER_HOME/dagster.yaml" ]; then
    python -m pipelines.home
fi
exec "$@"
