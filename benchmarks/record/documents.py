"""JSON documents of a named format and schema, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import errno
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

Positive = Annotated[float, msgspec.Meta(gt=0)]
"""A float above zero, which reading a document checks."""

DAMAGE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RecordError(ValueError):
    """Raised for a file that this version cannot read as a record; the message gives reason and remedy."""


@dataclasses.dataclass(frozen=True)
class _Head:
    format: Any = None
    schema: Any = None


def content_of(path: Path) -> bytes:
    """The content of a file or a pipe; raises OSError, for a device too."""
    mode = path.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise OSError(errno.EINVAL, "a device", str(path))  # some have no end
    return path.read_bytes()


def encoded(content: Any, form: str, schema: int) -> bytes:
    """The dataclass `content` as a document of the format `form`.

    Raises ValueError for NaN and infinity, which JSON does not have.
    """
    document = {"format": form, "schema": schema, **dataclasses.asdict(content)}
    # Not by msgspec, which would write NaN as null.
    return f"{json.dumps(document, indent=1, allow_nan=False)}\n".encode()


def read(
    kind: type[T],
    path: Path,
    form: str,
    schema: int,
    again: str,
    renewed: Callable[[Any], Any] | None = None,
    content: bytes | None = None,
) -> T:
    """The document of the format `form` at `path`, as the dataclass `kind`.

    `renewed` converts the content of the previous schema to this one, both as JSON. `content` is what was
    read at `path` before, as a pipe can be read only once.

    Raises RecordError with the place, what was expected, what was got and the remedy (`again` describes how
    to make a new document), and OSError if there is no file.
    """
    content = content_of(path) if content is None else content
    if not content.strip():
        raise RecordError(f"{path}: expected a {form}, got an empty file; {again} to write a new one")
    try:
        head = msgspec.json.decode(content, type=_Head)
    except msgspec.ValidationError:
        head = _Head()
    except DAMAGE as error:
        raise RecordError(
            f"{path}: expected a {form}, got a truncated or damaged file ({error}); {again} to write another"
        ) from error
    if head.format != form:
        raise RecordError(f"{path}: expected a {form}, got the file of another tool; {again} to write one")
    if renewed is not None and head.schema == schema - 1:
        try:
            return msgspec.convert(renewed(msgspec.json.decode(content)), type=kind)
        except (msgspec.ValidationError, LookupError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path}: expected a whole {form} of schema {schema - 1}, got {error!r}; "
                f"{again} to write a new one"
            ) from error
    if head.schema != schema:
        newer = isinstance(head.schema, int) and head.schema > schema
        remedy = "update gradrace to read it" if newer else f"{again} to write a new one"
        raise RecordError(f"{path}: expected schema {schema}, got {head.schema!r}; {remedy}")
    try:
        return msgspec.json.decode(content, type=kind)
    except DAMAGE as error:
        raise RecordError(f"{path}: {_placed(error)}; {again} to write a new one") from error


def _placed(error: Exception) -> str:
    """msgspec's message with the place first: "measurements[0].seconds[1]: Expected `float`, got `str`"."""
    words, _, place = str(error).partition(" - at ")
    place = place.strip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {words}" if place else words
