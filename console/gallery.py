"""Templates in the package: examples that run without a key."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "examples"


class About(msgspec.Struct, frozen=True):
    """The content of an example's `about.json`."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    title: str
    text: str
    flow: bytes
    flow_ui: bytes


@cache
def examples() -> tuple[Example, ...]:
    """The examples, by name."""
    found = []
    for folder in sorted(path for path in FOLDER.iterdir() if path.is_dir()):
        about = msgspec.json.decode((folder / "about.json").read_bytes(), type=About)
        flow, flow_ui = (folder / "flow.json").read_bytes(), (folder / "flow_ui.json").read_bytes()
        found.append(Example(folder.name, about.title, about.text, flow, flow_ui))
    return tuple(found)


def example(name: str) -> Example | None:
    return next((each for each in examples() if each.name == name), None)
