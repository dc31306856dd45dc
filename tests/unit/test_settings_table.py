"""Each setting is listed with the value it will have and where that comes from; secrets are not shown."""

import pytest

from flowpin_cli.settings import settings_of
from workflow_service.settings import Settings

GIVEN = {"WORKFLOW_DATABASE_URL": "postgresql://role:hunter2@/db", "WORKFLOW_LISTEN": "127.0.0.1:4711"}


def rows(monkeypatch: pytest.MonkeyPatch, given: dict[str, str] = GIVEN, **environ: str):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return {row.name: row for row in settings_of(Settings, environ, given)}


def test_a_setting_nobody_made_has_its_default(monkeypatch):
    row = rows(monkeypatch)["WORKFLOW_POOL_SIZE"]

    assert (row.value, row.source) == ("8", "default")
    assert row.meaning == "Connections to Postgres at most, beside those for pages and the one of the health check."


def test_a_setting_of_the_environment_has_that_value(monkeypatch):
    row = rows(monkeypatch, WORKFLOW_POOL_SIZE="20")["WORKFLOW_POOL_SIZE"]

    assert (row.value, row.source) == ("20", "environment")


def test_what_up_sets_goes_over_the_environment(monkeypatch):
    row = rows(monkeypatch, WORKFLOW_LISTEN="0.0.0.0:1")["WORKFLOW_LISTEN"]

    assert (row.value, row.source) == ("127.0.0.1:4711", "flowpin up")
    assert "to no effect" in row.meaning


def test_secrets_are_set_or_unset_and_nothing_more(monkeypatch):
    found = rows(monkeypatch, WORKFLOW_ADMIN_DATABASE_URL="postgresql://admin:hunter2@/db")

    assert found["WORKFLOW_DATABASE_URL"].value == "set"
    assert found["WORKFLOW_ADMIN_DATABASE_URL"].value == "set"
    assert found["WORKFLOW_MIGRATOR_DATABASE_URL"].value == "unset"
    assert "hunter2" not in str(found)


def test_a_value_that_cannot_be_says_what_is_wrong(monkeypatch):
    found = rows(monkeypatch, WORKFLOW_POOL_SIZE="many")

    assert "valid integer" in found["WORKFLOW_POOL_SIZE"].wrong
    assert [row.name for row in found.values() if row.wrong] == ["WORKFLOW_POOL_SIZE"]
    assert found["WORKFLOW_POOL_SIZE"].value == "many"
