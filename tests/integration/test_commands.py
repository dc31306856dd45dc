"""`flowpin workflow`, `flowpin app` and `flowpin apply` against real services."""

import json
import zipfile

import pytest

from tests.support.commands import Commands, commands_of
from tests.support.stack import FLOW, FLOW_UI, Stack

pytestmark = pytest.mark.slow


FLOW_TEXT = FLOW.decode()
CHANGED = FLOW_TEXT.replace("total=", "sum=")


@pytest.fixture
def flowpin(shared_stack: Stack, tmp_path) -> Commands:
    (tmp_path / "flow.json").write_text(FLOW_TEXT)
    (tmp_path / "ui.json").write_text(FLOW_UI.decode())
    (tmp_path / "changed.json").write_text(CHANGED)
    return commands_of(shared_stack, tmp_path)


async def test_commands_save_deploy_roll_back_and_show_the_history(flowpin):
    await flowpin.done("workflow", "create", "order-total", "flow.json", "--ui", "ui.json")
    saved = await flowpin.done("workflow", "save", "order-total", "flow.json", "-m", "first", "--json")
    made = await flowpin.done("app", "create", "Order total", "order-total")
    await flowpin.done("workflow", "save", "order-total", "changed.json", "-m", "second")
    unmoved = await flowpin.done("app", "get", "Order total", "--json")
    deployed = await flowpin.done("app", "deploy", "Order total")
    planned = await flowpin.done("app", "rollback", "Order total", "--plan")
    rolled_back = await flowpin.done("app", "rollback", "Order total", "--reason", "v2 miscounts")
    again = await flowpin.done("app", "rollback", "Order total", "--to", "v2")
    history = await flowpin.done("app", "history", "Order total")

    assert (saved.json["label"], saved.json["description"]) == ("v1", "first")
    assert "serves order-total v1" in made.out
    assert unmoved.json["workflow_version"]["label"] == "v1"
    assert deployed.out.startswith("deploy v2  succeeded, live in production")
    assert "Back to order-total v1" in planned.out
    assert "order-total v2 → order-total v1" in planned.out
    assert rolled_back.out.startswith("rollback v1  succeeded, live in production")
    assert "Back to order-total v1" in rolled_back.error
    assert " v2  succeeded, live in production" in again.out
    assert [row[:2] for row in history.rows] == [
        ["●", "v2"],
        ["v1", "order-total"],
        ["v2", "order-total"],
        ["v1", "order-total"],
    ]
    assert "v2 miscounts" in history.out
    assert "\x1b" not in history.out  # no colours without a terminal


async def test_a_save_without_a_layout_keeps_it_and_passes_the_flow_on_byte_for_byte(flowpin, shared_stack):
    odd = FLOW_TEXT.replace('"nodes"', '"note": 1e21, "nodes"', 1)
    await flowpin.done("workflow", "create", "odd", "flow.json", "--ui", "ui.json")
    await flowpin.done("workflow", "save", "odd", "-", stdin=odd)

    shown = await flowpin.done("workflow", "show", "odd", "v1", "--flow")
    version = await flowpin.done("workflow", "show", "odd", "--json")
    exported = await flowpin.done("workflow", "get", "odd", "--json")
    copied = await flowpin.done("workflow", "create", "copy", "-", "--json", stdin=exported.out)

    assert shown.out.strip() == odd.strip()
    assert version.json["flow_ui"] == json.loads(FLOW_UI)
    assert copied.json["flow"] == json.loads(odd)
    assert copied.json["flow_ui"] == json.loads(FLOW_UI)


async def test_a_save_by_command_over_someone_elses_version_is_a_conflict(flowpin):
    await flowpin.done("workflow", "create", "shared", "flow.json")
    await flowpin.done("workflow", "save", "shared", "flow.json")
    await flowpin.done("workflow", "save", "shared", "changed.json", "--base", "v1")

    (flowpin.folder / "mine.json").write_text(FLOW_TEXT.replace("total=", "mine="))
    late = await flowpin("workflow", "save", "shared", "mine.json", "--base", "v1")

    assert late.code == 5
    assert "VERSION_CONFLICT" in late.error
    assert [row[0] for row in (await flowpin.done("workflow", "versions", "shared")).rows] == ["v2", "v1"]


