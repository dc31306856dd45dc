"""Runs a document's code blocks unchanged and compares what they print, except for ids, times and user names."""

import os
import pwd
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "docs" / "tutorial.md", ROOT / "docs" / "grpc.md"]
"""The documents whose blocks run, in an order that one installation can run."""
BLOCK = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = [
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(rf"\b(root|{re.escape(pwd.getpwuid(os.geteuid()).pw_name)})\b"), "<user>"),
    (re.compile(r"(?<=\S)  +"), "  "),  # columns are as wide as the user's name
]


@dataclass(frozen=True)
class Block:
    """Commands and their expected output."""

    language: str
    commands: str
    expected: str


def blocks(document: Path) -> list[Block]:
    """The document's blocks to run, in order, without pictures and blocks marked `not-run`."""
    found: list[Block] = []
    for language, mark, text in BLOCK.findall(document.read_text()):
        if language in ("sh", "python") and "not-run" not in mark:
            found.append(Block(language, text, ""))
        elif language == "text":
            found[-1] = Block(found[-1].language, found[-1].commands, text)
    return found


def printed(document: Path, env_file: Path, client: Path) -> list[str]:
    """The output of each block. All run in one shell in the project's folder, with `env_file` as `.flowpin/env`.

    `client` is a folder with the light client.
    """
    script = ["exec 2>&1"]
    for number, block in enumerate(blocks(document)):
        commands = block.commands
        if block.language == "python":
            commands = f"python3 - <<'PYTHON'\n{commands}PYTHON\n"
        script += [f"echo '<<<{number}>>>'", commands.replace(".flowpin/env", str(env_file))]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash"],
        input="\n".join(script),
        env={"PATH": path, "PYTHONPATH": f"{client}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return re.split(r"<<<\d+>>>\n", ran.stdout)[1:]


def differences(env_file: Path, client: Path) -> list[str]:
    """The documented and the real output of each block where they differ."""
    found = []
    for document in DOCUMENTS:
        shown = [alike(block.expected) for block in blocks(document)]
        run = [alike(text) for text in printed(document, env_file, client)]
        assert len(run) == len(shown) > 0, document.name
        found += [f"{document.name}:\n{a}\nprints:\n{b}" for a, b in zip(shown, run, strict=True) if a != b]
    return found


def alike(text: str) -> str:
    """The text with placeholders for what differs between runs."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return text.strip()
