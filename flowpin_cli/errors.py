"""What keeps a one-machine run from going on, as a sentence for the person at the terminal."""


class CannotRun(Exception):
    """The run cannot start or go on; the message says why, and what to do."""
