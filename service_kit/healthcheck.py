"""For containers: `python -m service_kit.healthcheck HOST:PORT [CA NAME]` exits with 0 if the gRPC service is SERVING.

With an authority's file and the name in the service's certificate, it uses TLS.
"""

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 2.0


def is_serving(target: str, ca: Path | None = None, name: str = "") -> bool:
    if ca is None:
        opened = grpc.insecure_channel(target)
    else:
        credentials = grpc.ssl_channel_credentials(ca.read_bytes())
        opened = grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name)])
    with opened as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 4):
        sys.exit("usage: python -m service_kit.healthcheck HOST:PORT [CA NAME]")
    trusted = (Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) == 4 else ()
    sys.exit(0 if is_serving(sys.argv[1], *trusted) else f"{sys.argv[1]} is not serving")
