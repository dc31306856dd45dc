# One image for the workflow, deploy and run services, their migrations, the gateway and the console; docker-compose.yml says
# which of them a container is. Production needs no embedded Postgres, but it is small and one image is one thing to ship.
# The target `apps` is the same with a runtime, 1.6 GB, for the host process of apps.
# By digest: docker build --build-arg PYTHON_IMAGE=python:3.12-slim@sha256:… . (docker buildx imagetools inspect tells it).
ARG PYTHON_IMAGE=python:3.12-slim
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Names, versions and hashes of all packages: pip installs no other package and no other file.
COPY requirements.txt ./
RUN python -m venv /opt/flowpin && /opt/flowpin/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md ./
COPY service_kit service_kit
COPY workflow_service workflow_service
COPY deploy_service deploy_service
COPY run_service run_service
COPY gateway gateway
COPY protos protos
COPY console console
COPY flowpin_cli flowpin_cli
RUN /opt/flowpin/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE} AS flowpin
COPY --from=build /opt/flowpin /opt/flowpin
ENV PATH=/opt/flowpin/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 flowpin
USER flowpin
WORKDIR /home/flowpin
# Asks the listeners that the container's environment names; docker-compose.yml says which for each.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s CMD \
    for each in $WORKFLOW_LISTEN $DEPLOY_LISTEN $RUN_GRPC_LISTEN; do \
        python -m service_kit.healthcheck "127.0.0.1:${each##*:}" || exit 1; done; \
    for each in $GATEWAY_LISTEN $CONSOLE_LISTEN; do \
        python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:${each##*:}/health/ready', timeout=2)" || exit 1; done
CMD ["flowpin", "--help"]

FROM flowpin AS apps
ARG RUNTIME=0.69
ENV FLOWPIN_RUNTIMES=/opt/runtimes
USER root
# FLOWPIN_RUNTIMES is where it goes; of the data folder and the installer's cache nothing is kept.
RUN flowpin runtime install "$RUNTIME" --data /tmp/flowpin && rm -rf /tmp/flowpin "$HOME/.cache" \
    && install -d -m 700 -o flowpin -g flowpin /run/flowpin /run/flowpin/host /var/lib/flowpin
USER flowpin

# `docker build .` builds the last target.
FROM flowpin
