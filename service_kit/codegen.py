"""Generates the committed stubs from protos/: `python -m service_kit.codegen [check | image FILE | accept]`.

Without a word it writes them and the contracts' comments; `check` compares them; `image` writes the descriptor set that
buf lints. `accept` keeps today's contract as the one that later changes may not break, unless it breaks the last.
"""

import filecmp
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from service_kit import comments

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
STUBS = Path("service_kit/pb")
ACCEPTED = PROTOS / "accepted.binpb"
"""The contract that callers rely on, as an image without comments."""
PLUGINS = ("python", "grpc_python", "mypy", "mypy_grpc")
SCRIPTS = Path(sysconfig.get_path("scripts"))
IMPORTS = [
    f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
    f"-I{Path(annotations_pb2.__file__).parents[2]}",
]


def generate(out: Path) -> None:
    """Write the stubs and their types below `out`/service_kit/pb."""
    sources = [str(STUBS / path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    (out / STUBS).mkdir(parents=True, exist_ok=True)
    # The first include path makes protoc write imports that Python resolves without rewriting.
    run(
        f"-I{STUBS}={PROTOS}",
        *IMPORTS,
        *(f"--plugin={plugin}={SCRIPTS / plugin}" for plugin in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")),
        *(f"--{plugin}_out={'quiet:' if 'mypy' in plugin else ''}{out}" for plugin in PLUGINS),
        *sources,
    )
    found = FileDescriptorSet.FromString(image())
    (out / comments.FILE.relative_to(ROOT)).write_text(comments.written(found))


def stale_stubs() -> list[str]:
    """The committed stubs that differ from those of the current contracts."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        made = {path.relative_to(folder) for path in (Path(folder) / STUBS).rglob("*") if path.is_file()}
        kept = {path.relative_to(ROOT) for path in (ROOT / STUBS).rglob("*") if path.suffix in (".py", ".pyi", ".json")}
        _, differing, missing = filecmp.cmpfiles(folder, ROOT, [str(path) for path in made], shallow=False)
        return sorted([*differing, *missing, *(str(path) for path in kept - made)])


def image(*, commented: bool = True) -> bytes:
    """The contracts as one descriptor set, imports included, for buf."""
    sources = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "image.binpb"
        with_comments = ["--include_source_info"] if commented else []
        run(f"-I{PROTOS}", *IMPORTS, "--include_imports", *with_comments, f"--descriptor_set_out={out}", *sources)
        return out.read_bytes()


def accept() -> None:
    """Store the current contract as the one to compare with. Exits when it breaks the stored one."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as new:
        new.write(image(commented=False))
        new.flush()
        against = ["--against", str(ACCEPTED), "--config", str(PROTOS / "buf.yaml")]
        if ACCEPTED.exists() and subprocess.run([SCRIPTS / "buf", "breaking", new.name, *against]).returncode:  # noqa: S603 - our own tool and files
            sys.exit(f"Breaking. If no caller is left of what it breaks, delete {ACCEPTED.relative_to(ROOT)} first.")
        ACCEPTED.write_bytes(Path(new.name).read_bytes())


def run(*arguments: str) -> None:
    if protoc.main(["protoc", *arguments]):
        sys.exit("protoc failed")


def main(arguments: list[str]) -> None:
    match arguments:
        case []:
            generate(ROOT)
        case ["check"]:
            if stale := stale_stubs():
                sys.exit("Stale, run python -m service_kit.codegen:\n" + "\n".join(stale))
        case ["image", out]:
            Path(out).write_bytes(image())
        case ["accept"]:
            accept()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
