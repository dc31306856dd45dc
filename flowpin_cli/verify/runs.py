"""Checks of runs: each names an existing deployment, with the deployment's app, environment and version."""

from flowpin_cli.verify.check import Check, Outcome, Snapshots

_COUNT = "SELECT count(*) FROM runs WHERE deployment_id IS NOT NULL"
_ANSWERED = """
    SELECT project_id, deployment_id, app_id, environment, version_id, version_number, min(started_at) AS since
    FROM runs WHERE deployment_id IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6
"""
_DEPLOYMENTS = """
    SELECT d.project_id, d.id AS deployment_id, d.app_id, d.environment, d.version_id, d.version_number,
        d.live_from IS NOT NULL AS was_live
    FROM unnest($1::uuid[], $2::uuid[]) AS run (project_id, id)
    JOIN deployments d ON d.project_id = run.project_id AND d.id = run.id
"""
_SAME = ("app_id", "environment", "version_id", "version_number")


async def _look_at_deployments(snapshots: Snapshots, outcome: Outcome) -> None:
    if "run" not in snapshots:
        return  # nothing has run yet
    outcome.count(await snapshots["run"].value(_COUNT))
    async for rows in snapshots["run"].batches(_ANSWERED):
        keys = [[row[name] for row in rows] for name in ("project_id", "deployment_id")]
        found = {
            (row["project_id"], row["deployment_id"]): row
            for row in await snapshots["deploy"].fetch(_DEPLOYMENTS, *keys)
        }
        for row in rows:
            piece = {"app": row["app_id"], "deployment_id": row["deployment_id"]}
            deployment = found.get((row["project_id"], row["deployment_id"]))
            if deployment is None:
                outcome.add(piece | {"what": "runs of a deployment that does not exist"})
                continue
            if not deployment["was_live"]:
                outcome.add(piece | {"what": "runs of a deployment that was never live"})
            for name in _SAME:
                if row[name] != deployment[name]:
                    what = f"the {name} of its runs is not the deployment's"
                    outcome.add(piece | {"what": what, "expected": deployment[name], "found": row[name]})


CHECKS = (
    Check(
        "runs.deployments",
        "A run is of a deployment that has been live, of the app, the environment and the version that the run says.",
        "runs",
        _look_at_deployments,
    ),
)
