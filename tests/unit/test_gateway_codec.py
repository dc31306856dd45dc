"""JSON and query strings are converted to messages, and messages to JSON."""

import json
import random
from datetime import UTC, datetime

import pytest
from multidict import MultiDict

from gateway.codec.encode import writer
from gateway.codec.members import split_object
from gateway.codec.request import from_body, from_query
from service_kit.errors import InvalidArgument, InvalidFields
from service_kit.pb.flowpin.deploy.v1 import deploy_pb2
from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from service_kit.validation import MAX_ENTRIES

ID = "01980000-0000-7000-8000-000000000001"

read_save = from_body(workflow_pb2.SaveWorkflowRequest.DESCRIPTOR, ("workflow_id",))
read_deploy = from_body(deploy_pb2.DeployAppRequest.DESCRIPTOR, ("app_id",))
read_deployments = from_query(deploy_pb2.ListDeploymentsRequest.DESCRIPTOR, ("app_id",))


def save(body: bytes) -> workflow_pb2.SaveWorkflowRequest:
    return read_save({"workflow_id": ID}, body)


def deploy(body: object) -> deploy_pb2.DeployAppRequest:
    return read_deploy({"app_id": ID}, json.dumps(body).encode())


def deployments(*query: tuple[str, str]) -> deploy_pb2.ListDeploymentsRequest:
    return read_deployments({"app_id": ID}, MultiDict(query))


def wrong_fields(read, *arguments) -> dict[str, str]:
    with pytest.raises(InvalidFields) as caught:
        read(*arguments)
    return dict(caught.value.fields)


# Bodies


@pytest.mark.parametrize(
    "document",
    [
        b'{"nodes":[9007199254740993, -0, 1E400, 1.0]}',
        b'{ "b" :\t1 ,\r\n "a":[ ] }',
        rb'{"text":"\u0000 \u00e9 \/ \ud83d\ude00"}',
        rb'{"half":"\ud800"}',
        rb'{"nested":{"a":1,"a":2}}',
        '{"text":"é\u2028😀"}'.encode(),
        b"[]",
        b'"text"',
        b"17",
    ],
)
def test_a_document_in_a_body_is_passed_on_byte_for_byte(document):
    message = save(b'{"flow" : ' + document + b' , "flow_ui":' + document + b"}")

    assert (message.flow.utf8, message.flow_ui.utf8) == (document, document)


def test_an_id_in_the_path_has_precedence_over_the_body():
    assert save(f'{{"workflow_id": {{"any": "thing"}}, "description": "{ID}"}}'.encode()).workflow_id == ID


def test_an_empty_body_means_an_empty_object():
    assert save(b"") == save(b"{}")


def test_null_in_a_body_means_an_absent_field():
    message = save(b'{"flow": null, "name": null}')

    assert not message.HasField("flow")
    assert not message.HasField("name")


def test_an_empty_value_in_a_body_sets_its_field():
    message = save(b'{"name": "", "flow": {}}')

    assert message.HasField("name")
    assert message.flow.utf8 == b"{}"


def test_unknown_keys_in_a_body_are_ignored():
    assert save(b'{"nobody": {"knows": [1, 2]}, "name": "a"}') == save(b'{"name": "a"}')


