"""Wrong, misspelt and ineffective settings in the environment are named before anything starts."""

import os

import pytest

from flowpin_cli.commands.settings import classes
from flowpin_cli.commands.up import PREFIXES
from flowpin_cli.errors import CannotRun
from flowpin_cli.settings import without_effect
from run_service.settings import HostProcessSettings, Settings
from service_kit.settings import misspelt


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in os.environ:
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)


def test_up_checks_settings_of_every_prefix():
    assert set(PREFIXES) == {str(each.model_config["env_prefix"]) for each in classes().values()}


def test_a_misspelt_setting_is_named_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("GATEWAY_MAX_REQUEST", "4")
    monkeypatch.setenv("RUN_QWERTY", "4")

    assert misspelt(list(classes().values())) == [
        "GATEWAY_MAX_REQUEST is not a setting. Did you mean GATEWAY_MAX_REQUESTS?",
        "RUN_QWERTY is not a setting.",
    ]


def test_a_setting_of_another_process_with_the_same_prefix_is_not_misspelt(monkeypatch):
    monkeypatch.setenv("RUN_MAX_REPLICAS", "4")

    assert misspelt([Settings, HostProcessSettings]) == []
    assert misspelt([Settings]) != []


def test_a_setting_that_up_overrides_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_LISTEN", "0.0.0.0:80")
    monkeypatch.setenv("DEPLOY_WAIT_SECONDS", "5")

    [said] = without_effect(tmp_path, classes(), os.environ)

    assert said == (
        "GATEWAY_LISTEN has no effect: `flowpin up` sets it; --host, --port and --apps-port say where it listens."
    )


def test_all_wrong_settings_are_named_in_one_error(monkeypatch, tmp_path):
    monkeypatch.setenv("GATEWAY_MAX_REQUESTS", "many")
    monkeypatch.setenv("DEPLOY_POOL_SIZE", "0")

    with pytest.raises(CannotRun, match="nothing can start with") as refused:
        without_effect(tmp_path, classes(), os.environ)

    assert "GATEWAY_MAX_REQUESTS: " in str(refused.value)
    assert "DEPLOY_POOL_SIZE: " in str(refused.value)
