"""Without a collector and the extra, tracing is off and OpenTelemetry is not imported."""

import subprocess
import sys

import pytest

from service_kit.tracing import client_interceptors, open_spans

pytestmark = pytest.mark.slow


def test_without_a_collector_opentelemetry_is_not_imported():
    imports = "import sys, gateway.server, deploy_service.service, run_service.service, workflow_service.service"
    ends = "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"

    ran = subprocess.run([sys.executable, "-c", f"{imports}; {ends}"], check=False)

    assert ran.returncode == 0


async def test_a_collector_without_the_tracing_extra_gives_a_warning(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "service_kit.tracing.spans", None)

    async with open_spans("gateway", "http://127.0.0.1:4317") as spans:
        interceptors = client_interceptors(spans)

    assert (spans, interceptors) == (None, ())
    assert "pip install 'flowpin[otel]'" in capsys.readouterr().out
