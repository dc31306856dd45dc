"""Reads large bodies in a worker process: of a body of 34 MB, single steps take 130 ms."""

from collections.abc import Callable, Mapping
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from gateway.codec.request import Variables, from_body

# The worker has to know their messages.
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2 as deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2 as workflow_pb2


def read_large_body(message_name: str, variables: tuple[str, ...], path: Mapping[str, str], body: bytes) -> bytes:
    """The message, serialized. Raises InvalidArgument or InvalidFields."""
    return _reader(message_name, variables)(path, body).SerializeToString()


@cache
def _reader(message_name: str, variables: tuple[str, ...]) -> Callable[[Variables, bytes], Message]:
    return from_body(descriptor_pool.Default().FindMessageTypeByName(message_name), variables)
