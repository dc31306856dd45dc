"""The alternative without Flowpin: a uvicorn process that loads one version of a flow with the SDK.

Runs in a runtime's Python: `python plain_app.py FLOW.json PORT`. A new version is a new process.
"""

import asyncio
import json
import sys
from typing import Any

import uvicorn
from dynamiq import Workflow
from dynamiq.runnables import RunnableConfig

workflow = Workflow.from_yaml_file(sys.argv[1], init_components=True)


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    run = Workflow(flow=workflow.flow.clone())
    found = await asyncio.to_thread(run.run, json.loads(body)["input"], config=RunnableConfig())
    answer = json.dumps({"output": found.output["output"]["output"]}, default=str).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