def test_nested_messages_in_a_body_are_read():
    autoscaling = {"min_replicas": 0, "metrics": [{"type": "resource", "resource": {"name": "cpu"}}]}

    config = deploy(
        {"deployment_config": {"deployment_type": "server_based", "config": {"autoscaling": autoscaling}}}
    ).deployment_config

    assert config.deployment_type == deploy_pb2.DEPLOYMENT_TYPE_SERVER_BASED
    assert config.config.autoscaling.HasField("min_replicas")
    assert config.config.autoscaling.metrics[0].resource.name == "cpu"


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        (b"[]", "The body must be a JSON object."),
        (b"null", "The body must be a JSON object."),
        (b"\xef\xbb\xbf{}", "The body is not JSON: it begins with a byte order mark."),
        (b"nope", "The body is not JSON: invalid character"),
        (b'{"flow": {]}', "The body is not JSON:"),
        (b'{"flow": {}', "The body is not JSON: Input data was truncated"),
        (b'{"flow": {}} x', "The body is not JSON: trailing characters"),
        (b'{"flow": NaN}', "The body is not JSON: invalid character (byte 9)"),
        (b'{"flow": "\xff"}', "The body is not UTF-8 (byte 10)."),
        (b'{"x": "\xed\xa0\x80"}', "The body is not UTF-8 (byte 7)."),
        *(
            (b'{"flow": ' + b"[" * levels + end * levels + b"}", "The body is nested too deeply.")
            for levels in (500, 1400, 5000, 100_000)
            for end in (b"]", b"")
        ),
        (json.dumps(dict.fromkeys(map(str, range(1001)))).encode(), "An object in the body has more than 1000 keys."),
    ],
)
def test_a_body_that_is_not_a_json_object_is_refused(body, beginning):
    with pytest.raises(InvalidArgument) as caught:
        save(body)

    assert caught.value.message.startswith(beginning)


def test_a_body_may_be_deeper_than_a_flow_so_the_service_can_name_the_field():
    flow = b"[" * 499 + b"]" * 499

    assert save(b'{"flow": ' + flow + b"}").flow.utf8 == flow


def test_every_wrong_and_every_missing_field_of_a_body_is_named():
    assert wrong_fields(save, b'{"name": "\\ud800", "description": 4, "flow": {}}') == {
        "name": "must not contain half of a surrogate pair",
        "description": "must be a string",
        "flow_ui": "is required",
    }


def test_wrong_nested_fields_of_a_body_are_named_with_their_path():
    cpu = {"name": "cpu", "target": {"type": "utilization", "average_utilization": 80}}
    metrics = [{"type": 5}, 7, None, {"type": "resource", "resource": {**cpu, "target": []}}, {"resource": cpu}]
    autoscaling = {"min_replicas": True, "max_replicas": 2.5, "metrics": metrics}
    body = {
        "workflow_id": ID,
        "deployment_config": {"deployment_type": "SERVERLESS", "config": {"autoscaling": autoscaling}},
    }

    found = wrong_fields(deploy, body)

    integer = "must be an integer from 1 to 100"
    inside = "deployment_config.config.autoscaling."
    assert found == {
        "deployment_config.deployment_type": "must be one of serverless, server_based",
        f"{inside}min_replicas": integer,
        f"{inside}max_replicas": integer,
        f"{inside}metrics[0].type": "must be a string",
        f"{inside}metrics[0].resource": "is required",
        f"{inside}metrics[1]": "must be an object",
        f"{inside}metrics[2]": "cannot be null",
        f"{inside}metrics[3].resource.target": "must be an object",
        f"{inside}metrics[4].type": "cannot be blank",
    }


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        ("{}," * MAX_ENTRIES + "{}", "must have at most 100 entries"),
        ("1," * 40_000 + "1", "must be at most 64 KiB of JSON"),
    ],
    ids=["entries", "bytes"],
)
def test_a_list_in_a_body_is_limited_in_entries_and_bytes(metrics, sentence):
    body = f'{{"workflow_id": "{ID}", "deployment_config": {{"deployment_type": "server_based", '
    body += f'"config": {{"autoscaling": {{"min_replicas": 1, "metrics": [{metrics}]}}}}}}}}'

    found = wrong_fields(read_deploy, {"app_id": ID}, body.encode())

    assert found == {"deployment_config.config.autoscaling.metrics": sentence}


@pytest.mark.parametrize("number", ["2147483648", "-2147483649", "1.5", "15e-1", '"1"', "true", "[]", "9" * 400])
def test_an_integer_field_must_be_an_integer_in_its_range(number):
    body = f'{{"workflow_id": "{ID}", "deployment_config": {{"deployment_type": "server_based", '
    body += f'"config": {{"autoscaling": {{"min_replicas": {number}}}}}}}}}'

    found = wrong_fields(read_deploy, {"app_id": ID}, body.encode())

    assert list(found) == ["deployment_config.config.autoscaling.min_replicas"]


