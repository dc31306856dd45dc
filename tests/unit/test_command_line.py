"""What commands print and read, without an installation."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from flowpin_cli import rendering, terminal
from flowpin_cli.errors import CannotRun, WrongUsage
from flowpin_cli.rest import documents, names
from flowpin_cli.rest.installation import folder_of, installation_of, option_of
from tests.support.paths import ROOT

ID = "01980000-0000-7000-8000-000000000001"
HEAVY = ("grpc", "asyncpg", "rich", "aiohttp", "google.protobuf", "structlog", "uvloop", "cryptography")
NO_MORE_THAN = 6.0
"""Limit of a command's CPU time, as a multiple of importing the library that reads options. It is about 2."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with the data folder of a run."""
    monkeypatch.chdir(tmp_path)
    for name, port in ((".flowpin", 1), ("other", 2)):
        Path(name).mkdir(mode=0o700)
        env = Path(name, "env")
        env.write_text(f"export FLOWPIN_URL=http://127.0.0.1:{port}\nexport FLOWPIN_TOKEN=t{port}\n")
        env.chmod(0o600)
    return tmp_path


@pytest.mark.parametrize(
    ("data", "environ", "url", "token"),
    [
        (None, {}, "http://127.0.0.1:1", "t1"),
        ("other", {}, "http://127.0.0.1:2", "t2"),
        (None, {"FLOWPIN_URL": "http://h", "FLOWPIN_TOKEN": "t"}, "http://h", "t"),
        ("other", {"FLOWPIN_URL": "http://h", "FLOWPIN_TOKEN": "t"}, "http://127.0.0.1:2", "t2"),
        (None, {"FLOWPIN_TOKEN": "t"}, "http://127.0.0.1:1", "t"),
        (None, {"FLOWPIN_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1", "t1"),
        (None, {"FLOWPIN_URL": ""}, "http://127.0.0.1:1", "t1"),
    ],
)
def test_an_option_has_precedence_over_the_environment_and_that_over_the_data_folder(here, data, environ, url, token):
    installation = installation_of(Path(data) if data else None, environ)

    assert (installation.url, installation.token) == (url, token)


def test_a_data_folders_token_is_not_sent_to_another_installation(here):
    with pytest.raises(CannotRun, match="FLOWPIN_TOKEN is not set"):
        installation_of(None, {"FLOWPIN_URL": "http://elsewhere"})


def test_a_command_for_another_installation_does_not_change_the_default_data_folder(here):
    with pytest.raises(CannotRun, match="say which one with --data"):
        folder_of(None, {"FLOWPIN_URL": "http://127.0.0.1:2"})

    assert folder_of(None, {"FLOWPIN_URL": "http://127.0.0.1:1"}) == Path(".flowpin")
    assert folder_of(Path("other"), {"FLOWPIN_URL": "http://127.0.0.1:1"}) == Path("other")


def test_hints_name_a_data_folder_that_is_not_the_default_one(here):
    assert option_of(Path(".flowpin")) == ""
    assert option_of(here / ".flowpin") == ""
    assert option_of(Path("a b")) == " --data 'a b'"


@pytest.mark.parametrize(("spec", "part"), [("3", "3"), ("v3", "3"), ("latest", "latest"), ("@a-b", "@a-b"), (ID, ID)])
def test_a_version_is_given_by_number_id_label_or_latest(spec, part):
    assert names.version_in_path(spec) == part


@pytest.mark.parametrize("spec", ["", "v", "0", "v0", "@", "@A", "../3", "3/../4", "latest?x"])
def test_a_malformed_version_argument_is_refused(spec):
    with pytest.raises(WrongUsage):
        names.version_in_path(spec)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1e21, "b": {"c": "\\u00e9"}, "d": [1, 2.50]}', ' {\n"a" :  1.0 ,"b":null}\n', "{}", '{"}": "{,"}'],
)
def test_members_of_a_json_text_keep_their_exact_text(text):
    found = documents.members(text)

    assert {name: json.loads(member) for name, member in found.items()} == json.loads(text)
    assert all(member in text for member in found.values())


