"""Makes the committed stubs from protos/: `python -m service_kit.codegen [check | image FILE]`.

Without a word it writes them; `check` compares them; `image` writes the descriptor set that buf lints.
"""

import filecmp
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from google.api import annotations_pb2
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
STUBS = Path("service_kit/pb")
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


def stale_stubs() -> list[str]:
    """The committed stubs that are not what the contracts make now."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        made = {path.relative_to(folder) for path in (Path(folder) / STUBS).rglob("*.py*") if path.is_file()}
        kept = {path.relative_to(ROOT) for path in (ROOT / STUBS).rglob("*.py*") if path.suffix in (".py", ".pyi")}
        _, differing, missing = filecmp.cmpfiles(folder, ROOT, [str(path) for path in made], shallow=False)
        return sorted([*differing, *missing, *(str(path) for path in kept - made)])


def image(out: Path) -> None:
    """Write the contracts as one descriptor set, imports and comments included, for buf."""
    sources = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    run(f"-I{PROTOS}", *IMPORTS, "--include_imports", "--include_source_info", f"--descriptor_set_out={out}", *sources)


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
            image(Path(out))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
