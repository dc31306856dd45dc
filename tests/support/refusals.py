"""The errors of refused gRPC calls."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from service_kit.errors import ServiceError


async def refusal(call: Awaitable[Any]) -> ServiceError:
    """The error of a gRPC call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return ServiceError.from_rpc_error(caught.value)
