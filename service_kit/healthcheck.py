"""For containers: `python -m service_kit.healthcheck HOST:PORT` exits 0 when the gRPC service there is SERVING."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 2.0


def is_serving(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m service_kit.healthcheck HOST:PORT")
    sys.exit(0 if is_serving(sys.argv[1]) else f"{sys.argv[1]} is not serving")
