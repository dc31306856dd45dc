"""The number and the names of the processes of each kind."""

import os
from dataclasses import dataclass

CORES_PER_WORKER = 2


@dataclass(frozen=True)
class Workers:
    gateway: int = 1
    workflow: int = 1
    deploy: int = 1


def workers(asked: int | None) -> Workers:
    """The number of processes of each kind: `asked`, or by default a number that suits the cores.

    Deploys are rare compared with saves and reads, so one deploy service is enough for all cores.
    """
    if asked is not None:
        return Workers(asked, asked, asked)
    count = max(1, len(os.sched_getaffinity(0)) // CORES_PER_WORKER)
    return Workers(gateway=count, workflow=count)


def worker_name(service: str, number: int) -> str:
    """The name of a worker, for its log and for messages. `number` begins at 1."""
    return service if number == 1 else f"{service}-{number}"
