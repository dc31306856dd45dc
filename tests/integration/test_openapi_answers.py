"""Answers of the gateway match its OpenAPI document. Its documentation page loads nothing from other hosts."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.stack import FLOW, FLOW_UI, Answer, Stack

UNKNOWN = "01980000-0000-7000-8000-0000000000ff"


class Documented:
    """Makes calls and checks each answer against the OpenAPI document."""

    def __init__(self, stack: Stack, document: dict[str, Any]) -> None:
        self._stack = stack
        self._document = document

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        answer = await self._stack.rest(method, path, body, **options)
        documented = self._answers(method, path.partition("?")[0])[str(answer.status)]
        for name, header in documented["headers"].items():
            assert name in answer.headers or not self._at(header)["required"], name
        if "content" in documented:
            ((content_type, content),) = documented["content"].items()
            assert answer.headers["Content-Type"].startswith(content_type)
            if content_type == "application/json":
                schema = {**content["schema"], "components": self._document["components"]}
                checker = Draft202012Validator.FORMAT_CHECKER
                Draft202012Validator(schema, format_checker=checker).validate(answer.body)
        return answer

    def _answers(self, method: str, path: str) -> dict[str, Any]:
        # Literal paths come first in the document, so the first match answers.
        template = next(
            each for each in self._document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path)
        )
        found = self._document["paths"][template][method.lower()]["responses"]
        return {status: self._at(answer) for status, answer in found.items()}

    def _at(self, part: dict[str, Any]) -> dict[str, Any]:
        found: Any = self._document
        for name in part["$ref"].removeprefix("#/").split("/") if "$ref" in part else ():
            found = found[name]
        return found if "$ref" in part else part


@pytest.fixture
async def call(stack: Stack) -> Documented:
    return Documented(stack, (await stack.rest("GET", "/openapi.json", token=None)).body)


async def test_answers_from_draft_to_rollback_are_as_the_openapi_document_says(stack: Stack, call: Documented):
    project = str(stack.people.project)
    content = b'"flow": %s, "flow_ui": %s' % (FLOW, FLOW_UI)
    draft = await call("POST", "/v1/workflows", b'{"name": "a", "project_id": "%s", %s}' % (project.encode(), content))
    workflow = draft.data["id"]
    await call("GET", f"/v1/workflows/{workflow}")
    versions = [await call("POST", f"/v1/workflows/{workflow}/save", b"{%s}" % content) for _ in range(2)]
    app = await call("POST", "/v1/apps", {"name": "a", "project_id": project, "workflow_id": workflow})
    path = f"/v1/apps/{app.data['id']}"
    older = {"workflow_id": workflow, "workflow_version_id": versions[0].data["id"], "reason": "v2 miscounts"}
    deployment = await call("POST", f"{path}/deploy", older)

    read = [
        await call("GET", each)
        for each in (
            "/v1/me", "/v1/orgs", "/v1/projects", f"/v1/projects/{project}", "/v1/runtimes", path,
            f"/v1/workflows?project_id={project}&page_size=1", f"/v1/workflows/{workflow}/versions",
            f"/v1/workflows/{workflow}/versions/latest", f"/v1/apps?project_id={project}", f"{path}/deployments",
            f"{path}/deployments/{deployment.data['id']}",
        )
    ]  # fmt: skip

    assert (draft.status, app.status, deployment.status) == (201, 201, 201)
    assert {each.status for each in read} == {200}
    exported = await call(
        "POST", "/v1/workflows/export", b'{"project_id": "%s", "flow": %s}' % (project.encode(), FLOW)
    )
    assert exported.content.startswith(b"PK")
    etag = {"If-None-Match": read[0].headers["ETag"]}
    assert (await call("GET", "/v1/me", headers=etag)).status == 304
    assert (await call("DELETE", path)).body == {"message": "deleted"}


async def test_failures_are_as_the_openapi_document_says(stack: Stack, call: Documented):
    failed = [
        await call("GET", "/v1/me", token=None),
        await call("GET", "/v1/workflows"),
        await call("GET", f"/v1/workflows/{UNKNOWN}"),
        await call("GET", "/v1/workflows/seven"),
        await call("POST", "/v1/apps", {"name": 7}),
        await call("POST", "/v1/workflows", {"project_id": str(stack.people.project)}, token="viewer"),
        await call("POST", "/v1/workflows", bytes(35 << 20)),
    ]

    assert [each.status for each in failed] == [401, 400, 404, 404, 400, 400, 413]


async def test_the_docs_page_loads_nothing_from_other_hosts(stack: Stack):
    files = [await stack.rest("GET", path, token=None) for path in ("/docs", "/docs/page.css", "/docs/page.js")]

    assert all(each.status == 200 for each in files)
    assert not any(re.search(rb"https?://", each.content) for each in files)
    assert files[0].headers["Content-Security-Policy"].startswith("default-src 'self'")
