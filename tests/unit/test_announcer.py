"""What `flowpin up` says when it is ready."""

import io

import pytest
from rich.console import Console

from flowpin_cli.console import Announcer

TOKEN = "dyn_pat_0123456789"


def printed(*, terminal: bool) -> str:
    output = io.StringIO()
    announcer = Announcer(Console(file=output, force_terminal=terminal, width=400))
    announcer.ready("http://127.0.0.1:8080", TOKEN, "project-1", "/data/env", "")
    return output.getvalue()


def test_up_shows_the_token_and_a_call_with_it_on_a_terminal():
    assert f"Token    {TOKEN}" in printed(terminal=True)
    assert f'"Authorization: Bearer {TOKEN}"' in printed(terminal=True)


def test_up_names_the_tokens_file_when_its_output_is_not_a_terminal():
    assert TOKEN not in printed(terminal=False)
    assert "Token    FLOWPIN_TOKEN in /data/env" in printed(terminal=False)
    assert '"Authorization: Bearer $FLOWPIN_TOKEN"' in printed(terminal=False)


@pytest.mark.parametrize("terminal", [True, False])
def test_up_prints_the_url_and_the_project_everywhere(terminal):
    assert "http://127.0.0.1:8080/docs" in printed(terminal=terminal)
    assert "project-1" in printed(terminal=terminal)
