#!/usr/bin/env bash
# lock.sh UV: resolve pyproject.toml's extras into requirements/*.txt, with hashes and without registry addresses.
set -euo pipefail
uv=$1
compile() { # NAME EXTRA...
    local name=$1 extras=()
    shift
    for extra in "$@"; do extras+=(--extra "$extra"); done
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        pyproject.toml "${extras[@]}" -o "requirements/$name.txt"
}
compile operator operator
compile gateway gateway
compile model-server model-server
compile embedded embedded
compile dev embedded dev
# For the images: torch is a layer of its own, in the version that the whole set has; sbom is a tool of the build.
for name in torch sbom; do
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --constraint requirements/model-server.txt "requirements/$name.in" -o "requirements/$name.txt"
done
for name in bootstrap models; do
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-deps \
        "requirements/$name.in" -o "requirements/$name.txt"
done
