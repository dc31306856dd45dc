"""An open loop above the highest rate: accepted calls, refused calls, and the time to recover."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service_kit.pb.flowpin.workflow.v1 import workflow_pb2
from tests.load.bench import h2load, metrics
from tests.load.bench.bystander import BystanderCall, GrpcCaller
from tests.load.bench.context import WORKFLOW, Bench
from tests.load.bench.h2load import Answer, Clients
from tests.load.bench.percentile import median, percentiles
from tests.load.bench.request import Request, post
from tests.load.bench.result import Load, Row, Target, Unmeasurable
from tests.load.bench.seeds import Seeds

SAVES_TIMES, READS_TIMES = 4.0, 1.5
REFUSALS = (429, 503)
OPENING_SECONDS = 2
"""The first seconds, in which the generator opens thousands of connections. They are reported separately."""
NORMAL_TIMES = 3.0
CALM_CALLS = 5
HANDLED = 90.0
"""Minimum percent of offered calls that are answered. The generator needs a moment to reach its rate."""
GRPC_CONNECTIONS = 64
GRPC_REFUSALS = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")


def saves(bench: Bench, seeds: Seeds) -> list[Row]:
    requests = [post(f"{history.path}/save", bench.content.body) for history in seeds.spread]
    return _overload_rows(bench, "Overload, saves", requests, SAVES_TIMES)


def reads(bench: Bench, seeds: Seeds) -> list[Row]:
    return _overload_rows(bench, "Overload, reads", [Request(path) for path in seeds.read.version_paths], READS_TIMES)


def grpc(bench: Bench, seeds: Seeds) -> list[Row]:
    """Count by the service's metrics, because every answer is a 200 in HTTP, and by another caller's codes. The
    metrics do not have calls that gRPC itself refuses."""
    read = workflow_pb2.GetVersionRequest(workflow_id=seeds.read.workflow_id, version=seeds.read.version_ids[0])
    method, headers = f"{WORKFLOW}/GetVersion", bench.stack.headers
    port, seconds = bench.stack.metrics_ports["workflow"], OPENING_SECONDS + bench.seconds(60, 2)
    peak = bench.grpc(method, read, bench.seconds(5, 1), clients=Clients(GRPC_CONNECTIONS)).rate
    offered = READS_TIMES * peak
    with GrpcCaller(bench.stack.workflow_grpc, method, read, headers) as caller:
        usual = median(caller.timed() for _ in range(20))
        before = metrics.handled(port, "GetVersion")
        with caller.beside() as told:
            load, every = h2load.drive(
                [f"http://{bench.stack.workflow_grpc}/{method}"],
                {**h2load.GRPC_HEADERS, **headers},
                seconds,
                bench.scratch,
                body=h2load.grpc_frame(read.SerializeToString()),
                clients=Clients(GRPC_CONNECTIONS, streams=100, rps=offered / GRPC_CONNECTIONS),
            )
            answered = load.count + len(told)
            codes = metrics.handled(port, "GetVersion") - before
        calm_after = _calm_after(caller.timed, NORMAL_TIMES * usual)
    peak = (peak + bench.grpc(method, read, bench.seconds(5, 1), clients=Clients(GRPC_CONNECTIONS)).rate) / 2
    opening, answers = _split_opening(every)
    unseen = max(0, answered - codes.total())
    failed = unseen + sum(codes[code] for code in codes if code not in ("OK", "CANCELLED", *GRPC_REFUSALS))
    note = (
        f"open loop, {offered:,.0f}/s offered for {seconds:.0f} s, by grpc-status: {dict(codes)}; {unseen:,} turned "
        f"away by gRPC itself; {max(0.0, 100 - 100 * load.count / (offered * seconds)):.0f} % of it was not sent, as a "
        f"connection has at most so many calls in progress"
    )
    raw = {"codes": dict(codes), "http_errors": load.errors, "peak": peak, "unseen": unseen}
    accepted = codes["OK"] / seconds
    if failed:
        note += "; other failures than refusals count as nothing accepted"
        accepted = 0.0
    name = "Overload, gRPC reads"
    return [
        _accepted(name, replace(load, rate=accepted), peak, note, raw),
        _p99(
            f"{name}: p99",
            [answer.took_us / 1000 for answer in answers],
            "of all answers, refusals too: h2load does not tell them apart",
        ),
        *_bystander_rows(name, told),
        _normal_after(name, calm_after),
        _opening(name, opening),
    ]


def _bystander_rows(name: str, told: Sequence[BystanderCall]) -> list[Row]:
    accepted = [call.took_ms for call in told if call.code == "OK"]
    refused = [call.took_ms for call in told if call.code in GRPC_REFUSALS]
    percent = 100 * (len(accepted) + len(refused)) / len(told)
    codes = dict(Counter(call.code for call in told))
    said = f"what another caller's gRPC library told it, OK or a refusal, of fifty calls a second: {codes}"
    return [
        _answered(name, percent, said),
        _p99(f"{name}: another's p99", accepted, "of that caller's calls that were accepted"),
        _refusals(name, refused, "p99 of what it was refused", "nothing was refused"),
    ]


def _overload_rows(bench: Bench, name: str, requests: Sequence[Request], times: float) -> list[Row]:
    peak = bench.peak(requests)
    seconds, offered = bench.seconds(60, 4), times * peak
    first = requests[0]
    with bench.caller() as caller:
        usual = median(caller.timed(first) for _ in range(20))
        urls = [bench.stack.url + one.path for one in requests]
        headers = {**bench.stack.headers, **first.headers}
        every = h2load.open_loop(urls, headers, OPENING_SECONDS + seconds, bench.scratch, rate=offered, body=first.body)
        calm_after = _calm_after(lambda: caller.timed(first), NORMAL_TIMES * usual)
    opening, answers = _split_opening(every)
    peak = (peak + bench.peak(requests)) / 2
    return [*_judged(name, answers, peak, offered, seconds, calm_after), _opening(name, opening)]


def _split_opening(answers: Sequence[Answer]) -> tuple[list[Answer], list[Answer]]:
    """The answers to calls of the opening seconds, and to later calls."""
    open_at = min(answer.sent_us for answer in answers) + OPENING_SECONDS * 1_000_000
    return (
        [answer for answer in answers if answer.sent_us < open_at],
        [answer for answer in answers if answer.sent_us >= open_at],
    )


def _opening(name: str, answers: Sequence[Answer]) -> Row:
    return Row(
        f"{name}: opening",
        value=percentiles((answer.took_us / 1000 for answer in answers), 99)[0],
        unit="ms",
        note=f"p99 of all answers in the {OPENING_SECONDS} s before, in which the connections are opened; no target",
    )


def _judged(
    name: str, answers: Sequence[Answer], peak: float, offered: float, seconds: float, calm_after: float
) -> list[Row]:
    accepted = [answer.took_us / 1000 for answer in answers if 200 <= answer.status < 300]
    refused = [answer.took_us / 1000 for answer in answers if answer.status in REFUSALS]
    broken = len(answers) - len(accepted) - len(refused)
    # Includes calls that the generator could not send, as all its connections waited.
    rest = max(0.0, offered * seconds - len(accepted))
    handled = 100 * (1 - max(0.0, rest - len(refused)) / (offered * seconds)) if not broken else 0.0
    p50, p99 = percentiles(accepted, 50, 99)
    note = (
        f"open loop, {offered:,.0f}/s offered ({offered / peak:.1f} times what it keeps up with, before and after) "
        f"for {seconds:.0f} s: "
        f"{len(accepted):,} accepted, {len(refused):,} refused, {broken:,} answered in other ways"
    )
    raw = {"statuses": dict(Counter(answer.status for answer in answers)), "peak": peak, "offered": offered}
    found = Load(len(accepted) / seconds, p50, p99, len(answers), broken)
    return [
        _accepted(name, found, peak, note, raw),
        _p99(f"{name}: p99", accepted, "of what was accepted"),
        _answered(
            name,
            handled,
            "of what was offered, accepted or refused with 429 or 503; 0 when something was answered otherwise",
        ),
        _refusals(name, refused, "p99 of the 429s and 503s", "nothing was refused with 429 or 503"),
        _normal_after(name, calm_after),
    ]


def _accepted(name: str, found: Load, peak: float, note: str, raw: Mapping[str, object]) -> Row:
    percent = 100 * found.rate / peak
    return Row(f"{name}: accepted", found, peak, percent, target=Target.at_least(80, "%"), note=note, raw=raw)


def _p99(name: str, took_ms: Sequence[float], note: str) -> Row:
    return Row(name, value=percentiles(took_ms, 99)[0], target=Target.at_most(1000, "ms"), note=note)


def _answered(name: str, percent: float, note: str) -> Row:
    return Row(f"{name}: answered", value=percent, target=Target.at_least(HANDLED, "%"), note=note)


def _refusals(name: str, took_ms: Sequence[float], note: str, without: str) -> Row:
    value = percentiles(took_ms, 99)[0] if took_ms else None
    return Row(f"{name}: refusals", value=value, target=Target.at_most(100, "ms"), note=note if took_ms else without)


def _normal_after(name: str, calm_after: float) -> Row:
    return Row(
        f"{name}: normal after",
        value=calm_after,
        target=Target.at_most(2, "s"),
        note="until five calls in a row take less than 3 times the usual",
    )


def _calm_after(timed: Callable[[], float], limit_ms: float) -> float:
    """Seconds until calls take the usual time again: until the first of five such calls in a row."""
    began, calm, since = time.monotonic(), 0, 0.0
    while calm < CALM_CALLS and time.monotonic() - began < 15:
        sent = time.monotonic()
        try:
            took = timed()
        except Unmeasurable:  # still refused
            took = limit_ms + 1
            time.sleep(0.02)
        if took > limit_ms:
            calm = 0
        else:
            since = since if calm else sent - began
            calm += 1
    return since if calm else time.monotonic() - began
