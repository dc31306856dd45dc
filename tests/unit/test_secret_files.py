"""A secret setting may be in a file, named by `…_FILE`."""

from pathlib import Path

import pytest

from deploy_service.settings import Settings
from service_kit.settings import misspelt

TOKEN = "DEPLOY_WORKFLOW_TOKEN"


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "url").write_text("postgresql://role:hunter2@host/db\n")
    monkeypatch.setenv("DEPLOY_DATABASE_URL_FILE", str(tmp_path / "url"))


def test_a_secret_from_a_file_has_no_newline_at_its_end(monkeypatch, tmp_path):
    (tmp_path / "token").write_text(" dyn_pat_x \n")
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "token"))

    settings = Settings()

    assert settings.workflow_token.get_secret_value() == " dyn_pat_x "
    assert settings.database_url.get_secret_value() == "postgresql://role:hunter2@host/db"


def test_a_secret_given_both_directly_and_by_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(TOKEN, "dyn_pat_x")
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "token"))

    with pytest.raises(ValueError, match=f"{TOKEN}_FILE and {TOKEN} must not be given together"):
        Settings()


def test_an_unreadable_secret_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(f"{TOKEN}_FILE", str(tmp_path / "nothing"))

    with pytest.raises(ValueError, match="nothing, which cannot be read: No such file"):
        Settings()


def test_only_secrets_are_read_from_files(monkeypatch, tmp_path):
    (tmp_path / "listen").write_text("0.0.0.0:1")
    monkeypatch.setenv("DEPLOY_LISTEN_FILE", str(tmp_path / "listen"))

    assert Settings().listen == "127.0.0.1:50052"
    assert any(sentence.startswith("DEPLOY_LISTEN_FILE is not a setting.") for sentence in misspelt([Settings]))
    assert not any("DATABASE_URL_FILE" in sentence for sentence in misspelt([Settings]))