def test_a_canvas_file_holds_a_flow_or_an_object_with_a_flow(tmp_path):
    flow, both = tmp_path / "flow.json", tmp_path / "both.json"
    flow.write_text('{"nodes": [1.0]}')
    both.write_text('{"flow": {"nodes": [1.0]}, "flow_ui": {"x": 1e2}, "name": "n"}')

    assert documents.read_canvas(flow, None) == ('{"nodes": [1.0]}', None)
    assert documents.read_canvas(both, None) == ('{"nodes": [1.0]}', '{"x": 1e2}')
    assert documents.read_canvas(both, flow)[1] == '{"nodes": [1.0]}'


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', ""])
def test_a_file_that_is_not_a_canvas_is_refused(tmp_path, text):
    (tmp_path / "wrong.json").write_text(text)

    with pytest.raises(CannotRun, match=r"wrong\.json"):
        documents.read_canvas(tmp_path / "wrong.json", None)


def test_table_columns_fit_their_cells_and_control_characters_are_replaced(capsys):
    terminal.table(["NAME", "NOTE"], [["a\x1b[31m", "x\ny"], ["日本", "z"]])

    assert capsys.readouterr().out.splitlines() == ["NAME    NOTE", "a�[31m  x y", "日本    z"]


def test_a_printed_count_has_a_singular_and_a_plural():
    assert [terminal.counted(number, "project") for number in (0, 1, 2000)] == [
        "0 projects",
        "1 project",
        "2,000 projects",
    ]


def test_a_diff_is_printed_node_by_node():
    node = {"id": "n", "type": "T"}
    changes = [{"path": "x", "before": 1, "after": 2}, {"path": "y", "after": "new"}, {"path": "z", "before": None}]
    diff = {
        "nodes": {"added": [node], "removed": [node], "changed": [{**node, "changes": changes}]},
        "edges": {"added": [{"from": "a", "to": "b", "option": "o"}], "removed": []},
        "flow": [],
        "layout_changed": True,
    }

    assert list(rendering.diff_lines(diff)) == [
        "+ node n  T", "- node n  T", "~ node n  T",
        "    x", "      - 1", "      + 2", "    y", '      + "new"', "    z", "      - null",
        "+ edge a → b (o)", "~ layout",
    ]  # fmt: skip


def test_a_diff_without_changes_is_printed_as_no_difference():
    nothing = {"nodes": {"added": [], "removed": [], "changed": []}, "edges": {"added": [], "removed": []}}

    assert list(rendering.diff_lines({**nothing, "layout_changed": False})) == ["The versions are the same."]


def run(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environ}
    return subprocess.run([sys.executable, *words], env=env, cwd="/", capture_output=True, text=True, check=False)


def cpu_seconds(*words: str) -> float:
    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    began = spent()
    run(*words, FLOWPIN_URL="http://127.0.0.1:9", FLOWPIN_TOKEN="t", FLOWPIN_PROJECT=ID)
    return spent() - began


def test_a_command_imports_no_heavy_modules():
    script = f"""
import sys
from flowpin_cli import cli
sys.argv = ["flowpin", "workflow", "list"]
try:
    cli.main()
except SystemExit:
    pass
print([name for name in {HEAVY} if name in sys.modules])
"""
    unreachable = {"FLOWPIN_URL": "http://127.0.0.1:9", "FLOWPIN_TOKEN": "t", "FLOWPIN_PROJECT": ID}

    ran = run("-c", script, **unreachable)

    assert "cannot be reached" in ran.stderr
    assert ran.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_command_uses_little_cpu_time():
    """Compare CPU time with importing the library that reads options, because machines differ."""
    command = min(cpu_seconds("-m", "flowpin_cli", "workflow", "list") for _ in range(3))
    library = min(cpu_seconds("-c", "import typer, pydantic") for _ in range(3))

    assert command / library < NO_MORE_THAN


def test_shells_complete_the_names_of_commands():
    complete = {"_FLOWPIN_COMPLETE": "complete_bash", "COMP_WORDS": "flowpin wor", "COMP_CWORD": "1"}

    ran = run("-c", "import sys; sys.argv[0] = 'flowpin'; from flowpin_cli import cli; cli.main()", **complete)

    assert ran.stdout.split() == ["workflow"]
