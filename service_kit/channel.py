"""Channels to other services. They spread calls over replicas, reconnect quickly and repeat reads."""

import json
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from service_kit.tls import ChannelTls
from service_kit.tls_channel import TlsChannel

Interceptor: TypeAlias = Any  # grpc.aio's stubs leave its client interceptors out

IPV4 = "ipv4:"
"""Prefix of gRPC's target for a list of addresses."""
ACCEPTING = "accepting"
"""The part of a server's health that says whether it accepts calls. Channels watch it, and stop sending calls if it
does not."""
RETRIED = ("Diff", "Export", "Get", "List", "Ping", "Plan", "Resolve", "Validate")
"""RPCs with these prefixes change nothing, so they are repeated if a replica is unreachable."""

MOST_CONNECTIONS = 16
"""Maximum connections to one replica. Another one is opened when all have as many calls as the replica allows."""

SILENT_MS = 500
"""How long a connection may be silent before the replica is pinged. gRPC answers without Python, so a busy replica
answers. One that is stopped, or whose machine is unreachable, does not."""
PING_TIMEOUT_MS = 1_500
"""How long the replica may take to answer a ping. After that, the connection is closed. Its calls fail with UNAVAILABLE
or are repeated, and new calls go to other replicas. gRPC's default (1.85) is a minute, and ignores
`keepalive_timeout_ms`."""
CONNECT_MS = 1_000
"""How long a replica may take to accept a connection. A busy machine needs some time."""
SHORTEST_PING_INTERVAL_MS = 250
"""Minimum interval of pings that servers accept. It must be below SILENT_MS, because gRPC's server closes connections
that ping more often."""

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
"""Ejects a replica if nearly all calls of a second failed: for five seconds, then ten, up to thirty. At most half of
the replicas are ejected, because a failure that all share, such as NOT_FOUND, must not eject all. gRPC counts a call
when it ends. So this applies to replicas that answer pings but fail calls, or whose calls a second try cancels."""


def open_channel(
    targets: str,
    *services: ServiceDescriptor,
    max_message_bytes: int = 64 << 20,
    interceptors: Sequence[Interceptor] = (),
    tls: ChannelTls | None = None,
) -> grpc.aio.Channel:
    """A channel to `targets` (host:port, separated by commas) with round robin. `services` are the ones that are called
    through it.

    It shares no connection with other channels to the same targets. A shared one may be full of streams, or have
    failed, and its backoff would fail the first calls of another channel. With `tls`, the channel must be entered
    (`async with`), so that it follows changes of the files. Raises TlsError.

    "ipv4:" may precede the targets, as in gRPC's own names. A DNS name with several addresses is one target; gRPC
    spreads calls over its addresses.
    """
    addresses = [target.strip() for target in targets.removeprefix(IPV4).split(",")]
    # A gRPC target can list only literal addresses, so a single name keeps its own resolver.
    target = addresses[0] if len(addresses) == 1 else IPV4 + ",".join(addresses)
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config(*services, has_replicas=may_be_several(targets)))),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_connections_per_subchannel_cap", MOST_CONNECTIONS),
        ("grpc.keepalive_time_ms", SILENT_MS),
        ("grpc.keepalive_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),  # no limit, because an idle connection is pinged as often
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", CONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if tls is None:
        return grpc.aio.insecure_channel(target, interceptors=interceptors, options=options)
    name = tls.server_name or addresses[0].rpartition(":")[0].strip("[]")
    options += [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    return TlsChannel(
        tls.files,
        lambda credentials: grpc.aio.secure_channel(target, credentials, interceptors=interceptors, options=options),
    )


def may_be_several(targets: str) -> bool:
    """Whether `targets` of `open_channel` may be several replicas: several targets, or a name."""
    host = targets.removeprefix(IPV4).rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def service_config(*services: ServiceDescriptor, has_replicas: bool) -> dict[str, object]:
    """The gRPC service config: round robin over healthy replicas, connections as needed, repeated reads."""
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
        # gRPC uses the first policy that it knows. In 1.85, outlier detection has only this name. It costs 2 µs per
        # call.
        policies.insert(0, {"outlier_detection_experimental": {**EJECTION, "childPolicy": policies[:]}})
    return {
        "loadBalancingConfig": policies,
        # A replica reports in advance that it will drain, because calls that arrive during its stop would fail with
        # CANCELLED.
        "healthCheckConfig": {"serviceName": ACCEPTING},
        "connectionScaling": {"maxConnectionsPerSubchannel": MOST_CONNECTIONS},
        "methodConfig": [{"name": reads, "retryPolicy": retry}] if reads else [],
    }