async def test_commands_find_a_version_by_number_label_latest_and_id(flowpin):
    await flowpin.done("workflow", "create", "named", "flow.json")
    first = (await flowpin.done("workflow", "save", "named", "flow.json", "--json")).json
    await flowpin.done("workflow", "save", "named", "changed.json")
    await flowpin.done("workflow", "label", "named", "production", "v1")

    shown = [
        (await flowpin.done("workflow", "show", "named", spec, "--json")).json["label"]
        for spec in ("1", "v1", "@production", first["id"], "latest")
    ]
    diff = await flowpin.done("workflow", "diff", "named", "@production", "v2")

    assert shown == ["v1", "v1", "v1", "v1", "v2"]
    assert "~ node label" in diff.out
    assert "      -     return {'text': 'total='" in diff.out
    assert "      +     return {'text': 'sum='" in diff.out


async def test_commands_restore_archive_fork_note_and_export_versions(flowpin):
    await flowpin.done("workflow", "create", "kept", "flow.json")
    await flowpin.done("workflow", "save", "kept", "flow.json")
    await flowpin.done("workflow", "save", "kept", "changed.json")
    restored = await flowpin.done("workflow", "restore", "kept", "v1")
    await flowpin.done("workflow", "archive", "kept", "v2")
    await flowpin.done("workflow", "note", "kept", "v1", "good")
    forked = await flowpin.done("workflow", "fork", "kept", "kept-eu", "--version", "v1", "--json")
    await flowpin.done("workflow", "export", "kept", "v1", "-o", "kept.zip")
    listed = await flowpin.done("workflow", "versions", "kept")
    latest = await flowpin("workflow", "archive", "kept", "latest")

    with zipfile.ZipFile(flowpin.folder / "kept.zip") as archive:
        (flowpin.folder / "config.yaml").write_bytes(archive.read("config.yaml"))
    imported = await flowpin.done("workflow", "import", "back", "config.yaml", "--json")

    assert restored.out.startswith("v3  current")
    assert [row[0] for row in listed.rows] == ["v3", "v1"]
    assert forked.json["latest_version"]["label"] == "v1"
    assert [node["id"] for node in imported.json["flow"]["nodes"]] == [n["id"] for n in json.loads(FLOW)["nodes"]]
    assert latest.code == 1
    assert "Cannot archive the latest version of a workflow" in latest.error


async def test_validate_fails_for_a_flow_with_errors(flowpin):
    wrong = json.loads(FLOW)
    wrong["nodes"][1]["depends"] = [{"node": "nowhere"}]

    good = await flowpin("workflow", "validate", "flow.json")
    bad = await flowpin("workflow", "validate", "-", stdin=json.dumps(wrong))

    assert (good.code, bad.code) == (0, 1)
    assert "nowhere" in bad.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["workflow", "get", "nothing"], 3, "no workflow nothing"),
        (["workflow", "get", "01980000-0000-7000-8000-000000000000"], 3, "WORKFLOW_NOT_FOUND"),
        (["app", "deploy", "nothing"], 3, "no app nothing"),
        (["workflow", "show", "w", "vv"], 2, "VERSION must be a number"),
        (["workflow", "create", "Bad Name", "flow.json"], 1, "name"),
        (["workflow", "create", "w", "nowhere.json"], 1, "nowhere.json cannot be read"),
        (["workflow", "list", "--project", "theirs"], 3, "no project theirs"),
        (["workflow", "list", "--status", "odd"], 1, "status"),
        (["workflow", "nonsense"], 2, "No such command"),
        (["workflow", "save"], 2, "Missing argument"),
    ],
)
async def test_a_command_that_fails_has_the_exit_code_of_its_cause(shared_stack, tmp_path, words, code, said):
    (tmp_path / "flow.json").write_text(FLOW_TEXT)
    flowpin = commands_of(shared_stack, tmp_path)
    if not await shared_stack.ok("GET", f"/v1/workflows?project_id={shared_stack.people.project}&name=w"):
        await shared_stack.workflow(name="w")

    ran = await flowpin(*words)

    assert (ran.code, ran.out) == (code, "")
    assert said in ran.error


