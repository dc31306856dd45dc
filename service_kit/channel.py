"""Channels to other services: spread over replicas, quick to come back, retrying what only reads."""

import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor

Interceptor: TypeAlias = Any  # grpc.aio's stubs leave its client interceptors out

IPV4 = "ipv4:"
"""Begins gRPC's name for a list of addresses."""
ACCEPTING = "accepting"
"""The name under which a server's health says whether to send calls to it. Channels watch it and leave when told to."""
RETRIED = ("Diff", "Export", "Get", "List", "Ping", "Plan", "Resolve", "Validate")
"""RPCs with these prefixes change nothing, and are sent again when a replica is away."""

MOST_CONNECTIONS = 16
"""To one replica. The next is opened when those there are have as many calls under way as the replica lets them."""

SILENT_MS = 500
"""How long a connection may be silent before the replica is pinged. gRPC answers without Python, so a busy replica does
answer; one that is stopped, or whose machine is gone, does not."""
PING_TIMEOUT_MS = 1_500
"""How long it may take to answer. Then the connection is closed: its calls fail with UNAVAILABLE or are sent again, and
others go to other replicas. (gRPC's default, 1.85, is a minute, whatever `keepalive_timeout_ms` says.)"""
CONNECT_MS = 1_000
"""How long a replica may take to accept a connection, which on a busy machine is more than an instant."""
SHORTEST_PING_INTERVAL_MS = 250
"""What servers let a client ping in. Below SILENT_MS; gRPC's server closes connections that ping more often."""

EJECTION = {
    "interval": "1s",
    "baseEjectionTime": "5s",
    "maxEjectionTime": "30s",
    "maxEjectionPercent": 50,
    "failurePercentageEjection": {
        "threshold": 90,
        "enforcementPercentage": 100,
        "minimumHosts": 2,
        "requestVolume": 2,
    },
}
"""A replica of which nearly every call of a second failed gets none for five seconds, then ten, up to thirty. Half of
the replicas at most: a failure that all of them share, such as NOT_FOUND, must not leave none. gRPC counts a call when
it ends, so this is for replicas that answer pings and fail calls, or have them canceled by a second try."""


def open_channel(
    targets: str,
    *services: ServiceDescriptor,
    max_message_bytes: int = 64 << 20,
    interceptors: Sequence[Interceptor] = (),
    own_connections: bool = False,
) -> grpc.aio.Channel:
    """A channel to `targets`, comma-separated host:port, calls going round robin. `services` are those called on it.

    With `own_connections` it shares none with other channels to the same targets.

    "ipv4:" may stand before them, as in gRPC's own names. A DNS name that stands for several addresses is one target:
    gRPC spreads over what it resolves to.
    """
    addresses = [target.strip() for target in targets.removeprefix(IPV4).split(",")]
    # Only literal addresses can be listed in one gRPC target, so a single name keeps its own resolver.
    target = addresses[0] if len(addresses) == 1 else IPV4 + ",".join(addresses)
    return grpc.aio.insecure_channel(
        target,
        interceptors=interceptors,
        options=[
            ("grpc.service_config", json.dumps(service_config(*services, has_replicas=may_be_several(targets)))),
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_connections_per_subchannel_cap", MOST_CONNECTIONS),
            ("grpc.keepalive_time_ms", SILENT_MS),
            ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),  # no limit: an idle connection is pinged as often
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.use_local_subchannel_pool", int(own_connections)),
        ],
    )


def may_be_several(targets: str) -> bool:
    """Whether `targets`, as for `open_channel`, may stand for more than one replica: by number or by name."""
    host = targets.removeprefix(IPV4).rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def service_config(*services: ServiceDescriptor, has_replicas: bool) -> dict[str, object]:
    """The gRPC service config: round robin over replicas that work, connections as needed, reads sent again."""
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
    policies: list[dict[str, object]] = [{"round_robin": {}}]
    if has_replicas:
        # gRPC takes the first that it knows. In 1.85 outlier detection has this name only; it costs a call 2 µs.
        policies.insert(0, {"outlier_detection_experimental": {**EJECTION, "childPolicy": policies[:]}})
    return {
        "loadBalancingConfig": policies,
        # A replica that is about to drain says so first: what arrives while it stops would come back as CANCELLED.
        "healthCheckConfig": {"serviceName": ACCEPTING},
        "connectionScaling": {"maxConnectionsPerSubchannel": MOST_CONNECTIONS},
        "methodConfig": [{"name": reads, "retryPolicy": retry}] if reads else [],
    }
