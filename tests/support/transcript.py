"""Runs the README's code blocks as they stand and compares what they print, ids and times aside."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
]


@dataclass(frozen=True)
class Block:
    """Commands, and what they are to print."""

    language: str
    commands: str
    expected: str


def blocks() -> list[Block]:
    """The blocks to run, in order. Those marked `not-run` and the pictures are left out."""
    found: list[Block] = []
    for language, mark, text in BLOCK.findall(README.read_text()):
        if language in ("sh", "python") and "not-run" not in mark:
            found.append(Block(language, text, ""))
        elif language == "text":
            found[-1] = Block(found[-1].language, found[-1].commands, text)
    return found


def printed(env_file: Path) -> list[str]:
    """What each block prints, all of them in one shell, in the project's folder, with `env_file` for `.flowpin/env`."""
    script = ["exec 2>&1"]
    for number, block in enumerate(blocks()):
        commands = block.commands
        if block.language == "python":
            commands = f"python3 - <<'PYTHON'\n{commands}PYTHON\n"
        script += [f"echo '<<<{number}>>>'", commands.replace(".flowpin/env", str(env_file))]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash"],
        input="\n".join(script),
        env={"PATH": path},
        cwd=README.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return re.split(r"<<<\d+>>>\n", ran.stdout)[1:]


def alike(text: str) -> str:
    """The same with what differs from run to run replaced."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.strip()
