"""Reads what a refused call says."""

import grpc
from google.rpc import error_details_pb2, status_pb2

STATUS_DETAILS = "grpc-status-details-bin"


def reason_of(error: grpc.RpcError) -> str | None:
    """The contract's reason, such as VERSION_CONFLICT. None when the call failed before a service answered."""
    for name, value in error.trailing_metadata() or ():  # type: ignore[attr-defined]  # each error that is raised has it
        if name == STATUS_DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return None
