"""What is wrong with a document: the first problems, and how many more there are."""

from service_kit.paths import Path, shown

MAX_PROBLEMS = 100


class Problems(dict[str, str]):
    """The path of each problem, and a sentence. Of what exceeds MAX_PROBLEMS, only the number is kept."""

    more = 0

    def with_number_of_more(self, root: str) -> dict[str, str]:
        """With an entry for `root` that says how many more there are, if there are any."""
        return self if not self.more else {**self, root: f"has {self.more:,} more problems"}

    def add(self, path: Path, sentence: str) -> None:
        if len(self) < MAX_PROBLEMS:
            self[shown(path)] = sentence
        else:
            self.more += 1
