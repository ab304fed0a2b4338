# Images of stonekey; docs/docker.md tells how to use them.
#
#   docker build . -t stonekey                  the command, the page and the HTTP API; no torch
#   docker build . -t stonekey-server --target server     the same; starts the HTTP API
#   docker build . -t stonekey-train --target train       with torch, to train
#
# TORCH says which build of torch: cpu, a version of CUDA such as cu128 (uv's names), or nothing for
# that of the package index.
ARG BASE=python:3.13-slim

# Where things are installed; only /opt/stonekey goes on to the images.
FROM ${BASE} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/stonekey
RUN python3 -m pip install --no-cache-dir --root-user-action ignore "uv>=0.8" && uv venv "$VIRTUAL_ENV"
COPY pyproject.toml README.md LICENSE THIRD_PARTY.md /source/
COPY src /source/src

FROM build AS build-core
RUN uv pip install "/source[server]"

FROM build AS build-train
ARG TORCH=cpu
RUN uv pip install ${TORCH:+--torch-backend "$TORCH"} "/source[train]"

# What the images share: who runs it, and where. /cache holds fetched models and what
# `stonekey tag --undo` needs; whoever `docker run --user` names may write to it and to the home.
FROM ${BASE} AS runtime
RUN useradd --uid 1000 --create-home --home-dir /home/stonekey stonekey \
 && mkdir -p /cache /music \
 && chmod 1777 /cache /home/stonekey
ENV HOME=/home/stonekey PATH="/opt/stonekey/bin:$PATH" PYTHONUNBUFFERED=1 STONEKEY_HOME=/cache \
    USER=stonekey
USER 1000:1000
WORKDIR /music
ENTRYPOINT ["stonekey"]
CMD ["--help"]

FROM runtime AS train
COPY --from=build-train /opt/stonekey /opt/stonekey
COPY config /opt/stonekey/config

FROM runtime AS core
COPY --from=build-core /opt/stonekey /opt/stonekey

# An own image, since only a server can be asked for its health.
FROM core AS server
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["serve", "--api", "--no-open", "--host", "0.0.0.0", "--port", "8000"]

FROM core AS stonekey
