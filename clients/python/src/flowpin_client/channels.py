"""How channels to the services are set up: calls spread over replicas, reads sent again."""

import json
from typing import Any

from flowpin_client.pb.flowpin.deploy.v1 import deploy_pb2
from flowpin_client.pb.flowpin.identity.v1 import identity_pb2
from flowpin_client.pb.flowpin.run.v1 import run_pb2
from flowpin_client.pb.flowpin.workflow.v1 import workflow_pb2

TIMEOUT_SECONDS = 30.0
MAX_MESSAGE_BYTES = 64 << 20
NO_RUN_SERVICE = "open_client and open_async_client take `run`, the address of the run service"
READS = ("Diff", "Export", "Get", "List", "Ping", "Plan", "Resolve", "Validate")
"""RPCs with these prefixes change nothing, and are sent again when a replica is away."""


def target_of(addresses: str) -> str:
    """gRPC's name for `host:port`, or for several with commas between them."""
    found = [each.strip() for each in addresses.removeprefix("ipv4:").split(",")]
    return found[0] if len(found) == 1 else "ipv4:" + ",".join(found)


def channel_options() -> list[tuple[str, Any]]:
    """For all services, as a channel ignores what it does not call."""
    reads = [
        {"service": service.full_name, "method": method.name}
        for contract in (deploy_pb2, identity_pb2, run_pb2, workflow_pb2)
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.name.startswith(READS)
    ]
    retry = {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": reads, "retryPolicy": retry}],
    }
    return [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