async def test_a_command_refuses_a_name_of_two_workflows_and_names_their_ids(flowpin, shared_stack):
    ids = [(await shared_stack.draft(name="twice"))["id"] for _ in range(2)]

    ran = await flowpin("workflow", "get", "twice")

    assert ran.code == 2
    assert all(workflow_id in ran.error for workflow_id in ids)


async def test_a_command_without_the_role_or_a_valid_token_exits_with_4(shared_stack, tmp_path):
    (tmp_path / "flow.json").write_text(FLOW_TEXT)
    viewer = commands_of(shared_stack, tmp_path, "viewer")

    refused = await viewer("workflow", "create", "mine", "flow.json")
    unknown = await viewer("workflow", "list", FLOWPIN_TOKEN="dyn_pat_nothing")

    assert (refused.code, unknown.code) == (4, 4)
    assert "TOKEN_INVALID" in unknown.error


async def test_app_keys_creates_and_revokes_access_keys(flowpin):
    secret = (await flowpin.done("app", "keys", "--new", "website")).out.strip()
    listed = (await flowpin.done("app", "keys", "--json")).json
    await flowpin.done("app", "keys", "--revoke", listed[0]["id"])
    after = await flowpin.done("app", "keys")

    assert secret.startswith("dynamiq_acc_")
    assert "key" not in listed[0]
    assert "revoked" in after.out or listed[0]["id"] not in after.out


async def test_commands_promote_between_environments_and_mark_deployments(shared_stack, tmp_path):
    (tmp_path / "flow.json").write_text(FLOW_TEXT)
    flowpin = commands_of(shared_stack, tmp_path)
    staged = {"FLOWPIN_PROJECT": "two"}
    await flowpin.done("workflow", "create", "staged", "flow.json", **staged)
    await flowpin.done("workflow", "save", "staged", "flow.json", **staged)
    await flowpin.done("app", "create", "Staged", "staged", "--environment", "staging", **staged)

    promoted = await flowpin.done("app", "promote", "Staged", "--from", "staging", "--to", "production", **staged)
    await flowpin.done("app", "mark", "Staged", "v1", "bad", "--note", "slow", "--environment", "staging", **staged)
    again = await flowpin("app", "deploy", "Staged", "v1", "--environment", "staging", **staged)
    audit = await flowpin.done("app", "audit", "Staged", **staged)

    assert promoted.out.startswith("promote v1  succeeded, live in production")
    assert again.code == 1
    assert "VERSION_MARKED_BAD" in again.error
    assert "MarkDeployment" in audit.out


async def test_lists_of_commands_say_how_many_rows_they_leave_out(shared_stack, tmp_path):
    theirs = commands_of(shared_stack, tmp_path, "stranger")
    for number in range(3):
        await shared_stack.draft(name=f"w{number}", project=shared_stack.people.foreign, token="stranger")

    ran = await theirs.done("workflow", "list", "--limit", "2", "--project", "theirs")
    everything = await theirs.done("workflow", "list", "--limit", "0", "--json", "--project", "theirs")

    assert len(ran.rows) == 2
    assert "1 older" in ran.error
    assert len(everything.json) == 3


async def test_commands_print_no_control_characters_of_stored_texts(flowpin, shared_stack):
    workflow = await shared_stack.draft(name="escapes")
    await shared_stack.ok(
        "POST",
        f"/v1/workflows/{workflow['id']}/save",
        {"flow": json.loads(FLOW), "flow_ui": {}, "description": "a\x1b[2Jb"},
    )

    shown = await flowpin.done("workflow", "versions", "escapes")

    assert "a�[2Jb" in shown.out
