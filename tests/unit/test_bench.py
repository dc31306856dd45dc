"""How the bench reads its load generators' output, and the tables, pictures and JSON that it writes."""

import itertools
import json
import math
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from tests.load.bench import h2load, metrics, pgbench, recording, wrk
from tests.load.bench.bystander import GrpcCaller
from tests.load.bench.context import comparison
from tests.load.bench.percentile import median, percentiles
from tests.load.bench.recording import Statement
from tests.load.bench.report.files import as_json
from tests.load.bench.report.markdown import markdown
from tests.load.bench.report.picture import svg
from tests.load.bench.report.summary import summary
from tests.load.bench.request import post
from tests.load.bench.result import TIMES, Load, Row, Target, Unmeasurable, shown
from tests.load.bench.run import Found

H2LOAD = """\
finished in 501.68ms, 46.00 req/s, 18.75KB/s
requests: 23 total, 25 started, 23 done, 22 succeeded, 1 failed, 0 errored, 0 timeout
status codes: 22 2xx, 0 3xx, 0 4xx, 1 5xx
"""
H2LOAD_LOG = ["1795306172845582\t200\t3499", "1795306172845576\t200\t6829\tmore", "1795306172849115\t503\t44045"]
WRK = """\
Running 1s test @ http://127.0.0.1:8080
  1 threads and 32 connections
Requests/sec:   1508.12

{"requests": 1520, "seconds": 1.007913, "p50_us": 20120, "p99_us": 44010, "refused": 20, "broken": 1, "bytes": 99}
"""
PGBENCH = """\
transaction type: /tmp/script.sql
number of transactions actually processed: 3000
number of failed transactions: 0 (0.000%)
latency average = 0.999 ms
tps = 1001.500000 (without initial connection time)
"""
METRICS = """\
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="Ping",grpc_service="flowpin.identity.v1.IdentityService"} 12345.0
grpc_server_handled_total{grpc_code="OK",grpc_method="GetMe",grpc_service="flowpin.identity.v1.IdentityService"} 2.0
grpc_server_handled_total{grpc_code="CANCELLED",grpc_method="Ping",grpc_service="flowpin.identity.v1.IdentityService"} 1e+06
"""  # noqa: E501 - as it is served
MET = Row("Met", Load(1000, 1, 2, 500, cpu_us={"gateway": 100, "deploy": 0}), 1200, 80, "", Target.at_least(75, "%"))
MISSED = Row("Missed <&|", value=20, target=Target.at_most(15, "ms"), note="why")
PROBLEM = Row("Problem", problem="wrk is missing: apt install wrk")
AS_MUCH = Row("As much", value=20, target=Target.at_least(75, "%"), stripped=90)
ROWS = [MET, MISSED, AS_MUCH, PROBLEM, Row("Without a target", value=17, unit="%")]
MACHINE = {"date": "2026-11-21", "load_before": 0.1} | dict.fromkeys(
    ("commit", "cores", "cpu", "memory_gb", "kernel", "python"), "x"
)


def test_a_percentile_is_one_of_the_measured_values():
    assert percentiles(range(1, 101), 50, 99, 100) == (50, 99, 100)
    assert percentiles([7.0], 50, 99) == (7.0, 7.0)
    assert math.isnan(percentiles([], 99)[0])
    assert (median([3, 1, 2]), median([4, 1, 2, 3])) == (2, 2.5)


def test_h2load_rates_count_successes_and_percentiles_come_from_its_log():
    answers = list(h2load.read_log(H2LOAD_LOG))

    load = h2load.parse(H2LOAD, answers)

    assert [answer.status for answer in answers] == [200, 200, 503]
    assert load.rate == pytest.approx(22 / 0.50168)
    assert (load.p50_ms, load.p99_ms, load.count, load.errors) == (3.499, 6.829, 23, 1)


def test_a_grpc_frame_is_a_flag_a_length_and_the_message():
    assert h2load.grpc_frame(b"abc") == b"\0\0\0\0\x03abc"


