"""XML answers, shared by the query protocol and EC2's: from a result to text, compiled from the model."""

import base64
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from portside.aws.model import Ref, ServiceModel, Shape

Emit = Callable[[Any, list[str]], None]
"""Append the inner text of a value, without its own tag."""

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

# What XML 1.0 cannot carry at all; a client's parser would reject the whole answer.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape(text: str) -> str:
    """Text for an element's content; characters that XML cannot carry become U+FFFD."""
    if _SPECIAL.search(text) is None:
        return text
    text = _FORBIDDEN.sub("\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#13;")


class XmlWriter:
    """Compiles shapes to emitters.

    Args:
        milliseconds: whether times always show them (EC2) or only when there are any.
    """

    def __init__(self, model: ServiceModel, *, milliseconds: bool = False) -> None:
        self._model = model
        self._milliseconds = milliseconds
        self._emitters: dict[str, Emit] = {}

    def emitter(self, ref: Ref) -> Emit:
        """The emitter of a shape, made once."""
        known = self._emitters.get(ref.shape)
        if known is not None:
            return known
        # Shapes may contain themselves: until it is compiled, a shape stands in by name.
        self._emitters[ref.shape] = lambda value, out: self._emitters[ref.shape](value, out)
        made = self._emitters[ref.shape] = self._compile(self._model.shapes[ref.shape], ref.shape)
        return made

    def _compile(self, shape: Shape, name: str) -> Emit:
        match shape.type:
            case "structure":
                return self._structure(shape, name)
            case "list":
                assert shape.member is not None
                element = self._model.shapes[shape.member.shape]
                tag = shape.member.locationName or element.locationName or "member"
                return self._list(shape, tag, name)
            case "map":
                return self._map(shape, "entry")
        text = self._text(shape.type)

        def leaf(value: Any, out: list[str]) -> None:
            out.append(text(value))

        return leaf

    def _structure(self, shape: Shape, name: str) -> Emit:
        members: dict[str, tuple[str, str, Emit]] = {}
        for member, ref in shape.members.items():
            target = self._model.shapes[ref.shape]
            tag = ref.locationName or target.locationName or member
            if (ref.flattened or target.flattened) and target.type == "list":
                assert target.member is not None
                members[member] = ("", "", self._list(target, target.member.locationName or tag, ref.shape))
            elif (ref.flattened or target.flattened) and target.type == "map":
                members[member] = ("", "", self._map(target, tag))
            else:
                members[member] = (f"<{tag}>", f"</{tag}>", self.emitter(ref))

        def structure(value: Any, out: list[str]) -> None:
            for member, item in value.items():
                if item is None:
                    continue
                try:
                    start, end, emit = members[member]
                except KeyError:
                    raise TypeError(f"{name} has no member {member!r}") from None
                out.append(start)
                try:
                    emit(item, out)
                except (TypeError, AttributeError) as error:
                    raise TypeError(f"{name}.{member}: {error}") from None
                out.append(end)

        return structure

    def _list(self, shape: Shape, tag: str, name: str) -> Emit:
        assert shape.member is not None
        emit = self.emitter(shape.member)
        start, end = f"<{tag}>", f"</{tag}>"

        def items(value: Any, out: list[str]) -> None:
            if type(value) is not list and type(value) is not tuple:
                raise TypeError(f"{name} must be a list, not {value!r}")
            for item in value:
                out.append(start)
                emit(item, out)
                out.append(end)

        return items

    def _map(self, shape: Shape, tag: str) -> Emit:
        assert shape.key is not None
        assert shape.value is not None
        key_tag, value_tag = shape.key.locationName or "key", shape.value.locationName or "value"
        emit = self.emitter(shape.value)

        def entries(value: Any, out: list[str]) -> None:
            for key, item in value.items():
                out.append(f"<{tag}><{key_tag}>{escape(key)}</{key_tag}><{value_tag}>")
                emit(item, out)
                out.append(f"</{value_tag}></{tag}>")

        return entries

    def _text(self, kind: str) -> Callable[[Any], str]:
        always = self._milliseconds

        def timestamp(value: Any) -> str:
            if not isinstance(value, datetime) or value.tzinfo is None:
                raise TypeError(f"must be an aware datetime, not {value!r}")
            milliseconds = value.microsecond // 1000
            return value.strftime("%Y-%m-%dT%H:%M:%S") + (f".{milliseconds:03d}Z" if always or milliseconds else "Z")

        return timestamp if kind == "timestamp" else _TEXTS[kind]


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"must be a string, not {value!r}")
    return escape(value)


def _integer(value: Any) -> str:
    if not isinstance(value, int) or value is True or value is False:
        raise TypeError(f"must be an integer, not {value!r}")
    return str(int(value))


def _boolean(value: Any) -> str:
    if value is not True and value is not False:
        raise TypeError(f"must be a boolean, not {value!r}")
    return "true" if value else "false"


def _number(value: Any) -> str:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"must be a number, not {value!r}")
    return repr(value)


def _blob(value: Any) -> str:
    return base64.b64encode(value).decode()


_TEXTS: dict[str, Callable[[Any], str]] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "boolean": _boolean,
    "float": _number,
    "double": _number,
    "blob": _blob,
}
