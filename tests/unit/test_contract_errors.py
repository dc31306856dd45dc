"""The comparison of listed errors with raised errors names what is missing on either side."""

from tests.support.contract_errors import RPCS, Refusal, unlisted, unraised

SAVE = "flowpin.workflow.v1.WorkflowService.SaveWorkflow"
GET = "flowpin.workflow.v1.WorkflowService.GetWorkflow"
CONFLICT = Refusal(SAVE, "ABORTED", "VERSION_CONFLICT")


def said(*raised: Refusal) -> set[str]:
    return {*unraised(raised), *unlisted(dict.fromkeys(raised, "test_x"))}


def test_a_listed_error_that_no_test_raises_is_named():
    line = "listed, but no test raises it: flowpin.workflow.v1.WorkflowService.SaveWorkflow ABORTED VERSION_CONFLICT"

    assert line in said()
    assert line not in said(CONFLICT)


def test_an_error_of_every_rpc_has_to_be_raised_by_one_rpc_of_the_service():
    line = (
        "listed for every RPC, but no test raises it: flowpin.workflow.v1.WorkflowService UNAUTHENTICATED TOKEN_INVALID"
    )

    assert line in said()
    assert line not in said(Refusal(GET, "UNAUTHENTICATED", "TOKEN_INVALID"))


def test_an_idempotency_error_has_to_be_raised_by_every_rpc_that_reads_a_key():
    reused = [Refusal(name, "ABORTED", "IDEMPOTENCY_KEY_REUSED") for name in RPCS]

    missing = [line for line in said() if line.endswith("IDEMPOTENCY_KEY_REUSED")]

    assert len(missing) == 13
    assert said(*reused).isdisjoint(missing)
    assert f"raised, but not listed: {GET} ABORTED IDEMPOTENCY_KEY_REUSED, in test_x" in said(*reused)


def test_a_raised_error_that_is_not_listed_is_named_with_its_test():
    raised = Refusal(GET, "ABORTED", "VERSION_CONFLICT")

    assert f"raised, but not listed: {GET} ABORTED VERSION_CONFLICT, in test_x" in said(raised)


def test_an_error_outside_the_contracts_is_ignored():
    assert said(Refusal("test.Streams.UnaryUnary", "ABORTED", "OTHER")) == said()
