"""Small parts of the console: one-time links, redirects, how values are shown, and pasted documents."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from console import sign_in_links
from console.documents import NotRead, _by_node, _json_content, is_yaml
from console.failures import BY_REASON, failure_of
from console.paging import page_number, pages_around
from console.security import local_path
from console.settings import Settings
from console.shown import ago, counted, pretty_json, with_query
from service_kit.errors import Unreachable
from service_kit.openid.provider import Client
from tests.support.paths import ROOT

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TEMPLATES = ROOT / "console" / "templates"


def code_of(link: str) -> str:
    return link.removeprefix("/sign-in/")


def test_a_sign_in_link_gives_its_token_once(tmp_path: Path):
    file = tmp_path / "link"
    code = code_of(sign_in_links.new_link(file, "dyn_pat_x"))

    assert sign_in_links.is_good(file, code)
    assert sign_in_links.take_token(file, code) == "dyn_pat_x"
    assert sign_in_links.take_token(file, code) is None
    assert list(tmp_path.iterdir()) == []


def test_a_sign_in_link_contains_no_token_and_its_file_no_code(tmp_path: Path):
    file = tmp_path / "link"
    link = sign_in_links.new_link(file, "dyn_pat_x")

    assert "dyn_pat_x" not in link
    assert code_of(link) not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_wrong_code_does_not_use_a_sign_in_link_up(tmp_path: Path):
    file = tmp_path / "link"
    code = code_of(sign_in_links.new_link(file, "dyn_pat_x"))

    assert sign_in_links.take_token(file, "wrong") is None
    assert sign_in_links.take_token(file, code) == "dyn_pat_x"


def test_a_sign_in_link_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "link"
    monkeypatch.setattr(sign_in_links, "VALID_SECONDS", -1.0)
    code = code_of(sign_in_links.new_link(file, "dyn_pat_x"))

    assert sign_in_links.take_token(file, code) is None


def test_without_its_file_a_sign_in_link_is_invalid():
    assert not sign_in_links.is_good(None, "x")
    assert sign_in_links.take_token(None, "x") is None


@pytest.mark.parametrize("path", ["/workflows", "/workflows?name=x&page=2", "/a//b"])
def test_the_console_redirects_to_paths_of_its_own_site(path: str):
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    ["//evil.test", "https://evil.test", "/\\evil.test", "\\\\evil.test", "/\nx", "x", "", "javascript:x", "http:/x"],
)
def test_the_console_does_not_redirect_to_another_site(path: str):
    assert local_path(path) == "/"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (61, "1 min ago"),
        (7200, "2 h ago"),
        (90_000, "yesterday"),
        (864_000, "10 days ago"),
    ],
)
def test_a_recent_time_is_shown_relative_to_now(seconds: int, said: str):
    assert ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_an_old_time_is_shown_as_a_date():
    assert ago(datetime(2025, 1, 5, tzinfo=UTC), NOW) == "5 Jan 2025"


@pytest.mark.parametrize(("count", "said"), [(0, "0 versions"), (1, "1 version"), (12_345, "12,345 versions")])
def test_a_shown_count_has_its_noun_in_singular_or_plural(count: int, said: str):
    assert counted(count, "version") == said


def test_pagination_offers_the_first_the_last_and_neighbouring_pages():
    assert list(pages_around(6, 12)) == [1, None, 5, 6, 7, None, 12]
    assert list(pages_around(1, 1)) == [1]
    assert list(pages_around(1, 0)) == []


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "²"])
def test_an_invalid_page_number_means_the_first_page(text: str):
    assert page_number({"page": text}) == 1


def test_a_links_query_keeps_other_parameters_and_drops_empty_ones():
    assert with_query("/w", {"name": "a b", "page": "2"}, page=None, sort="name") == "/w?name=a+b&sort=name"


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"a": 1e400}', "{", "[" * 100_000])
def test_any_text_of_json_can_be_shown_in_a_page(text: str):
    pretty_json(text).encode()


def test_indented_json_has_the_same_value():
    text = '{"b": 1.0, "a": [9007199254740993, 1e21, "é"]}'

    assert json.dumps(json.loads(pretty_json(text)), sort_keys=True) == json.dumps(json.loads(text), sort_keys=True)


@pytest.mark.parametrize(
    ("text", "flow", "flow_ui"),
    [
        ('{"nodes": [1.0]}', '{"nodes": [1.0]}', None),
        ('{"flow": {"nodes": [1.0]}, "flow_ui": {}}', '{"nodes": [1.0]}', "{}"),
        ('{"data": {"id": "x", "flow": {"nodes": []}}}', '{"nodes": []}', None),
        ('{"nodes": [], "flow": 1}', '{"nodes": [], "flow": 1}', None),
    ],
)
def test_a_pasted_api_response_gives_its_flow(text: str, flow: str, flow_ui: str | None):
    content = _json_content(text.encode())

    assert content.flow == flow.encode()
    assert content.flow_ui == (None if flow_ui is None else flow_ui.encode())


@pytest.mark.parametrize(
    ("text", "said"), [('{"nodes": [\n}', "line 2, column 1"), ("[1]", "not list"), ("[" * 9999, "")]
)
def test_a_pasted_text_that_is_not_a_flow_is_refused_with_the_place(text: str, said: str):
    with pytest.raises(NotRead, match=said):
        _json_content(text.encode())


@pytest.mark.parametrize(("text", "is_it"), [("nodes:\n  a: {}", True), (' \n{"a": 1}', False), ("[1]", False)])
def test_pasted_yaml_is_distinguished_from_json(text: str, is_it: bool):
    assert is_yaml(text) is is_it


def test_problems_are_grouped_by_the_nodes_name():
    flow = json.dumps({"nodes": [{"id": "a"}, {"id": "b", "name": "total"}]}).encode()
    told = [
        ("flow.nodes[1].type", "is unknown", True),
        ("flow.nodes[7]", "is odd", False),
        ("flow.id", "is odd", False),
    ]

    found = _by_node(told, flow)

    assert {name: [each.place for each in problems] for name, problems in found.items()} == {
        "Node total": ["type"],
        "Node 8": [""],
        "The flow itself": ["flow.id"],
    }


def test_the_failure_page_names_an_unreachable_service():
    failure = failure_of(Unreachable(), "deploy")

    assert (failure.status, failure.title) == (503, "The deploy service does not answer")


def test_the_console_has_advice_for_every_error_reason_in_its_table():
    assert all(title and advice.endswith(".") for title, advice in BY_REASON.values())


def test_every_template_belongs_to_a_page_or_is_shared():
    pages = {path.stem for path in (ROOT / "console" / "pages").glob("*.py")}
    shared = {"base", "plain", "failed", "node", "run_answer", "run_nodes", "sign_in_link", "plan"}

    assert {path.stem for path in TEMPLATES.glob("*.html")} <= pages | shared


def test_no_template_marks_text_as_safe_or_has_inline_script_or_style():
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        assert "| safe" not in text
        assert "|safe" not in text
        assert "autoescape" not in text
        assert " style=" not in text, path
        assert " onclick" not in text


@pytest.mark.parametrize("key", ["x", "ab" * 31, "zz" * 32, f"{'ab' * 32},"])
def test_a_malformed_console_key_is_refused(key: str):
    with pytest.raises(ValidationError):
        Settings(key=key)


@pytest.mark.parametrize("url", ["console.example.com", "ftp://x", "https://x/path", "https://"])
def test_a_console_url_that_is_not_an_origin_is_refused(url: str):
    with pytest.raises(ValidationError):
        Settings(url=url)


AT_ISSUER: dict[str, Any] = {
    "url": "https://console.test",
    "issuer": "https://sso.test",
    "client_id": "flowpin-console",
}


def test_an_issuer_needs_a_client_and_the_consoles_own_url():
    client = Settings(**AT_ISSUER, client_secret=SecretStr("secret"), scope="openid groups").client

    assert client == Client("flowpin-console", "flowpin-console", "secret", "openid groups")
    assert "secret" not in repr(client)
    assert Settings(**AT_ISSUER, audience="https://api.test").client == Client("flowpin-console", "https://api.test")
    assert Settings().client is None
    assert Settings(url="", issuer="", client_id="", client_secret=SecretStr("")).client is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": None}, "issuer needs url and client_id"),
        ({"client_id": None}, "issuer needs url and client_id"),
        ({"issuer": None}, "need issuer"),
        ({"issuer": "http://sso.test"}, "must be an https URL"),
        ({"issuer": "sso.test"}, "must be an https URL"),
    ],
)
def test_settings_of_an_issuer_that_do_not_fit_are_refused(changes: dict[str, str | None], message: str):
    with pytest.raises(ValidationError, match=message):
        Settings(**{**AT_ISSUER, **changes})


def test_a_clients_secret_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("CONSOLE_CLIENT_SECRET_FILE", str(tmp_path / "secret"))

    client = Settings(**AT_ISSUER).client

    assert client is not None
    assert client.secret == "from the file"
