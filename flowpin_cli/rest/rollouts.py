"""Deploys, and waits until rollouts have ended."""

import time

from flowpin_cli.errors import CannotRun
from flowpin_cli.rest.calls import Calls, Json

ROLLOUT_SECONDS = 600.0
"""How long to wait. Longer than a rollout may take (DEPLOY_ROLLOUT_TIMEOUT_SECONDS, default 300)."""
FIRST_POLL_SECONDS = 0.1
MAX_POLL_SECONDS = 2.0


def ended(calls: Calls, deployment: Json) -> Json:
    """Wait until the deployment has succeeded, failed or was canceled, and return it."""
    deadline, pause = time.monotonic() + ROLLOUT_SECONDS, FIRST_POLL_SECONDS
    while deployment["status"] in ("pending", "deploying"):
        if time.monotonic() > deadline:
            raise CannotRun(f"the deployment {deployment['id']} is still {deployment['status']}; look again later")
        time.sleep(pause)
        pause = min(pause * 1.5, MAX_POLL_SECONDS)
        deployment = calls.get(f"/v1/apps/{deployment['app_id']}/deployments/{deployment['id']}")
    return deployment


def problem_of(deployment: Json) -> str | None:
    """Why the deployment did not go live. None if it did, or if the rollout is in progress."""
    if deployment["status"] in ("failed", "canceled"):
        error = deployment.get("error", {})
        return f"the deployment {deployment['status']}: {error.get('message', 'no cause is given')}"
    return None
