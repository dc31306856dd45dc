"""protoc, buf and grpc-js read the contracts that `flowpin protos` writes without changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from flowpin_cli.protos import write_protos

pytestmark = pytest.mark.clients

BUF = Path(sys.executable).parent / "buf"
SERVICES = {
    "flowpin.batch.v1.BatchService",
    "flowpin.deploy.v1.DeployService",
    "flowpin.identity.v1.IdentityService",
    "flowpin.routing.v1.RoutingService",
    "flowpin.run.v1.RunService",
    "flowpin.workflow.v1.WorkflowService",
}
LIST_SERVICES = """
const loader = require("@grpc/proto-loader");
const [folder, ...files] = process.argv.slice(2);
const found = loader.loadSync(files, {includeDirs: [folder], keepCase: true});
for (const [name, definition] of Object.entries(found)) if (!("format" in definition)) console.log(name);
"""


def services_of(image: bytes) -> set[str]:
    files = FileDescriptorSet.FromString(image).file
    return {f"{file.package}.{service.name}" for file in files for service in file.service}


def test_protoc_compiles_the_contracts(tmp_path: Path):
    names = write_protos(tmp_path)

    words = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "-oimage", *map(str, names)]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    assert services_of((tmp_path / "image").read_bytes()) == SERVICES


@pytest.mark.skipif(not BUF.exists(), reason="buf is not installed: pip install --group lint")
def test_buf_compiles_the_contracts(tmp_path: Path):
    write_protos(tmp_path / "contracts")

    words = [BUF, "build", "contracts", "-o", "image.binpb"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    assert services_of((tmp_path / "image.binpb").read_bytes()) == SERVICES


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_grpc_js_loads_the_contracts(tmp_path: Path):
    names = write_protos(tmp_path / "contracts")
    (tmp_path / "list.js").write_text(LIST_SERVICES)
    install = ["npm", "install", "--no-audit", "--no-fund", "@grpc/grpc-js", "@grpc/proto-loader"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=120)

    ran = subprocess.run(
        ["node", "list.js", "contracts", *map(str, names)], cwd=tmp_path, capture_output=True, text=True
    )

    assert set(ran.stdout.split()) == SERVICES, ran.stderr
