"""Secrets in flows are found and left out of exports, without false alarms in ordinary flows."""

import json

import pytest

from tests.support.paths import ROOT
from workflow_service.dynamiq_config.checks import problems, secrets_in_saved
from workflow_service.dynamiq_config.exporting import export_config
from workflow_service.dynamiq_config.importing import import_config
from workflow_service.dynamiq_config.secret_search import is_suspicious
from workflow_service.dynamiq_config.secret_values import has_secret_shape, may_hold

LIMIT = 1 << 20
CANARY = "canary-0123456789"
OWN_CLASS = "my.own.Call"
OPENAI = "dynamiq.connections.OpenAI"
EXAMPLES = sorted((ROOT / "console/examples").glob("*/flow.json"))
CONFIGS = [path for path in sorted((ROOT / "tests/data").rglob("*.yaml")) if path.name != "dag_pinecone.yaml"]
KEYS = {
    "OpenAI": "sk-proj-" + "Ab3" * 16,
    "Anthropic": "sk-ant-api03-" + "aB3_" * 20,
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitHub, fine-grained": "github_pat_" + "a1B2" * 15,
    "GitLab": "glpat-" + "a1B2c3D4e5F6g7H8i9J0",
    "Slack": "xoxb-123456789012-123456789012-abcdefABCDEF",
    "Google": "AIza" + "SyD3" * 8 + "abc",
    "Stripe": "sk_live_" + "a1B2" * 6,
    "a JWT": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.abcDEF123_-abcDEF123",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "a database URL": "postgresql://app:hunter2x9@db.example/x",
    "a bearer token": "Bearer abcdef0123456789",
    "Hugging Face": "hf_" + "aBcD" * 8 + "ab",
    "Flowpin": "dyn_pat_" + "a1B2" * 10,
    "Groq": "gsk_" + "a1B2" * 13,
    "SendGrid": "SG." + "a" * 22 + "." + "b" * 43,
    "Twilio": "SK" + "0a1b" * 8,
    "npm": "npm_" + "a1B2" * 9,
    "Tavily": "tvly-" + "a1B2" * 8,
    "Replicate": "r8_" + "a1B2" * 9,
    "a query": "https://host.example/?api_key=a1b2c3d4e5",
    "a program": "client = Client(password='a1b2c3d4')",
}
PLANTED = {
    "headers": {"headers": {"X-Anything": CANARY}},
    "api_key": {"api_key": CANARY},
    "camel case": {"extra": [{"clientSecret": CANARY}]},
    "password": {"settings": {"password": CANARY}},
    "a number": {"settings": {"password": 918273645}},
    "db_connection": {"db_connection": CANARY},
    "db_connection, an object": {"db_connection": {"host": CANARY}},
    "credentials": {"credentials": {"any": [{"where": CANARY}]}},
    "a list of connections": {"connections": [{"type": "my.own.Thing", "other": CANARY, "api_key": CANARY}]},
    "a default in a schema": {"schema": {"properties": {"token": {"type": "string", "default": CANARY}}}},
    "a default of a variable": {"headers": {"X-Anything": {"$env": "HARMLESS", "default": CANARY}}},
}


def flow_of(**fields: object) -> dict:
    return {"id": "main", "nodes": [{"id": "call", "type": OWN_CLASS, "name": "call", **fields}]}


def warned(flow: dict) -> dict[str, str]:
    found = {problem.path: problem.message for problem in problems(flow) if problem.about_secret}
    document = json.dumps(flow)
    assert not found or (may_hold(document.encode()) and is_suspicious(document)), "the quick searches miss nothing"
    return found


@pytest.mark.parametrize("fields", PLANTED.values(), ids=PLANTED)
def test_a_field_for_secrets_gives_a_warning_and_is_left_out_of_the_export(fields):
    flow = flow_of(**fields)

    text, _ = export_config(flow)

    assert warned(flow)
    assert all(path.startswith("flow.nodes[0].") for path in warned(flow))
    assert CANARY not in text
    assert "918273645" not in text
    assert CANARY not in repr(warned(flow))


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_key_of_a_known_kind_gives_a_warning_in_any_field(key):
    within = f"def run(input_data):\n    call({key!r})\n"

    assert list(warned(flow_of(note=key))) == ["flow.nodes[0].note"]
    assert warned(flow_of(code=within))
    assert secrets_in_saved(json.dumps(flow_of(note=key)).encode())
    assert may_hold(json.dumps({"note": key}).encode())


@pytest.mark.parametrize("key", [key for key in KEYS.values() if " " not in key and "\n" not in key])
def test_a_text_with_the_shape_of_a_key_is_left_out_of_the_export(key):
    text, _ = export_config(flow_of(note=key))

    assert key not in text
    assert '${oc.env:CALL_NOTE,""}' in text


