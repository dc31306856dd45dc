"""Rules of apps and deployments that do not need a database."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deploy_service.errors import (
    DeploymentFinished,
    EnvironmentNotFound,
    NoOtherEnvironment,
    RuntimeDeprecated,
    RuntimeIsDefault,
    SameEnvironment,
)
from deploy_service.model import (
    check_runtime,
    check_runtime_change,
    check_texts,
    environment_of,
    kind_of,
    promotion_of,
)
from service_kit.access.file import Project
from service_kit.errors import InvalidFields
from service_kit.ids import new_id
from tests.support.deploy_samples import OTHER_WORKFLOW, RUNTIME, WORKFLOW, deployment, pin

PROJECT = Project(id=new_id(), name="two", org_id=new_id(), environments=("staging", "production"))
DEPRECATED = replace(RUNTIME, id=new_id(), is_default=False, deprecated=True)


@pytest.mark.parametrize(
    ("asked", "environment"), [(None, "production"), ("staging", "staging"), ("production", "production")]
)
def test_the_default_environment_is_the_last_one(asked, environment):
    assert environment_of(PROJECT, asked) == environment


@pytest.mark.parametrize("asked", ["", "Production", "dev"])
def test_an_unknown_environment_is_refused_with_the_names_of_the_projects_environments(asked):
    with pytest.raises(EnvironmentNotFound) as refused:
        environment_of(PROJECT, asked)

    assert refused.value.fields == {"environment": "must be one of staging, production"}


THREE = PROJECT.model_copy(update={"environments": ("dev", "staging", "production")})


@pytest.mark.parametrize(
    ("target", "source", "way"),
    [
        (None, None, ("staging", "production")),
        ("staging", None, ("dev", "staging")),
        (None, "dev", ("dev", "production")),
        ("dev", "production", ("production", "dev")),
    ],
)
def test_a_promotion_goes_from_the_second_to_last_environment_to_the_last_by_default(target, source, way):
    assert promotion_of(THREE, target, source) == way


@pytest.mark.parametrize(
    ("environments", "target", "source", "refusal"),
    [
        (("production",), None, None, NoOtherEnvironment),
        (("production",), None, "production", NoOtherEnvironment),
        (("dev", "production"), "dev", None, NoOtherEnvironment),
        (("dev", "production"), None, "production", SameEnvironment),
        (("dev", "production"), "moon", None, EnvironmentNotFound),
        (("dev", "production"), None, "", EnvironmentNotFound),
    ],
)
def test_a_promotion_needs_two_different_environments_of_the_project(environments, target, source, refusal):
    with pytest.raises(refusal):
        promotion_of(THREE.model_copy(update={"environments": environments}), target, source)


@pytest.mark.parametrize(
    ("runtime", "default", "deprecated", "refused"),
    [
        (RUNTIME, None, None, False),
        (RUNTIME, True, False, False),
        (RUNTIME, False, None, True),
        (RUNTIME, None, True, True),
        (DEPRECATED, None, True, False),
        (DEPRECATED, False, None, False),
        (DEPRECATED, True, None, True),
        (DEPRECATED, True, False, False),
    ],
)
def test_the_default_runtime_must_be_current_and_there_is_always_one(runtime, default, deprecated, refused):
    if not refused:
        check_runtime_change(runtime, default, deprecated)
        return
    with pytest.raises(RuntimeIsDefault):
        check_runtime_change(runtime, default, deprecated)


@pytest.mark.parametrize(
    ("workflow_id", "number", "live_number", "kind"),
    [
        (WORKFLOW, 1, None, "deploy"),
        (WORKFLOW, 1, 2, "rollback"),
        (WORKFLOW, 2, 2, "deploy"),
        (WORKFLOW, 3, 2, "deploy"),
        (OTHER_WORKFLOW, 1, 2, "deploy"),
    ],
)
def test_a_deploy_of_a_lower_version_of_the_live_workflow_is_a_rollback(workflow_id, number, live_number, kind):
    live = deployment(pin=pin(version_number=live_number)) if live_number else None

    assert kind_of(pin(workflow_id=workflow_id, version_number=number), live) == kind


@pytest.mark.parametrize("live", [None, deployment()])
def test_a_current_runtime_deploys_everywhere(live):
    check_runtime(RUNTIME, live)


def test_a_deprecated_runtime_deploys_where_it_is_live():
    check_runtime(DEPRECATED, deployment(runtime_id=DEPRECATED.id))


@pytest.mark.parametrize("live", [None, deployment()])
def test_a_deprecated_runtime_is_refused_where_it_is_not_live(live):
    with pytest.raises(RuntimeDeprecated):
        check_runtime(DEPRECATED, live)


@pytest.mark.parametrize("name", ["a", "A b", "my/app_1.0 - it's", "9", "x" * 128])
def test_app_names_accept_letters_digits_spaces_and_five_signs(name):
    check_texts(name=name, description="d" * 512, reason="ü" * 512)


@pytest.mark.parametrize(
    "name",
    [
        "Übersetzer",
        "e\u0301te\u0301",
        "客服 助手",
        "می\u200cخو \u06f1",
        "हिन्दी",
        "ผู้ช่วย",
        "\U0001d49c" * 128,
    ],
)
def test_app_names_accept_letters_and_digits_of_any_script(name):
    check_texts(name=name, description="d" * 512, reason="ü" * 512)


@pytest.mark.parametrize(
    ("texts", "wrong"),
    [
        ({"name": ""}, {"name"}),
        ({"name": "   "}, {"name"}),
        ({"name": "x" * 129}, {"name"}),
        ({"name": "a\n"}, {"name"}),
        ({"name": "a\u00a0b"}, {"name"}),
        ({"name": "a\u202eb"}, {"name"}),
        ({"name": "\u200d \u200c"}, {"name"}),
        ({"name": "5 €"}, {"name"}),
        ({"name": "a;b"}, {"name"}),
        ({"name": "a\0"}, {"name"}),
        ({"description": "d" * 513}, {"description"}),
        ({"reason": "r" * 513}, {"reason"}),
        ({"name": "", "description": "d" * 513, "reason": "r" * 513}, {"name", "description", "reason"}),
    ],
)
def test_each_invalid_text_of_an_app_is_named(texts, wrong):
    with pytest.raises(InvalidFields) as refused:
        check_texts(**texts)

    assert set(refused.value.fields) == wrong


def test_a_deployment_is_live_from_the_cut_over_until_the_next_one():
    now = datetime.now(UTC)

    assert deployment(live_from=now, live_to=None).is_live
    assert not deployment(live_from=now, live_to=now).is_live
    assert not deployment(live_from=None, live_to=None).is_live


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_only_a_canceled_deployment_counts_as_canceled(status):
    deployment(status="canceled").check_canceled()

    with pytest.raises(DeploymentFinished) as refused:
        deployment(status=status).check_canceled()

    assert refused.value.metadata == {"status": status}