def test_wrk_rates_count_successes():
    load = wrk.parse(WRK)

    assert load.rate == pytest.approx(1500 / 1.007913)
    assert (load.p50_ms, load.p99_ms, load.count, load.errors) == (20.12, 44.01, 1520, 21)


def test_a_body_with_quotes_and_newlines_is_escaped_for_lua():
    script = wrk._script([post("/v1/x", b'{"a": "\\n"}\n')], {"authorization": "Bearer t"})

    assert b'body = "{\\"a\\": \\"\\\\n\\"}\\n"' in script
    assert b'["authorization"] = "Bearer t"' in script


def test_pgbench_percentiles_come_from_its_log():
    load = pgbench.parse(PGBENCH, [900, 1000, 5000])

    assert load == Load(1001.5, 1.0, 5.0, 3000)


@pytest.mark.parametrize(
    "parse", [lambda text: h2load.parse(text, []), wrk.parse, lambda text: pgbench.parse(text, [])]
)
def test_a_load_generator_that_reports_nothing_is_unmeasurable(parse):
    with pytest.raises(Unmeasurable):
        parse("Segmentation fault")


def test_a_pgbench_run_with_a_failed_transaction_is_unmeasurable():
    with pytest.raises(Unmeasurable):
        pgbench.parse(PGBENCH.replace("transactions: 0", "transactions: 3"), [])


def test_rpcs_in_metrics_are_counted_by_code():
    assert metrics.parse(METRICS, "Ping") == {"OK": 12345, "CANCELLED": 1_000_000}


