"""Each setting is listed with its value and the source of it. Secrets are not shown."""

import pytest

from flowpin_cli.settings import settings_of
from workflow_service.settings import Settings

GIVEN = {"WORKFLOW_DATABASE_URL": "postgresql://role:hunter2@/db", "WORKFLOW_LISTEN": "127.0.0.1:4711"}


def rows(monkeypatch: pytest.MonkeyPatch, given: dict[str, str] = GIVEN, **environ: str):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return {row.name: row for row in settings_of(Settings, environ, given)}


def test_a_setting_that_is_not_given_is_listed_with_its_default(monkeypatch):
    row = rows(monkeypatch)["WORKFLOW_POOL_SIZE"]

    assert (row.value, row.source) == ("8", "default")
    assert row.meaning.startswith("Maximum number of connections to Postgres, except those for pages")


def test_a_setting_from_the_environment_is_listed_with_that_value(monkeypatch):
    row = rows(monkeypatch, WORKFLOW_POOL_SIZE="20")["WORKFLOW_POOL_SIZE"]

    assert (row.value, row.source) == ("20", "environment")


def test_a_setting_that_up_sets_is_listed_with_ups_value(monkeypatch):
    row = rows(monkeypatch, WORKFLOW_LISTEN="0.0.0.0:1")["WORKFLOW_LISTEN"]

    assert (row.value, row.source) == ("127.0.0.1:4711", "flowpin up")
    assert "without effect" in row.meaning


def test_secret_settings_are_listed_only_as_set_or_unset(monkeypatch):
    found = rows(monkeypatch, WORKFLOW_ADMIN_DATABASE_URL="postgresql://admin:hunter2@/db")

    assert found["WORKFLOW_DATABASE_URL"].value == "set"
    assert found["WORKFLOW_ADMIN_DATABASE_URL"].value == "set"
    assert found["WORKFLOW_MIGRATOR_DATABASE_URL"].value == "unset"
    assert "hunter2" not in str(found)


def test_an_invalid_setting_is_listed_with_its_problem(monkeypatch):
    found = rows(monkeypatch, WORKFLOW_POOL_SIZE="many")

    assert "valid integer" in found["WORKFLOW_POOL_SIZE"].wrong
    assert [row.name for row in found.values() if row.wrong] == ["WORKFLOW_POOL_SIZE"]
    assert found["WORKFLOW_POOL_SIZE"].value == "many"