@pytest.mark.parametrize("path", [*CONFIGS, *EXAMPLES], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_secret_is_found_in_the_examples(path):
    flow = path.read_bytes() if path.suffix == ".json" else import_config(path.read_text(), None, LIMIT)[0]

    found = {problem.path.rpartition(".")[2] for problem in secrets_in_saved(flow)}

    assert is_suspicious(flow.decode()) == bool(found)

    # In families.yaml five connections have a key on purpose.
    assert found == ({"api_key"} if path.name == "families.yaml" else set())


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Content-Type": "application/json", "Authorization": "Bearer {{token}}"}},
        {"schema": {"type": "object", "properties": {"password": {"type": "string", "description": "of the user"}}}},
        {"input_transformer": {"selector": {"password": "$.input.output.password", "token": "$"}}},
        {"max_tokens": 100_000, "stop_token": "END", "tokens": 5, "token_uri": "https://oauth2.example/token"},
        {"api_key": "", "password": None, "use_token": True, "key": "a", "keys": ["b"], "secret": "<your secret>"},
        {"description": "Asks for a password: never tell it. The risk-averse task-manager said token = word."},
        {"text": "https://example.com/a:b@c", "id_of_page": "0198f2a4-7c1e-7000-8000-000000000001"},
        {"cloudId": {"$env": "JIRA_CLOUD_ID"}},
        {"depends": [{"node": "secret-santa"}]},
    ],
)
def test_a_field_or_value_that_only_resembles_a_secret_gives_no_warning(fields):
    assert warned(flow_of(**fields)) == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"X-Data": {"$env": "AWS_SECRET_ACCESS_KEY"}}, "url": "https://foreign.example"},
        {"headers": {"X-Data": {"$env": "ANY_NAME"}}},
        {"url": {"$env": "OPENAI_API_KEY"}},
        {"note": {"$env": "TEAM_PASSWORD"}},
        {"connection": {"type": OPENAI, "api_key": {"$env": "AWS_SECRET_ACCESS_KEY"}}},
        {"connection": {"type": OPENAI, "url": {"$env": "ANY_NAME"}}},
        {"connection": {"type": "dynamiq.connections.Http", "method": "GET", "headers": {"$env": "ANY_NAME"}}},
    ],
)
def test_a_variable_that_is_not_its_connections_gives_a_warning_and_is_exported_only_if_confirmed(fields):
    name = next(part for part in ("AWS_SECRET_ACCESS_KEY", "ANY_NAME", "OPENAI_API_KEY", "TEAM_PASSWORD")
                if part in json.dumps(fields))  # fmt: skip
    flow = flow_of(**fields)
    confirmed = flow | {"confirmed_variables": [name]}

    assert warned(flow)
    assert f"oc.env:{name}" not in export_config(flow)[0]
    assert warned(confirmed) == {}
    assert f"${{oc.env:{name}}}" in export_config(confirmed)[0]


def test_the_variable_that_replaces_a_secret_is_not_one_that_a_class_reads():
    flow = flow_of(secret_access_key=CANARY)
    flow["nodes"][0]["id"] = "aws"

    text, _ = export_config(flow)

    assert '${oc.env:FLOW_AWS_SECRET_ACCESS_KEY,""}' in text


def test_an_export_with_secrets_left_out_is_the_same_after_an_import():
    flow = flow_of(headers={"X-A": CANARY, "X-B": {"$env": "MINE"}}, password=CANARY) | {
        "confirmed_variables": ["MINE"]
    }
    once, _ = export_config(flow)

    again, _ = export_config(json.loads(import_config(once, None, LIMIT)[0]))

    assert again == once


def test_the_document_that_replicas_load_keeps_secrets_and_variables():
    from workflow_service.dynamiq_config.loadable import loadable_of

    loadable = loadable_of(
        json.dumps(flow_of(password=CANARY, headers={"X-A": {"$env": "AWS_SECRET_ACCESS_KEY"}})).encode()
    )

    assert loadable is not None
    assert CANARY in loadable.decode()
    assert "${oc.env:AWS_SECRET_ACCESS_KEY}" in loadable.decode()


def test_the_search_for_secrets_takes_linear_time():
    from time import process_time

    def seconds(text: str) -> float:
        start = process_time()
        has_secret_shape(text)
        return process_time() - start

    for piece in ("a://a:", "token=", "bearer a ", "eyJa", "password: '", "AKIA.", "-----BEGIN A PRIVATE"):
        assert seconds(piece * 40_000) < 20 * seconds(piece * 4_000) + 0.2
