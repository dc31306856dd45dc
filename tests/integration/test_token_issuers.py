"""Tokens of a declared OpenID Connect issuer are accepted. Forged tokens are not."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from service_kit.access import issuer_keys
from service_kit.access.file import AccessFileError, Role, hash_token, parse_access_file
from service_kit.access.issuers import IssuerKeysNotRead
from service_kit.access.registry import AccessRegistry
from service_kit.lifecycle import in_background
from tests.support.stack import Stack
from tests.support.token_issuer import AUDIENCE, TokenIssuer, rsa, running_issuer
from tests.support.waiting import eventually
from tests.support.workflows import body_of

ORG, PROJECT, OTHER, USER = (f"01980000-0000-7000-8000-00000000000{number}" for number in range(1, 5))
SECRET = "dyn_pat_of-a-person"
ADA = {"subject": "ada", "roles": {PROJECT: "editor"}}


@pytest.fixture
async def issuer() -> AsyncIterator[TokenIssuer]:
    async with running_issuer() as issuer:
        yield issuer


def text_with(*issuers: dict[str, Any]) -> str:
    return yaml.safe_dump(
        {
            "orgs": [{"id": ORG, "name": "acme"}],
            "projects": [{"id": each, "name": each[-1], "org_id": ORG} for each in (PROJECT, OTHER)],
            "users": [{"id": USER, "email": "ada@acme.test"}],
            "tokens": [{"id": "tok_1", "user": USER, "sha256": hash_token(SECRET), "roles": {PROJECT: "viewer"}}],
            "issuers": list(issuers),
        }
    )


@asynccontextmanager
async def registry_with(path: Path, *issuers: dict[str, Any]) -> AsyncIterator[AccessRegistry]:
    path.write_text(text_with(*issuers))  # noqa: ASYNC240 - a small local file
    registry = AccessRegistry(path)
    async with in_background(registry.follow()):
        yield registry


@asynccontextmanager
async def ready_registry(path: Path, issuer: TokenIssuer, *grants: dict[str, Any]) -> AsyncIterator[AccessRegistry]:
    """A registry that has read the keys of the issuer."""
    async with registry_with(path, issuer.declared(*(grants or (ADA,)))) as registry:
        await soon(lambda: has_keys(registry, issuer))
        yield registry


async def soon(holds: Callable[[], bool]) -> None:
    async def check() -> bool:
        return holds()

    await eventually(check)


def has_keys(registry: AccessRegistry, issuer: TokenIssuer) -> bool:
    try:
        return registry.principal_of(issuer.token(sub="anybody")) is not None
    except IssuerKeysNotRead:
        return False


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_an_issuer_has_the_roles_of_its_subject(issuer: TokenIssuer, tmp_path: Path, algorithm: str):
    async with ready_registry(tmp_path / "access.yaml", issuer) as registry:
        principal = registry.principal_of(issuer.token(algorithm, email="ada@acme.test"))

        assert principal is not None
        assert {str(project): role for project, role in principal.roles.items()} == {PROJECT: Role.EDITOR}
        assert (principal.user.display_name, principal.user.email) == ("Ada Lovelace", "ada@acme.test")
        assert principal.token.id == f"{issuer.url} ada"
        again = registry.principal_of(issuer.token("ES256", exp=int(time.time()) + 60))
        assert again is not None
        assert again.user.id == principal.user.id


async def test_a_grant_can_make_an_operator(issuer: TokenIssuer, tmp_path: Path):
    grants = (ADA, {"group": "platform", "operator": True})
    async with ready_registry(tmp_path / "access.yaml", issuer, *grants) as registry:
        ordinary = registry.principal_of(issuer.token())
        operator = registry.principal_of(issuer.token(sub="bob", groups=["platform"]))

    assert ordinary is not None
    assert operator is not None
    assert [ordinary.token.operator, operator.token.operator] == [False, True]
    assert operator.roles == {}


async def test_the_largest_role_of_subject_and_groups_applies(issuer: TokenIssuer, tmp_path: Path):
    grants = (ADA, {"group": "ops", "roles": {ORG: "admin"}}, {"group": "other", "roles": {OTHER: "viewer"}})
    async with ready_registry(tmp_path / "access.yaml", issuer, *grants) as registry:

        def roles(**claims: Any) -> set[Role]:
            principal = registry.principal_of(issuer.token(**claims))
            assert principal is not None
            return set(principal.roles.values())

        assert roles(groups=["ops", 7, "none"]) == {Role.ADMIN}
        assert roles(groups="ops", sub="bob") == {Role.ADMIN}
        assert roles(groups=["other"], sub="bob") == {Role.VIEWER}
        assert roles(groups={"ops": 1}) == {Role.EDITOR}
        assert roles(groups=[""], sub="bob") == set()
        assert roles(groups=["ada"], sub="bob") == set()


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(issuer: TokenIssuer) -> str:
    payload = issuer.token().split(".")[1]
    return f"{encoded({'alg': 'none', 'kid': 'rsa-1'})}.{payload}."


def confused(issuer: TokenIssuer) -> str:
    """A token signed by HMAC, with the public key as the secret."""
    payload = issuer.token().split(".")[1]
    signed = f"{encoded({'alg': 'HS256', 'kid': 'rsa-1'})}.{payload}"
    digest = hmac.new(issuer.keys["RS256"].as_pem(private=False), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def altered(issuer: TokenIssuer) -> str:
    head, payload, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return f"{head}.{encoded(claims | {'sub': 'root'})}.{signature}"


FORGED = {
    "signed by another key with the same id": lambda issuer: issuer.token(key=rsa("rsa-1")),
    "altered": altered,
    "alg none": unsigned,
    "key confusion": confused,
    "another algorithm than the key's": lambda issuer: issuer.token("RS256", key=rsa("ec-1")),
    "an algorithm that is not accepted": lambda issuer: issuer.token("PS256", key=issuer.keys["RS256"]),
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 1),
    "never expires": lambda issuer: issuer.token(exp=None),
    "expiry is a text": lambda issuer: issuer.token(exp="tomorrow"),
    "not valid yet": lambda issuer: issuer.token(nbf=int(time.time()) + 60),
    "wrong audience": lambda issuer: issuer.token(aud="another"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "wrong audiences": lambda issuer: issuer.token(aud=["another", f"{AUDIENCE}-2"]),
    "another issuer's": lambda issuer: issuer.token(iss="https://elsewhere.test"),
    "no subject": lambda issuer: issuer.token(sub=None),
    "a long subject": lambda issuer: issuer.token(sub="a" * 256),
    "a subject of two lines": lambda issuer: issuer.token(sub="ada\nroot"),
    "not base64": lambda issuer: "ey%%.ey%%.x",
    "not JSON": lambda issuer: "eyxx.eyxx.x",
    "too long": lambda issuer: issuer.token(padding="a" * 9000),
}


@pytest.mark.parametrize("audience", ["console", ["other", "api"]])
async def test_a_token_for_one_of_several_audiences_is_valid(issuer: TokenIssuer, tmp_path: Path, audience: Any):
    row = {**issuer.declared(ADA), "audience": ["console", "api", AUDIENCE]}
    async with registry_with(tmp_path / "access.yaml", row) as registry:
        await soon(lambda: has_keys(registry, issuer))

        assert registry.principal_of(issuer.token(aud=audience)) is not None
        for aud in ("other", ["cons", ["api"], 7], "", {"api": 1}, []):
            assert registry.principal_of(issuer.token(aud=aud)) is None


@pytest.mark.parametrize("kind", FORGED)
async def test_an_invalid_token_of_an_issuer_is_refused(issuer: TokenIssuer, tmp_path: Path, kind: str):
    async with ready_registry(tmp_path / "access.yaml", issuer) as registry:
        assert registry.principal_of(FORGED[kind](issuer)) is None


@pytest.mark.parametrize(
    "row",
    [
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "new", "pub": "AA"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "!"},
        {"kty": "RSA", "kid": "incomplete"},
        {"kty": ["RSA"]},
        {},
        "text",
    ],
    ids=str,
)
async def test_a_published_key_that_is_not_understood_is_ignored(issuer: TokenIssuer, tmp_path: Path, row: Any):
    issuer.other_rows = [row]
    async with ready_registry(tmp_path / "access.yaml", issuer) as registry:
        assert registry.principal_of(issuer.token()) is not None


async def test_keys_of_an_issuer_are_read_at_most_once_a_minute(
    issuer: TokenIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with ready_registry(tmp_path / "access.yaml", issuer) as registry:
        issuer.keys["RS256"] = rsa("rsa-2")
        for _ in range(20):
            assert registry.principal_of(issuer.token()) is None
        await asyncio.sleep(0.5)
        assert issuer.reads == 1

        monkeypatch.setattr(issuer_keys, "SHORTEST_SECONDS", 0.0)
        with pytest.raises(IssuerKeysNotRead):
            registry.principal_of(issuer.token())
        await soon(lambda: has_keys(registry, issuer))
        assert issuer.reads == 2


async def test_tokens_signed_by_a_withdrawn_key_are_refused(
    issuer: TokenIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(issuer_keys, "REFRESH_SECONDS", 0.1)
    async with ready_registry(tmp_path / "access.yaml", issuer) as registry:
        token = issuer.token()
        principal = registry.principal_of(token)
        assert principal is not None

        issuer.keys["RS256"] = rsa("rsa-2")

        await soon(lambda: registry.current(principal) is None)


async def test_an_issuer_that_does_not_answer_affects_its_own_tokens_only(
    issuer: TokenIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(issuer_keys, "RETRY_SECONDS", 0.1)
    issuer.is_up = False
    gone = {"url": "https://127.0.0.1:1", "audience": AUDIENCE}
    async with registry_with(tmp_path / "access.yaml", gone, issuer.declared(ADA)) as registry:
        await soon(lambda: issuer.reads > 2)
        assert registry.principal_of(SECRET) is not None
        with pytest.raises(IssuerKeysNotRead):
            registry.principal_of(issuer.token())

        issuer.is_up = True

        await soon(lambda: has_keys(registry, issuer))
        issuer.is_up = False
        assert registry.principal_of(issuer.token()) is not None


async def test_removing_an_issuer_or_a_grant_from_the_file_ends_its_tokens(issuer: TokenIssuer, tmp_path: Path):
    path = tmp_path / "access.yaml"
    async with ready_registry(path, issuer) as registry:
        token = issuer.token()
        principal = registry.principal_of(token)
        assert principal is not None

        path.write_text(text_with(issuer.declared({"subject": "bob", "roles": {PROJECT: "editor"}})))
        await soon(lambda: (now := registry.current(principal)) is None or not now.roles)

        path.write_text(text_with())
        await soon(lambda: registry.current(principal) is None and registry.principal_of(token) is None)


async def test_existing_tokens_get_roles_in_a_project_added_to_the_file(issuer: TokenIssuer, tmp_path: Path):
    path = tmp_path / "access.yaml"
    new = "01980000-0000-7000-8000-000000000009"
    grant = {"subject": "ada", "roles": {ORG: "viewer"}}
    async with ready_registry(path, issuer, grant) as registry:
        token = issuer.token()
        assert registry.principal_of(token) is not None

        text = text_with(issuer.declared(grant))
        path.write_text(text.replace("projects:\n", f"projects:\n- {{id: {new}, name: new, org_id: {ORG}}}\n"))

        await soon(lambda: (now := registry.principal_of(token)) is not None and UUID(new) in now.roles)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"audience": None}, "issuers.0.audience.0: Input should be a valid string"),
        ({"audience": []}, "issuers.0.audience: Value should have at least 1 item"),
        ({"audience": ""}, "issuers.0.audience.0: String should have at least 1 character"),
        ({"url": "http://sso.acme.test"}, "issuers.0.url: Value error, must be an https URL"),
        ({"algorithms": ["HS256"]}, "issuers.0.algorithms.0: Input should be 'RS256', 'ES256' or 'EdDSA'"),
        ({"grants": [{"roles": {PROJECT: "viewer"}}]}, "must have either subject or group"),
        ({"grants": [{"group": "a", "subject": "b", "roles": {PROJECT: "viewer"}}]}, "must have either"),
        ({"grants": [{"group": "a", "roles": {USER: "viewer"}}]}, f"no project or org {USER}"),
        ({"grants": [{"group": "a", "roles": {PROJECT: "runner"}}]}, "the role runner is for service accounts only"),
    ],
)
def test_an_access_file_with_a_wrong_issuer_is_refused_with_the_cause(changes: dict[str, Any], problem: str):
    issuer = {"url": "https://sso.acme.test", "audience": AUDIENCE, **changes}

    with pytest.raises(AccessFileError) as caught:
        parse_access_file(text_with(issuer))

    assert problem in str(caught.value)


async def test_the_audit_event_of_an_issuers_token_has_issuer_and_subject(stack: Stack, issuer: TokenIssuer):
    project = str(stack.people.project)
    row = issuer.declared({"group": "canvas", "roles": {project: "editor"}})
    with stack.people.path.open("a") as file:
        file.write(yaml.safe_dump({"issuers": [row]}))
    headers = {"Authorization": f"Bearer {issuer.token(groups=['canvas'])}"}

    async def is_known() -> bool:
        return (await stack.rest("GET", "/v1/me", token=None, headers=headers)).status == 200

    await eventually(is_known)
    flow = await stack.ok("POST", "/v1/workflows", body_of(name="sso", project_id=project), token=None, headers=headers)
    app = {"name": "sso", "project_id": project, "workflow_id": flow["id"]}
    refused = await stack.rest("POST", "/v1/apps", app, token=None, headers=headers)
    events = await stack.ok("GET", f"/v1/workflows/{flow['id']}/audit-events")

    assert refused.status == 400  # the deploy service accepts the token: it refuses to deploy a draft
    assert [(event["actor_name"], event["token_id"]) for event in events] == [("Ada Lovelace", f"{issuer.url} ada")]
