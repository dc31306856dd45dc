"""A caller of the client that openapi-python-client makes. `mypy --strict` must accept it."""

from uuid import UUID

from flowpin_api_client import AuthenticatedClient
from flowpin_api_client.api.versions import get_version
from flowpin_api_client.models import ErrorEnvelope, GetVersionResponse

client = AuthenticatedClient("http://127.0.0.1:8080", token="dyn_pat_…")
answer = get_version.sync(UUID("0199c2f1-7a3e-7000-8000-000000000000"), "latest", client=client)
if isinstance(answer, GetVersionResponse):
    label: str = answer.data.label
elif isinstance(answer, ErrorEnvelope):
    code: str = answer.error.code
