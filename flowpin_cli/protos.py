"""Writes the contracts and the files that they import to a folder, for other tools."""

import re
from importlib import resources
from pathlib import Path

from google.api import annotations_pb2

IMPORT = re.compile(r'^import "([^"]+)";', re.MULTILINE)
BUILT_IN = "google/protobuf/"
"""Imports that protoc, buf and grpc-js already contain."""
GOOGLEAPIS = Path(annotations_pb2.__file__).parents[2]


def write_protos(folder: Path) -> list[Path]:
    """Write the contracts and their imports below `folder`. Returns the relative paths of the contracts."""
    with resources.as_file(resources.files("protos")) as contracts:
        own = sorted(path.relative_to(contracts) for path in contracts.rglob("*.proto"))
        missing, written = list(own), set[Path]()
        while missing:
            path = missing.pop()
            if path in written:
                continue
            text = ((contracts if path in own else GOOGLEAPIS) / path).read_text()
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
            written.add(path)
            missing += [Path(name) for name in IMPORT.findall(text) if not name.startswith(BUILT_IN)]
    return own
