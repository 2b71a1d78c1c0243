"""Keys, from the bytes that a terminal sends for them. Pure."""

from typing import Final

_SEQUENCES: Final = {
    "\x1b": "esc",
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[C": "right",
    "\x1bOC": "right",
    "\x1b[D": "left",
    "\x1bOD": "left",
    "\x1b[5~": "page-up",
    "\x1b[6~": "page-down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
}
_NAMES: Final = {
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x06": "page-down",
    "\x02": "page-up",
}


def keys(text: str, *, is_all: bool) -> tuple[list[str], str]:
    """The keys, and what may be the beginning of one.

    Args: is_all: no more comes soon, so that a lone escape is that key."""
    found: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\x1b":
            found.append(_NAMES.get(text[at], text[at]))
            at += 1
            continue
        sequence = _sequence(text[at:])
        if sequence is None:
            if not is_all:
                return found, text[at:]
            found.append("esc")
            at += 1
        else:
            found.append(_SEQUENCES.get(sequence, ""))
            at += len(sequence)
    return [each for each in found if each], ""


def _sequence(text: str) -> str | None:
    """The control sequence that a text begins with; None if it has not ended. Source: ECMA-48, 5.4."""
    if len(text) < 2:
        return None
    if text[1] == "O":
        return text[:3] if len(text) > 2 else None
    if text[1] != "[":
        return text[:1] if text[1] == "\x1b" else text[:2]
    for end, character in enumerate(text[2:], 3):
        if "@" <= character <= "~":
            return text[:end]
    return None