@pytest.mark.parametrize("value", [b"1", b"true", b"{}", b"[]"])
def test_a_string_field_must_be_a_string(value):
    found = wrong_fields(save, b'{"flow": {}, "flow_ui": {}, "name": ' + value + b"}")

    assert found == {"name": "must be a string"}


# Duplicated keys


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"flow": {"a": 1}, "flow": {"a": 1}, "flow_ui": {}}', "flow"),
        (b'{"flow": {}, "flow_ui": {}, "flow": [1]}', "flow"),
        (b'{"flow": 12, "flow": 1, "flow_ui": {}}', "flow"),
        (b'{"flow": {}, "\\u0066low": {}, "flow_ui": {}}', "flow"),
        (b'{"flow": {}, "x": 1, "flow_ui": {}, "x": 1}', "x"),
    ],
)
def test_a_duplicated_key_in_a_body_is_named(body, field):
    assert wrong_fields(save, body) == {field: "must not be given twice"}


def test_a_duplicated_key_in_a_nested_message_is_named():
    body = f'{{"workflow_id": "{ID}", "deployment_config": {{"config": {{}}, "deployment_type": "serverless", '
    body += '"config": {}}}'

    found = wrong_fields(read_deploy, {"app_id": ID}, body.encode())

    assert found == {"deployment_config.config": "must not be given twice"}


def test_splitting_an_object_finds_the_same_as_a_full_parse():
    chance = random.Random(7)
    for _ in range(3000):
        text = random_object(chance)
        pairs = json.loads(text, object_pairs_hook=list)
        keys = [key for key, _ in pairs]
        twice = [key for index, key in enumerate(keys) if key in keys[:index]]

        members, repeated = split_object(text.encode())

        assert repeated in twice if twice else repeated is None
        assert {key: json.loads(raw) for key, raw in members.items()} == json.loads(text)
        if not twice:
            assert all(raw.decode() in text for raw in members.values())


def random_object(chance: random.Random, depth: int = 0) -> str:
    space = lambda: chance.choice(["", " ", "\n\t", ""])  # noqa: E731
    values = ["1", "12", "-0.5e3", "true", "null", '"}"', '"a\\"b"', '"{,"', "[1, {}]", '"\\\\"', '"\\ud83d\\ude00"']
    if depth < 3:
        values += [random_object(chance, depth + 1)]
    keys = ["a", "b", "ab", 'q\\"', "\\u0061", "{", "", "é", "\\\\", "1"]
    members = (
        f'{space()}"{chance.choice(keys)}"{space()}:{space()}{chance.choice(values)}{space()}'
        for _ in range(chance.randrange(5))
    )
    return f"{{{','.join(members) or space()}}}{space()}"


# Query strings


def test_query_parameters_are_read_by_the_types_of_their_fields():
    message = deployments(("status", "failed"), ("page", "2"), ("environment", "a b"))

    assert message == deploy_pb2.ListDeploymentsRequest(
        app_id=ID, status=deploy_pb2.DEPLOYMENT_STATUS_FAILED, page=2, environment="a b"
    )


