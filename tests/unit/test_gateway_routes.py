"""The gateway's routes come from the contracts."""

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from gateway.routes import Route, routes_of
from gateway.server import CONTRACTS
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2

ALL = [contract for contracts in CONTRACTS.values() for contract in contracts]


def methods() -> list:
    services = [service for contract in ALL for service in contract.services_by_name.values()]
    return [method for service in services for method in service.methods]


def route(name: str, verb: str | None = None) -> Route:
    return next(each for each in routes_of(ALL) if each.rpc.name == name and verb in (None, each.verb))


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
def test_an_rpc_has_a_route_exactly_when_it_is_annotated(method):
    routed = any(each.rpc.full_name == method.full_name for each in routes_of(ALL))

    assert routed == method.GetOptions().HasExtension(annotations_pb2.http)


@pytest.mark.parametrize("each", routes_of(ALL), ids=lambda each: f"{each.verb} {each.template}")
def test_every_path_variable_is_a_field_of_the_request(each):
    assert set(each.variables) <= set(each.rpc.input_type.fields_by_name)


def test_an_rpc_has_a_route_for_each_of_its_bindings():
    assert [each.template for each in routes_of(ALL) if each.rpc.name == "ListVersions"] == [
        "/v1/workflow-versions",
        "/v1/workflows/{workflow_id}/versions",
    ]


def test_a_literal_path_has_precedence_over_a_variable():
    posts = [each.template for each in routes_of([workflow_pb2.DESCRIPTOR])]

    assert posts.index("/v1/workflows/export") < posts.index("/v1/workflows/{workflow_id}")


@pytest.mark.parametrize(
    ("name", "status"),
    [("CreateWorkflow", 201), ("CreateApp", 201), ("DeployApp", 201), ("SaveWorkflow", 200), ("ArchiveVersion", 200),
     ("GetVersion", 200), ("DeleteApp", 200)],
)  # fmt: skip
def test_rpcs_that_create_are_answered_with_201(name, status):
    assert route(name).status == status


def test_the_gateway_does_not_start_with_a_binding_that_it_cannot_serve():
    file = descriptor_pb2.FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
    file.message_type.add(name="M")
    method = file.service.add(name="S").method.add(name="Get", input_type=".odd.M", output_type=".odd.M")
    method.options.Extensions[annotations_pb2.http].get = "/v1/{name=things/*}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    with pytest.raises(ValueError, match="does not serve"):
        routes_of([pool.FindFileByName("odd.proto")])
