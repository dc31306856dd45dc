"""Server reflection under both of its names: v1, which current tools try first, and v1alpha."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

V1 = "grpc.reflection.v1.ServerReflection"


def add_to(server: Any, services: Sequence[str]) -> None:
    """Describe these services and reflection itself.

    grpcio-reflection (1.85) has only v1alpha; v1 has the same bytes. `enable_server_reflection` is not used, because it
    treats everything except a grpc.aio.Server as a synchronous server. Then each idle stream would occupy a thread that
    reads large documents.
    """
    _describe_v1()
    servicer = ReflectionServicer([*services, V1, reflection.SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": handler}),))


def _describe_v1() -> None:
    """Add a descriptor of v1, made from that of v1alpha, to the pool that reflection reads. May be called twice."""
    alpha = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    alpha.ClearField("options")
    text = json_format.MessageToJson(alpha).replace("reflection.v1alpha", "reflection.v1")
    described = json_format.Parse(text.replace("reflection/v1alpha", "reflection/v1"), FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(described.SerializeToString())
