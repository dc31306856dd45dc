"""Rules of workflows and versions that do not need a database."""

from uuid import UUID

import pytest

from service_kit.errors import InvalidFields
from workflow_service.errors import WorkflowNotDraft
from workflow_service.model import LockedWorkflow, VersionRef, check_texts

ID = UUID("01980000-0000-7000-8000-000000000001")
DIGEST, OTHER = b"d" * 32, b"o" * 32


@pytest.mark.parametrize("name", ["a", "0", "a-b", "abc-1-2", "a" * 128])
def test_a_slug_is_a_valid_workflow_name(name):
    check_texts(name=name)


@pytest.mark.parametrize("name", ["-a", "a-", "a--b", "A", "a_b", "a b", "é", "a\n", "a\0", "a" * 129, "a.b"])
def test_a_workflow_name_that_is_not_a_slug_is_refused(name):
    with pytest.raises(InvalidFields) as caught:
        check_texts(name=name)

    assert list(caught.value.fields) == ["name"]


def test_the_error_for_a_blank_workflow_name_says_blank():
    with pytest.raises(InvalidFields) as caught:
        check_texts(name="")

    assert caught.value.fields == {"name": "cannot be blank"}


def test_each_invalid_text_of_a_workflow_is_named():
    with pytest.raises(InvalidFields) as caught:
        check_texts(name="No", description="é" * 513)

    assert list(caught.value.fields) == ["name", "description"]
    check_texts(name="yes", description="é" * 512)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("latest", VersionRef("latest")),
        ("1", VersionRef("number", number=1)),
        ("007", VersionRef("number", number=7)),
        ("2147483647", VersionRef("number", number=2**31 - 1)),
        (str(ID), VersionRef("id", id=ID)),
        (str(ID).upper(), VersionRef("id", id=ID)),
    ],
)
def test_a_version_is_named_by_id_number_or_latest(text, ref):
    assert VersionRef.parse(text) == ref


@pytest.mark.parametrize(
    "text",
    ["0", "-1", "2147483648", "9" * 5000, "1.0", "²", "\u0661", "Latest", "v1", " 1", ID.hex, f"{{{ID}}}", "1\n"],
)
def test_a_malformed_version_reference_is_refused(text):
    with pytest.raises(InvalidFields) as caught:
        VersionRef.parse(text)

    assert list(caught.value.fields) == ["version"]


@pytest.mark.parametrize(
    ("version_count", "accepts_release", "latest_digest"),
    [(0, False, None), (1, True, DIGEST), (7, True, DIGEST)],
    ids=["a draft", "saved once", "saved often"],
)
def test_the_official_client_may_release_a_workflow_with_an_unchanged_flow(
    version_count, accepts_release, latest_digest
):
    workflow = LockedWorkflow(ID, ID, version_count, accepts_release, latest_digest)

    workflow.check_releasable(DIGEST, by_official_client=True)


@pytest.mark.parametrize(
    ("version_count", "accepts_release", "latest_digest", "official"),
    [(1, False, DIGEST, True), (1, True, OTHER, True), (1, True, DIGEST, False), (7, True, DIGEST, False)],
    ids=["released explicitly", "another flow", "another client", "another client, saved often"],
)
def test_only_draft_workflows_can_be_released(version_count, accepts_release, latest_digest, official):
    workflow = LockedWorkflow(ID, ID, version_count, accepts_release, latest_digest)

    with pytest.raises(WorkflowNotDraft, match=r"^Only draft workflows can be released\.$"):
        workflow.check_releasable(DIGEST, by_official_client=official)
