"""Why an image could not be had, in the words that ECS uses, with the cause that podman gave.

Source of the words: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
"""

import re

from portside.domain.image import NO_SPACE


class PullFailed(Exception):
    """`str()` begins with CannotPullContainerError. `passing`: the network was at fault, not the name. `denied`: the
    registry does not let whoever asked in."""

    def __init__(self, message: str, *, passing: bool, denied: bool = False) -> None:
        super().__init__(message)
        self.passing, self.denied = passing, denied


_DENIED = "pull access denied, repository does not exist or may require authorization"


def _status(code: int, phrase: str) -> str:
    """An HTTP status as clients write it: never digits within a port or a digest."""
    return rf"\b(?:status(?: code)?:?|StatusCode:?|HTTP) {code}\b|\b{code} \({phrase}\)|\b{code} {phrase}"


# In this order: "unauthorized" answers of Docker Hub also say that the repository may not exist.
_CAUSES: tuple[tuple[str, str, bool], ...] = (
    (r"no space left on device|disk quota exceeded", NO_SPACE, False),
    (
        r"unauthorized|denied|authentication required|insufficient_scope|" + _status(403, "Forbidden"),
        _DENIED,
        False,
    ),
    (
        r"manifest unknown|not found|no such image|name unknown|does not exist|" + _status(404, "Not Found"),
        "not found",
        False,
    ),
    (r"i/o timeout|timeout|deadline exceeded|Client\.Timeout", "i/o timeout", True),
    (r"no route to host|network is unreachable", "network is unreachable", True),
    (r"no such host|lookup .* on |server misbehaving|Temporary failure in name resolution", "no such host", True),
    (r"connection refused", "connection refused", True),
    (r"x509|certificate|HTTP response to HTTPS", "certificate not accepted", False),
    (r"toomanyrequests|" + _status(429, "Too Many Requests"), "429 Too Many Requests", True),
)


def wrong_platform(platform: str) -> PullFailed:
    """The image has no variant for that platform, `linux/amd64` say."""
    return PullFailed(
        f"CannotPullContainerError: image Manifest does not contain descriptor matching platform '{platform}'",
        passing=False,
    )


def pull_failed(reference: str, cause: str, *, not_found: bool = False) -> PullFailed:
    """The error for what podman wrote on its standard error."""
    detail = _last_words(cause)
    other = re.search(r"no image found in (?:manifest list|image index) for architecture \"?(\w+)", cause)
    if other is not None:
        return wrong_platform(f"linux/{other[1]}")
    words, passing = ("not found", False) if not_found else ("", False)
    if not words:
        for pattern, candidate, is_passing in _CAUSES:
            if re.search(pattern, cause, re.IGNORECASE):
                words, passing = candidate, is_passing
                break
    parts = [each for each in (words, detail) if each]
    return PullFailed(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {reference}: {': '.join(parts)}",
        passing=passing,
        denied=words == _DENIED,
    )


def _last_words(text: str) -> str:
    """The error line of podman, or of skopeo, without its own prefix, without progress, short enough for a stopped
    reason (1,024)."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = (
        re.search(r'level=fatal msg="(?:Error parsing image name \\"[^"]*\\": )?(.*)"$', lines[-1]) if lines else None
    )
    if fatal is not None:
        return fatal[1].replace('\\"', '"')[:700]
    errors = [line for line in lines if line.startswith("Error:")] or lines[-1:]
    joined = " ".join(errors).removeprefix("Error:").strip()
    return joined[:700]
