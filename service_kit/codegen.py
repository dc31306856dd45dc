"""Makes the committed stubs from protos/: `python -m service_kit.codegen`."""

import sys
import sysconfig
from pathlib import Path

import grpc_tools
from google.api import annotations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
SCRIPTS = Path(sysconfig.get_path("scripts"))


IMPORTS = [
    f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
    f"-I{Path(annotations_pb2.__file__).parents[2]}",
]


def generate(out: Path) -> None:
    """Write the stubs and their types below `out`/service_kit/pb."""
    sources = [f"service_kit/pb/{path.relative_to(PROTOS)}" for path in sorted(PROTOS.rglob("*.proto"))]
    pb = out / "service_kit" / "pb"
    pb.mkdir(parents=True, exist_ok=True)
    # The first include path makes protoc write imports that Python resolves without rewriting.
    run(
        f"-Iservice_kit/pb={PROTOS}",
        *IMPORTS,
        *(f"--plugin={plugin}={SCRIPTS / plugin}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        *(f"--{plugin}_out={out}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")),
        *sources,
    )


def image(out: Path) -> None:
    """Write the contracts as one descriptor set, imports and comments included, for buf."""
    sources = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    run(f"-I{PROTOS}", *IMPORTS, "--include_imports", "--include_source_info", f"--descriptor_set_out={out}", *sources)


def run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]):
        sys.exit("protoc failed")


if __name__ == "__main__":
    generate(ROOT)
