"""Reads large bodies in a worker process, because some steps take 130 ms for a body of 34 MB."""

from collections.abc import Mapping
from functools import cache

from google.protobuf import descriptor_pool

from gateway.codec.request import ReadBody, from_body

# Imported so that the worker knows their messages.
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as deploy_pb2
from service_kit.pb.flowpin.run.v1 import run_pb2 as run_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as workflow_pb2


def read_large_body(
    message_name: str, variables: tuple[str, ...], path: Mapping[str, str], body: bytes, content_type: str
) -> bytes:
    """The message, serialized. Raises InvalidArgument or InvalidFields."""
    return _reader(message_name, variables)(path, body, content_type).SerializeToString()


@cache
def _reader(message_name: str, variables: tuple[str, ...]) -> ReadBody:
    return from_body(descriptor_pool.Default().FindMessageTypeByName(message_name), variables)
