"""The one error that the command line shows to a person: what is wrong, and what to do about it."""


class Failure(Exception):
    """Ends a command with exit code 1.

    Args:
        message: what is wrong, in one sentence.
        advice: what to do, one line each.
    """

    def __init__(self, message: str, *advice: str) -> None:
        super().__init__(message)
        self.message, self.advice = message, advice