class EverySecondCall(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in its stubs only
    """A server that answers every second call and refuses the others."""

    def __init__(self) -> None:
        self._number = itertools.count(1)

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        if next(self._number) % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        return message


def test_the_bystander_records_the_code_and_time_of_each_call():
    server = grpc.server(ThreadPoolExecutor(1), [EverySecondCall()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with GrpcCaller(f"127.0.0.1:{port}", "a.B/C", Empty(), {"authorization": "Bearer x"}) as caller:
        with pytest.raises(Unmeasurable, match="too many"):
            caller.timed()
        assert 0 < caller.timed() < 5_000
        with caller.beside() as told:
            time.sleep(0.5)
    server.stop(None).wait()

    codes = Counter(call.code for call in told)
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
    assert abs(codes["OK"] - codes["RESOURCE_EXHAUSTED"]) <= 1
    assert codes.total() > 5
    assert all(0 < call.took_ms < 5_000 for call in told)


def test_each_round_of_load_is_compared_with_the_ceilings_measured_around_it():
    ceilings = [Load(rate, 1, 1, 1) for rate in (100, 200, 100, 300)]

    found = comparison([Load(rate, 1, 1, 1) for rate in (75, 90, 20)], ceilings)

    assert found.raw["ratios"] == [0.5, 0.6, 0.1]
    assert (found.percent, found.ours.rate, found.ceiling.rate) == (50, 75, 150)
    assert math.isnan(found.cpu_ratio)


def test_the_cpu_of_a_call_is_the_sum_over_processes_relative_to_the_ceiling():
    ceilings = [Load(100, 1, 1, 1, cpu_us={"gateway": us, "postgres": 50}) for us in (50, 150, 50, 150)]
    ours = [Load(100, 1, 1, 1, cpu_us={"gateway": us, "workflow": 50}) for us in (250, 400, 10)]

    assert comparison(ours, ceilings).cpu_ratio == 2


def test_replayed_statements_have_new_ids_and_reuse_returned_values():
    known, shared, once = (UUID(int=number) for number in (1, 2, 3))
    sent = [
        Statement("BEGIN", ()),
        Statement("UPDATE apps SET n = n + 1 WHERE id = $1 RETURNING n", (known,), [{"n": 7}]),
        Statement("INSERT INTO a VALUES ($1, $2, $3, $4)", (shared, 7, None, b'{"a": 1}')),
        Statement("INSERT INTO b VALUES ($1, $2, $3)", (once, shared, b"\xff")),
        Statement("SELECT unnest($1::int[]), unnest($2::bool[])", ([7, 8], [True]), [{"unnest": 7}]),
        Statement("COMMIT", ()),
    ]

    script = recording.script(sent, {known})

    assert script.sql.splitlines() == [
        "SELECT uuidv7() AS new_0 \\gset",
        "BEGIN;",
        "UPDATE apps SET n = n + 1 WHERE id = :p0 RETURNING n \\gset s1_",
        "INSERT INTO a VALUES (:new_0, :s1_n, NULL, :p1);",
        "INSERT INTO b VALUES (uuidv7(), :new_0, :p2);",
        "SELECT unnest(ARRAY[:s1_n, :p3]::int[]), unnest(:p4::bool[]) \\gset s4_",
        "COMMIT;",
    ]
    assert script.variables == {"p0": str(known), "p1": '{"a": 1}', "p2": "\\xff", "p3": "8", "p4": '{"true"}'}


def test_a_bench_row_is_judged_by_its_target():
    assert [row.verdict for row in ROWS] == ["passed", "missed", "missed, as stripped", "not measured", ""]
    assert replace(AS_MUCH, stripped=84).verdict == "missed"
    assert str(Target.at_least(20, TIMES)) == f"≥ 20{TIMES}"
    assert [shown(value, "ms") for value in (12345.6, 12.34, 1.234, 3.0)] == ["12,346 ms", "12.3 ms", "1.23 ms", "3 ms"]


def test_the_summary_counts_rows_that_the_stripped_programs_miss_too_and_names_every_row_that_did_not_pass():
    assert summary(ROWS) == (
        "1 of 4 rows passed, 1 missed (Missed <&|), 1 missed as the stripped programs miss it (As much), "
        "1 not measured (Problem)"
    )
    assert summary([MET]) == "1 of 1 rows passed, 0 missed, 0 missed as the stripped programs miss it, 0 not measured"


def test_every_summary_counts_rows_that_the_stripped_programs_miss_too():
    assert summary(ROWS) in markdown(ROWS, "here", quick=True)
    assert summary(ROWS) in Found(ROWS, 1.0, Path("out")).summary
    texts = [text.text for text in ElementTree.fromstring(svg(ROWS)).iter("{http://www.w3.org/2000/svg}text")]
    assert {"1 passed", "1 missed", "1 missed, as stripped", "20% (≥ 75%) missed, as stripped"} <= set(texts)


def test_the_markdown_table_has_a_line_per_row_and_names_unmeasured_rows():
    text = markdown(ROWS, "here", quick=True)

    assert "| Met | 1,000 | 1 | 2 | g 100 | 1,200 | 80% | ≥ 75% | passed |" in text.splitlines()
    assert "| Missed <&\\| |  |  |  |  |  | 20 ms | ≤ 15 ms | missed |" in text.splitlines()
    assert "- **Problem**: wrk is missing: apt install wrk" in text.splitlines()


def test_the_bench_picture_is_well_formed_and_has_a_bar_for_each_row_with_a_target():
    picture = ElementTree.fromstring(svg(ROWS))

    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "Met" in texts
    assert "Missed <&|" in texts
    assert "Problem" not in texts


def test_the_bench_json_has_the_raw_figures_and_no_nan():
    rows = [*ROWS, Row("Nothing", Load(0, math.nan, math.nan, 0))]

    document = json.loads(as_json(rows, MACHINE, quick=True, seconds=1.23), parse_constant=pytest.fail)

    assert [row["verdict"] for row in document["rows"]] == [row.verdict for row in rows]
    assert document["rows"][0]["load"]["cpu_us"] == {"gateway": 100, "deploy": 0}
    assert document["rows"][-1]["load"]["p50_ms"] is None
