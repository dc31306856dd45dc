"""Makes the stubs from the contracts whenever the package is built. They are not committed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grpc_tools
from google.api import annotations_pb2
from setuptools import setup

SOURCES = Path(__file__).parent / "src"
PACKAGE = SOURCES / "flowpin_client"
CONTRACTS = Path(__file__).parents[2] / "protos" / "flowpin"
"""In the repository. A source distribution brings its copies, in the package."""
PUBLIC = ("deploy", "identity", "run", "workflow")
PLUGINS = ("python", "grpc_python", "mypy", "mypy_grpc")


def copy_contracts() -> None:
    if CONTRACTS.is_dir():
        shutil.rmtree(PACKAGE / "protos", ignore_errors=True)
        for name in PUBLIC:
            shutil.copytree(CONTRACTS / name, PACKAGE / "protos" / "flowpin" / name)


def make_stubs() -> None:
    shutil.rmtree(PACKAGE / "pb", ignore_errors=True)
    protos = PACKAGE / "protos"
    contracts = [Path("flowpin_client/pb") / path.relative_to(protos) for path in sorted(protos.rglob("*.proto"))]
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(  # noqa: S603 - our own tool and files
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-Iflowpin_client/pb={protos}",  # so that protoc writes imports that Python finds
            f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
            f"-I{Path(annotations_pb2.__file__).parents[2]}",
            *(f"--{plugin}_out={'quiet:' if 'mypy' in plugin else ''}{SOURCES}" for plugin in PLUGINS),
            *map(str, contracts),
        ],
        env={**os.environ, "PATH": scripts},
        check=True,
    )


copy_contracts()
make_stubs()
setup()
