"""Reads from the contracts which HTTP request calls which RPC, and adds facts about answers that contracts lack."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

CREATES = ("Create", "Fork", "Import", "Restore", "Deploy", "Rollback", "Promote")
"""Prefixes of RPCs that answer 201. The others answer 200."""
DOWNLOAD_NAME = "workflow.zip"
"""File name of a google.api.HttpBody when it is downloaded."""

VARIABLE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP binding of an RPC."""

    verb: str
    template: str
    has_body: bool
    rpc: MethodDescriptor
    operation_id: str
    """The RPC's name, made unique if services share it or the RPC has several paths."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The request's fields that are path variables."""
        return tuple(VARIABLE.findall(self.template))

    @property
    def rpc_path(self) -> str:
        """gRPC's path of the RPC: /package.Service/Method."""
        return f"/{self.rpc.containing_service.full_name}/{self.rpc.name}"

    @property
    def is_stream(self) -> bool:
        return bool(self.rpc.server_streaming)

    @property
    def status(self) -> int:
        return 201 if self.rpc.name.startswith(CREATES) else 200


def routes_of(contracts: Iterable[FileDescriptor]) -> list[Route]:
    """Every binding in the contracts, literal paths before those with variables. Raises ValueError for a binding that
    cannot be served."""
    services = [service for contract in contracts for service in contract.services_by_name.values()]
    methods = [method for service in services for method in service.methods]
    named = Counter(method.name for method in methods if any(_rules(method)))
    found = [
        _route(method, rule, _operation_id(method, binding, shared=named[method.name] > 1))
        for method in methods
        for binding, rule in enumerate(_rules(method))
    ]
    return sorted(found, key=lambda route: VARIABLE.sub("~", route.template))


def _rules(method: MethodDescriptor) -> Iterator[HttpRule]:
    options = method.GetOptions()
    if options.HasExtension(annotations_pb2.http):
        rule = options.Extensions[annotations_pb2.http]
        yield rule
        yield from rule.additional_bindings


def _operation_id(method: MethodDescriptor, binding: int, *, shared: bool) -> str:
    """The operation id. RPCs that share a name get the resource at the start of the path, as in ListAppAuditEvents. A
    further binding is named after its own path (ListWorkflowVersions) or verb (PingByPost)."""
    verb, template = _pattern(list(_rules(method))[binding])
    if binding and template == _pattern(next(_rules(method)))[1]:
        return f"{method.name}By{verb.title()}"
    if not binding and not shared:
        return method.name
    things = "".join(part.title() for part in re.split(r"[-/]", VARIABLE.sub("", template).removeprefix("/v1/")))
    does = re.match("[A-Z][a-z]+", method.name)
    if does is None:
        raise ValueError(f"{method.full_name} is not named in CamelCase")
    thing = re.sub(r"^([A-Z][a-z]+?)s(?=[A-Z])", r"\1", things)
    return f"{does[0]}{thing}"


def _pattern(rule: HttpRule) -> tuple[str, str]:
    """The verb and the path. The path is empty if the verb is not supported."""
    verb = rule.WhichOneof("pattern") or ""
    return verb, getattr(rule, verb) if verb in ("get", "put", "post", "delete", "patch") else ""


def _route(method: MethodDescriptor, rule: HttpRule, operation_id: str) -> Route:
    verb, template = _pattern(rule)
    variables = VARIABLE.findall(template)
    unserved = (
        not template
        or rule.body not in ("", "*")
        or rule.response_body
        or not set(variables) <= set(method.input_type.fields_by_name)
        or re.search(r"[{}]", VARIABLE.sub("", template))
        or method.client_streaming
    )
    if unserved:
        raise ValueError(f"{method.full_name}: the gateway does not serve this binding: {rule}")
    return Route(verb.upper(), template, rule.body == "*", method, operation_id)
