"""Example values by JSON type and by a field's name, or by what the field is of and its name."""

import hashlib
from collections.abc import Mapping
from typing import Any

TIME = "2026-01-31T12:00:00Z"
DIGEST = f"sha256:{hashlib.sha256(b'flow').hexdigest()}"
NODE = {"id": "input", "name": "input", "type": "dynamiq.nodes.utils.Input", "depends": []}
VALUES: Mapping[str, Mapping[str, Any]] = {
    "string": {
        "name": "order-total",
        "app.name": "Order total",
        "person.name": "Ada Lovelace",
        "org.name": "Acme",
        "project.name": "Shop",
        "environment.name": "production",
        "state.name": "production",
        "resource.name": "cpu",
        "description": "Adds the tax.",
        "reason": "v4 miscounts",
        "note": "Totals are right again.",
        "status": "released",
        "deployment.status": "succeeded",
        "label": "v3",
        "runtime.label": "Python 3.12",
        "runtime.version": "3.12.1",
        "version": "latest",
        "other": "2",
        "environment": "production",
        "from_environment": "staging",
        "environments": "production",
        "hostname": "order-total.apps.example.com",
        "digest": DIGEST,
        "canvas_digest": DIGEST,
        "created_by_name": "Ada Lovelace",
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "timezone": "Europe/London",
        "message": "deleted",
        "path": "nodes[0].name",
        "metric.type": "resource",
        "resource.type": "utilization",
        "target.type": "utilization",
        "type": NODE["type"],
        "sort": "-created_at",
        "config": "nodes: {}",
        "workflow": "order-total",
        "group": "utils",
        "warnings": "This version is archived.",
    },
    "integer": {
        "version": 3,
        "version_count": 3,
        "next_version": 4,
        "max_replicas": 2,
        "average_utilization": 80,
        "page_size": 25,
    },
    "boolean": {"live": True, "current": True, "default": True, "valid": True},
    "object": {"flow": {"nodes": [NODE]}, "flow_ui": {"nodes": []}},
}
