"""The first problems of a document, and the number of further ones."""

from service_kit.paths import Path, shown

MAX_PROBLEMS = 100


class Problems(dict[str, str]):
    """The path and a sentence of each problem. Beyond MAX_PROBLEMS only their number is kept."""

    more = 0

    def with_number_of_more(self, root: str) -> dict[str, str]:
        """The problems as a dict. An entry for `root` says how many further ones there are, if any."""
        return self if not self.more else {**self, root: f"has {self.more:,} more problems"}

    def add(self, path: Path, sentence: str) -> None:
        if len(self) < MAX_PROBLEMS:
            self[shown(path)] = sentence
        else:
            self.more += 1
