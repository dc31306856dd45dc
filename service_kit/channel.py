"""Channels to other services: spread over replicas, quick to come back, retrying what only reads."""

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor

Interceptor: TypeAlias = Any  # grpc.aio's stubs leave its client interceptors out

ACCEPTING = "accepting"
"""The name under which a server's health says whether to send calls to it. Channels watch it and leave when told to."""
RETRIED = ("Get", "List", "Resolve")
"""RPCs named so only read, and are tried again when a replica is away."""

MOST_CONNECTIONS = 16
"""To one replica. The next is opened when those there are have as many calls under way as the replica lets them."""


def open_channel(
    targets: str,
    *services: ServiceDescriptor,
    max_message_bytes: int = 64 << 20,
    interceptors: Sequence[Interceptor] = (),
) -> grpc.aio.Channel:
    """A channel to `targets`, comma-separated host:port, calls going round robin. `services` are those called on it.

    A DNS name that stands for several addresses is one target: gRPC spreads over what it resolves to.
    """
    addresses = [target.strip() for target in targets.split(",")]
    # Only literal addresses can be listed in one gRPC target, so a single name keeps its own resolver.
    target = addresses[0] if len(addresses) == 1 else "ipv4:" + ",".join(addresses)
    return grpc.aio.insecure_channel(
        target,
        interceptors=interceptors,
        options=[
            ("grpc.service_config", json.dumps(service_config(*services))),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_connections_per_subchannel_cap", MOST_CONNECTIONS),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
        ],
    )


def service_config(*services: ServiceDescriptor) -> dict[str, object]:
    """The gRPC service config: round robin, more connections when one is full, and reads tried again."""
    reads = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.name.startswith(RETRIED)
    ]
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        # A replica that is about to drain says so first: what arrives while it stops would come back as CANCELLED.
        "healthCheckConfig": {"serviceName": ACCEPTING},
        "connectionScaling": {"maxConnectionsPerSubchannel": MOST_CONNECTIONS},
        "methodConfig": [{"name": reads, "retryPolicy": retry}] if reads else [],
    }
