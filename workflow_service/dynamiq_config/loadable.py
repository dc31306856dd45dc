"""Makes the document that a replica loads: the exported mappings as JSON, but with the saved values.

It may contain secrets, so only services receive it, never people.
"""

import json

from workflow_service.dynamiq_config.checks import checked
from workflow_service.dynamiq_config.exporting import mappings_of


def loadable_of(flow: bytes) -> bytes | None:
    """The mappings that the SDK loads for a stored flow. None if the flow has errors.

    Texts are escaped, and variables are written as in a config.yaml. A connection of which only the id is known reads
    variables without a default. So loading fails with the variable's name if one is not set.
    """
    config, problems = checked(json.loads(flow), keep_values=True)
    if config is None or any(problem.severity == "error" for problem in problems):
        return None
    mappings = {"connections": config.connections, **mappings_of(config)}
    return json.dumps(mappings, ensure_ascii=False, separators=(",", ":")).encode()
