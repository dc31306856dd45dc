"""Whatever is sent to the gateway, it answers as its OpenAPI document says."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.stack import Stack

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("st")


@pytest.mark.fuzz
async def test_schemathesis_finds_no_answer_that_the_document_does_not_have(stack: Stack):
    process = await asyncio.create_subprocess_exec(
        SCHEMATHESIS, "--config-file", Path(__file__).with_name("schemathesis.toml"),
        "run", f"http://127.0.0.1:{stack.gateway_port}/openapi.json",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ, "PYTHONPATH": str(ROOT),
            "FLOWPIN_TOKEN": stack.people.secret("admin"), "FLOWPIN_PROJECT_ID": str(stack.people.project),
        },
    )  # fmt: skip
    output, _ = await process.communicate()

    print(output.decode())
    assert process.returncode == 0
