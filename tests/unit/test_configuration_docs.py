"""docs/configuration.md has what the settings classes say."""

from flowpin_cli.commands.settings import classes
from flowpin_cli.settings_reference import reference
from tests.support.paths import ROOT


def test_the_configuration_page_is_made_from_the_settings_classes():
    assert (ROOT / "docs" / "configuration.md").read_text() == reference(classes())


def test_the_configuration_page_has_every_setting_of_every_process():
    page = reference(classes())

    missing = [name for of in classes().values() for name in of.model_fields if f"{name.upper()}`" not in page]

    assert missing == []
