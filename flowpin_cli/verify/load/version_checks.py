"""Checks of versions: compares the calls to one workflow with its versions after the load."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from flowpin_cli.verify.load.calls import Call
from flowpin_cli.verify.load.kept import KeptVersion
from flowpin_cli.verify.load.operations import Operation, Point, Violation, operations, points, went_back


class VersionHistory:
    """The calls to one workflow, and its versions after the load."""

    def __init__(self, calls: Sequence[Call], kept: Sequence[KeptVersion]) -> None:
        self.calls = calls
        self.kept = kept
        self.saves = operations(calls, "save")
        self.by_id = {version.id: version for version in kept}
        self.by_number = {version.number: version for version in kept}
        self.by_digest = {version.digest: version for version in kept}

    @cached_property
    def effects(self) -> list[tuple[Operation, int]]:
        """The saves that created a version, with its number: the answered one, or that of the version with the sent
        bytes."""
        found = []
        for save in self.saves:
            version = self.by_digest.get(save.calls[0].sent["digest"])
            if save.answers:
                found.append((save, save.call.got["number"]))
            elif version is not None:
                found.append((save, version.number))
        return found

    @cached_property
    def writer(self) -> dict[int, Operation]:
        """The save that created the version, by number."""
        return {number: save for save, number in self.effects}

    @cached_property
    def seen(self) -> list[Point]:
        """The latest versions that reads returned. A 304 counts as the first answer with its ETag."""
        numbers = {
            (call.kind, call.got["etag"]): number
            for call in self.calls
            if call.got.get("etag") and (number := _shown_as_latest(call)) is not None
        }
        found = []
        for call in self.calls:
            if not call.is_answered:
                continue
            unmodified = numbers.get((call.kind, call.got["etag"])) if call.is_unmodified else None
            number = unmodified if call.is_unmodified else _shown_as_latest(call)
            if number is not None:
                found.append(Point(number, call.begin, call.end, call))
        return found


def _shown_as_latest(call: Call) -> int | None:
    """The number of the latest version according to an answer. None if the answer does not contain it."""
    if not call.is_answered or call.is_unmodified:
        return None
    if call.kind == "versions":
        return max(call.got["numbers"], default=None)
    is_latest = call.kind == "workflow" or (
        call.kind == "version" and (call.sent["version"] == "latest" or call.got["current"])
    )
    return int(call.got["number"]) if is_latest else None


def check_kept(history: VersionHistory) -> Iterator[Violation]:
    """Every answered save is stored, with its number and its exact bytes."""
    for save in history.saves:
        for call in save.answers[:1]:
            number, identity = call.got["number"], call.got["id"]
            version = history.by_id.get(identity)
            if version is None:
                there = [history.by_number[number]] if number in history.by_number else []
                yield Violation("saves kept", "An answered save is not there afterwards.", (call, *there))
            elif (version.number, version.digest) != (number, call.sent["digest"]):
                yield Violation(
                    "saves kept", "A save is kept with another number or other bytes than answered.", (call, version)
                )


def check_once(history: VersionHistory) -> Iterator[Violation]:
    """A save takes effect once. One without a known answer takes effect at most once, a refused one never. Numbers have
    no gaps."""
    by_digest = {save.calls[0].sent["digest"]: save for save in history.saves}
    rows_of: dict[str, list[KeptVersion]] = defaultdict(list)
    for version in history.kept:
        rows_of[version.digest].append(version)
    for digest, rows in rows_of.items():
        save = by_digest.get(digest)
        if save is None:
            yield Violation("saves once", "A version holds bytes that nobody sent.", tuple(rows[:1]))
        elif len(rows) > 1:
            yield Violation("saves once", "One save made several versions.", (*save.calls, *rows))
        elif save.outcome == "refused":
            yield Violation("saves once", "A save that was refused made a version.", (save.call, *rows))
    for place, version in enumerate(history.kept, 1):
        if version.number != place:
            around = tuple(history.kept[max(0, place - 2) : place])
            yield Violation("saves once", f"The numbers have a gap or a repeat at {place}.", around)
            break
    first: dict[int, Operation] = {}
    for save, number in history.effects:
        if number in first:
            yield Violation("saves once", "Two saves were given the same number.", (first[number].call, save.call))
        first.setdefault(number, save)


def check_keys(history: VersionHistory) -> Iterator[Violation]:
    """Calls with the same key are answered with the same version."""
    for save in history.saves:
        for call in save.answers[1:]:
            if call.got["id"] != save.call.got["id"]:
                yield Violation("keys once", "A key was answered with two versions.", (save.call, call))


def check_order(history: VersionHistory) -> Iterator[Violation]:
    """A save that was answered or seen before another was sent has a smaller number."""
    saves = points(history.effects)
    for before, after in went_back([*saves, *history.seen], saves, or_stayed=True):
        yield Violation("save order", "A later save has no larger number.", (before.call, after.call))


def check_latest(history: VersionHistory) -> Iterator[Violation]:
    """The latest version never becomes an earlier one, and is never one that was not sent yet."""
    for before, after in went_back([*points(history.effects), *history.seen], history.seen, or_stayed=False):
        name = "etags" if after.call.is_unmodified else "latest forward"
        yield Violation(name, "An older version was shown as the latest.", (before.call, after.call))
    for point in history.seen:
        save = history.writer.get(point.number)
        if save is not None and point.end < save.begin:
            yield Violation("latest forward", "A version was shown before it was sent.", (point.call, save.call))


def check_base(history: VersionHistory) -> Iterator[Violation]:
    """A save from a base is the next version after it. A conflict occurs only if the base was no longer the latest."""
    for save, number in history.effects:
        base = history.by_id.get(save.calls[0].sent.get("base") or "")
        if base is not None and number != base.number + 1:
            winner = history.writer.get(base.number + 1)
            pieces = (base, *((winner.call,) if winner else ()), save.call)
            yield Violation("one winner a base", "Another save from this base had been made already.", pieces)
    for save in history.saves:
        for call in save.calls:
            base = history.by_id.get(call.sent.get("base") or "")
            if base is None or not call.code.endswith("VERSION_CONFLICT"):
                continue
            winner = history.writer.get(base.number + 1)
            if winner is None or winner.begin > call.end or winner is save:
                pieces = (base, *((winner.call,) if winner else ()), call)
                yield Violation("one winner a base", "A conflict, though nobody else had saved from this base.", pieces)


def check_reads(history: VersionHistory) -> Iterator[Violation]:
    """A read returns the version's own bytes and id. Lists have no gaps. A save can be read once it is answered."""
    ended = {number: save.end for save, number in history.effects}
    for call in history.calls:
        if call.kind in ("version", "workflow") and call.is_answered and not call.is_unmodified:
            version = history.by_number.get(call.got["number"])
            if version is None or (version.id, version.digest) != (call.got["id"], call.got["digest"]):
                there = () if version is None else (version,)
                yield Violation("reads exact", "A read showed other bytes than were kept.", (call, *there))
            if call.kind == "version" and call.sent["version"] not in ("latest", str(call.got["number"])):
                yield Violation("reads exact", "A read showed another version than was asked for.", (call,))
        elif call.kind == "version" and call.code.endswith("VERSION_NOT_FOUND"):
            number = 1 if call.sent["version"] == "latest" else int(call.sent["version"])
            if ended.get(number, call.end) < call.begin:
                pieces = (history.writer[number].call, call)
                yield Violation("reads exact", "A version that was answered was not found.", pieces)
        elif call.kind == "versions" and call.is_answered and not call.is_unmodified:
            numbers = call.got["numbers"]
            if numbers and numbers != list(range(numbers[0], numbers[0] - len(numbers), -1)):
                yield Violation("reads exact", "A list leaves a version out or repeats one.", (call,))
            elif call.got["current"] != numbers[:1]:
                yield Violation("reads exact", "A list marks another version than its first as the latest.", (call,))


def check_current(history: VersionHistory) -> Iterator[Violation]:
    """A read says "not the latest", or a 304 confirms it, only after a newer version was sent."""
    not_current = {
        call.got["etag"]: call.got["number"]
        for call in history.calls
        if call.kind == "version" and call.is_answered and call.got.get("etag") and call.got.get("current") is False
    }
    for call in history.calls:
        if call.kind == "version" and call.is_answered and call.got.get("etag") in not_current:
            newer = history.writer.get(not_current[call.got["etag"]] + 1)
            if newer is not None and newer.begin > call.end:
                pieces = (call, newer.call)
                yield Violation("etags", "A version was shown as replaced before a newer one was sent.", pieces)


VERSION_CHECKS = (
    check_kept,
    check_once,
    check_keys,
    check_order,
    check_latest,
    check_base,
    check_reads,
    check_current,
)
