# One image for the workflow, deploy and run services, their migrations and the gateway; docker-compose.yml says
# which of them a container is. Production needs no embedded Postgres, but it is small and one image is one thing to ship.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY service_kit service_kit
COPY workflow_service workflow_service
COPY deploy_service deploy_service
COPY run_service run_service
COPY gateway gateway
COPY flowpin_cli flowpin_cli
RUN python -m venv /opt/flowpin && /opt/flowpin/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.12-slim
COPY --from=build /opt/flowpin /opt/flowpin
ENV PATH=/opt/flowpin/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 flowpin
USER flowpin
WORKDIR /home/flowpin
CMD ["flowpin", "--help"]
