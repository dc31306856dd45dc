"""The checks of requests that follow from the contract alone."""

import pytest

from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as pb
from service_kit.validation import MAX_ENTRIES, MAX_TEXT_CHARS, is_uuid, violations

ID = "01980000-0000-7000-8000-000000000001"
JSON = pb.Json(utf8=b"{}")


@pytest.mark.parametrize(
    ("request_", "problems"),
    [
        (pb.GetWorkflowRequest(workflow_id=ID), {}),
        (pb.GetWorkflowRequest(), {"workflow_id": "cannot be blank"}),
        (pb.GetWorkflowRequest(workflow_id="x"), {"workflow_id": "must be a UUID"}),
        (
            pb.CreateWorkflowRequest(),
            {
                "project_id": "cannot be blank",
                "name": "cannot be blank",
                "flow": "is required",
                "flow_ui": "is required",
            },
        ),
        (pb.CreateWorkflowRequest(project_id=ID, name="a", flow=JSON, flow_ui=JSON), {}),
        (
            pb.CreateWorkflowRequest(project_id=ID, name="a", flow=pb.Json(), flow_ui=JSON),
            {},
        ),  # the check of the flow names it
        (pb.ResolveVersionRequest(project_id=ID, workflow_id=ID), {}),
        (
            pb.ResolveVersionRequest(project_id=ID, workflow_id=ID, workflow_version_id=""),
            {"workflow_version_id": "must be a UUID, or @ and a label"},
        ),
        (pb.ResolveVersionRequest(project_id=ID, workflow_id=ID, workflow_version_id="@production"), {}),
        (
            pb.SetLabelRequest(workflow_id=ID, name="a", workflow_version_id="@A", expected_version_id="@a"),
            {"workflow_version_id": "must be a UUID, or @ and a label", "expected_version_id": "must be a UUID"},
        ),
        (pb.SaveWorkflowRequest(workflow_id=ID, flow=JSON, flow_ui=JSON, name=""), {}),  # counts on a draft only
        (
            pb.UpdateWorkflowRequest(workflow_id=ID, name="a\0", description="\0"),
            {"name": "must not contain a NUL character", "description": "must not contain a NUL character"},
        ),
    ],
)
def test_each_wrong_field_of_a_request_is_named(request_, problems):
    assert violations(request_) == problems


def test_a_text_field_is_limited_unless_it_is_a_document():
    long = "😀" * (MAX_TEXT_CHARS + 1)

    assert violations(pb.UpdateWorkflowRequest(workflow_id=ID, name=long, description=long[1:])) == {
        "name": "must be at most 65,536 characters"
    }
    assert violations(pb.ImportWorkflowRequest(project_id=ID, name="a", config=long)) == {}


def test_the_entries_of_a_list_field_are_limited():
    request = deploy_pb2.DeployAppRequest(app_id=ID, workflow_id=ID)
    request.deployment_config.deployment_type = deploy_pb2.DEPLOYMENT_TYPE_SERVER_BASED
    metrics = request.deployment_config.config.autoscaling.metrics
    request.deployment_config.config.autoscaling.min_replicas = 1
    for _ in range(MAX_ENTRIES):
        metrics.add(type="resource").resource.target.SetInParent()

    few = violations(request)
    metrics.add()

    assert all("metrics[" in path for path in few)
    assert violations(request) == {"deployment_config.config.autoscaling.metrics": "must have at most 100 entries"}


def test_a_missing_nested_field_is_named_with_its_path():
    request = deploy_pb2.CreateAppRequest(project_id=ID, name="a", workflow_id=ID)
    request.deployment_config.deployment_type = deploy_pb2.DEPLOYMENT_TYPE_SERVER_BASED
    request.deployment_config.config.autoscaling.metrics.add(type="resource")

    problems = violations(request)

    assert problems == {
        "deployment_config.config.autoscaling.min_replicas": "is required",
        "deployment_config.config.autoscaling.metrics[0].resource": "is required",
    }


def test_a_request_without_an_optional_message_is_valid():
    assert violations(deploy_pb2.CreateAppRequest(project_id=ID, name="a", workflow_id=ID)) == {}


@pytest.mark.parametrize("value", [ID, ID.upper()])
def test_a_uuid_is_accepted_in_its_usual_form(value):
    assert is_uuid(value)


@pytest.mark.parametrize(
    "value",
    ["", "x", ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", ID[:-1], ID + "0", ID[:-1] + "g", " " + ID[1:]],
)
def test_a_uuid_in_another_form_is_refused(value):
    assert not is_uuid(value)
