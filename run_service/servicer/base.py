"""Base class of the servicers of RunService."""

from run_service.parts import Parts
from service_kit.pb.flowpin.run.v1 import run_pb2_grpc as rpc
from service_kit.pools import Pools


class ServicerBase(rpc.RunServiceServicer):
    def __init__(self, pools: Pools, parts: Parts) -> None:
        self._pool, self._pages = pools.hot, pools.pages
        self._parts = parts
