"""Whether a value matches a caller's regular expression: asked of a process of its own, since such an expression can
take for ever, and nothing ends a match once it has begun."""

import asyncio
import json
import sys
from typing import Final

from portside.aws.service import ServiceError

TIMEOUT_S: Final = 2.0
_PROGRAM: Final = """
import json, re, sys
pattern, value = json.load(sys.stdin)
try:
    sys.exit(0 if re.search(pattern, value) else 3)
except re.error:
    sys.exit(4)
"""


async def check(pattern: str, value: str) -> None:
    """Raises ServiceError: InvalidAllowedPatternException, ParameterPatternMismatchException."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", _PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await child.communicate(json.dumps([pattern, value]).encode())
    except TimeoutError:
        raise ServiceError(
            "InvalidAllowedPatternException", f"Matching the value against {pattern} takes too long."
        ) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode == 3:
        raise ServiceError(
            "ParameterPatternMismatchException",
            f"Parameter value, cannot be validated against allowedPattern: {pattern}",
        )
    if child.returncode != 0:
        raise ServiceError("InvalidAllowedPatternException", f"The pattern is not a regular expression: {pattern}")
