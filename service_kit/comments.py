"""The contracts' comments by full name. protoc leaves them out of the stubs, so codegen writes them to a file next to
the stubs."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

FILE = Path(__file__).parent / "pb" / "comments.json"


@cache
def kept() -> Mapping[str, str]:
    """The comment of every service, RPC, message, field, enum and value (`package.Enum.VALUE`)."""
    found: dict[str, str] = json.loads(FILE.read_text())
    return found


def written(image: FileDescriptorSet) -> str:
    """The text of the comments file for an image with source info."""
    comments = {
        f"{file.package}.{_name(file, location.path)}": "\n".join(
            line.removeprefix(" ").rstrip() for line in location.leading_comments.strip("\n").split("\n")
        )
        for file in image.file
        if file.package.startswith("flowpin.")
        for location in file.source_code_info.location
        # Paths are pairs of a field number and an index. Those of odd length are the file's syntax, package and so on.
        if location.leading_comments and len(location.path) % 2 == 0
    }
    return json.dumps(comments, indent=1, ensure_ascii=False) + "\n"


def _name(file: FileDescriptorProto, path: Any) -> str:
    part: Any = file
    names = []
    for number, index in zip(path[::2], path[1::2], strict=True):
        part = getattr(part, part.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(part.name)
    return ".".join(names)