@pytest.mark.parametrize("key", ["started_at:gte", "started_at.gte"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00.000250Z",
        "2026-01-31t12:00:00.00025z",
        "2026-01-31T14:00:00.000250+02:00",
        "2026-01-31T14:00:00.000250 02:00",
        "2026-01-31 06:30:00.000250-05:30",
    ],
)
def test_a_filter_by_time_accepts_any_offset(key, text):
    moment = deployments((key, text)).started_at.gte

    assert moment.ToDatetime(UTC) == datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key", "text", "field"),
    [
        ("page", "one", "page"),
        ("page", "1.5", "page"),
        ("page", "1_0", "page"),
        ("page", "1e99999999", "page"),
        ("page", "", "page"),
        ("page", "2147483648", "page"),
        ("status", "nope", "status"),
        ("status", "unspecified", "status"),
        ("live_at", "2026-01-31", "live_at"),
        ("live_at", "2026-02-30T00:00:00Z", "live_at"),
        ("live_at", "2026-01-31T12:00:00", "live_at"),
        ("live_at", "0001-01-01T00:00:00+01:00", "live_at"),
        ("started_at:lte", "now", "started_at.lte"),
        ("environment", "\udcff", "environment"),
        ("environment", " ", "environment"),
        ("created_at:gte", "2026-01-31T12:00:00Z", "created_at:gte"),
        ("started_at:ne", "2026-01-31T12:00:00Z", "started_at:ne"),
        ("nobody", "knows", "nobody"),
    ],
)
def test_a_wrong_query_parameter_is_named(key, text, field):
    assert list(wrong_fields(deployments, (key, text))) == [field]


def test_an_unknown_filter_is_refused_with_the_lists_filters():
    assert wrong_fields(deployments, ("nobody", "knows")) == {
        "nobody": "must be a filter of this list: environment, live_at, page, page_size, sort, "
        "started_at:gt, started_at:gte, started_at:lt, started_at:lte, status"
    }


@pytest.mark.parametrize("text", ["2", "2.0", "20e-1", "0.2e1"])
def test_an_integer_in_a_query_may_be_written_with_a_fraction_or_exponent(text):
    assert deployments(("page", text)).page == 2


def test_a_duplicated_query_parameter_is_named():
    assert wrong_fields(deployments, ("page", "1"), ("page", "2")) == {"page": "must not be given twice"}


def test_an_id_in_the_path_has_precedence_over_the_query():
    assert deployments(("app_id", "other")).app_id == ID


# Answers


def test_an_answer_has_zero_values_and_omits_unset_optional_fields():
    written = json.loads(
        writer(workflow_pb2.GetVersionResponse.DESCRIPTOR)(
            workflow_pb2.GetVersionResponse(data=workflow_pb2.Version(archived_by=""))
        )
    )

    assert written == {
        "data": {
            "id": "", "version": 0, "label": "", "description": "", "workflow_id": "", "current": False, "digest": "",
            "canvas_digest": "", "created_by": "", "created_by_name": "", "archived_by": "",
        }
    }  # fmt: skip


def test_an_answer_has_empty_lists():
    write = writer(workflow_pb2.ListVersionsResponse.DESCRIPTOR)

    assert write(workflow_pb2.ListVersionsResponse(pagination=workflow_pb2.Pagination())) == (
        b'{"data":[],"pagination":{"page":0,"page_size":0,"page_count":0,"total_count":0}}'
    )


def test_an_answer_has_short_names_for_enums_and_times_in_utc():
    workflow = workflow_pb2.Workflow(
        status=workflow_pb2.WORKFLOW_STATUS_DRAFT,
        created_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        updated_at=datetime(2026, 1, 31, 12, 0, 0, 250, tzinfo=UTC),
    )

    written = json.loads(writer(workflow_pb2.Workflow.DESCRIPTOR)(workflow))

    assert written["status"] == "draft"
    assert written["created_at"] == "2026-01-31T12:00:00Z"
    assert written["updated_at"] == "2026-01-31T12:00:00.000250Z"


@pytest.mark.parametrize("text", ['quote " back \\ slash', "\x00\x1f\n", "é\u2028😀", "</script>"])
def test_an_answer_has_any_string_as_valid_json(text):
    written = writer(workflow_pb2.Version.DESCRIPTOR)(workflow_pb2.Version(description=text))

    assert json.loads(written.decode())["description"] == text


def test_an_answer_has_documents_byte_for_byte():
    document = rb' { "b" : 9007199254740993 , "a":"\u0000\ud83d\ude00" } '
    workflow = workflow_pb2.Workflow(flow=workflow_pb2.Json(utf8=document))

    assert b'"flow":' + document + b"," in writer(workflow_pb2.Workflow.DESCRIPTOR)(workflow)
