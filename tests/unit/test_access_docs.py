"""docs/access.md shows a valid access file."""

import re

from service_kit.access.file import AccessFile, Grant, Issuer, Project, Token, User, parse_access_file
from tests.support.paths import ROOT


def test_the_access_file_in_the_docs_is_valid_and_shows_every_field():
    text = (ROOT / "docs" / "access.md").read_text()
    [example] = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    access = parse_access_file(example)

    assert all(getattr(access, name) for name in AccessFile.model_fields)
    for model in (Project, User, Token, Issuer, Grant):
        assert [name for name in model.model_fields if f"{name}:" not in example] == []
