"""Pre-processing from a note in prose, as model zoos leave it in the metadata key ``preproc``.

A note is clauses between commas. Each must be one of these, at most once of a kind (``x`` is the
stored pixel, 0 to 255; case and spaces do not matter):

========== ========================================================================================
colour     ``RGB``, ``BGR``, ``grey``; ``RGB->BGR`` (files give RGB, the network takes BGR)
values     ``x``, ``x/S``, ``x-M``, ``x/S-M``, ``(x-M)/D`` or ``(x/S-M)/D``, optionally with the
           range that comes out, ``in [0,1]`` or ``approx [-1,1]``: it must be so
values     ``0..255``, optionally ``minus mean M``; M is a number, ``(1,2,3)`` in the order of the
           network's channels, or ``(B104,G117,R123)``
resize     ``short side N`` or ``N resize``: the shorter side before the crop
crop       ``N centre crop``: must be the network's input size
========== ========================================================================================

Nothing is guessed: the clauses that are not understood are told, see `Note.unclear`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

_NUMBER = r"\d+(?:\.\d+)?"
_VALUES = re.compile(
    rf"(?P<open>\()?x(?:/(?P<scale>{_NUMBER}))?(?:-(?P<mean>{_NUMBER}))?"
    rf"(?(open)\)/(?P<std>{_NUMBER}))"
    rf"(?:(?:in|approx)\[(?P<low>-?{_NUMBER}),(?P<high>-?{_NUMBER})\])?"
)
_RAW = re.compile(r"0\.\.255(?:minusmean(?P<mean>.+))?")
_RESIZE = re.compile(r"shortside(\d+)|(\d+)resize")
_CROP = re.compile(r"(\d+)cent(?:re|er)crop")
_COLOURS = {"rgb": "RGB", "bgr": "BGR", "grey": "grey", "gray": "grey", "rgb->bgr": "BGR"}
_LONGEST = 500
_PIXEL_MAX = 255.0
_RANGE_TOLERANCE = 0.02
"""Of the stated range's width."""


@dataclass(frozen=True)
class Note:
    """What a note says; None where it says nothing.

    ``unclear`` are the clauses that were not understood, each with the reason.
    """

    channel_order: str | None = None
    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    short_side: int | None = None
    crop: int | None = None
    unclear: tuple[str, ...] = ()

    def summary(self) -> str:
        """What was understood, in words."""
        parts = [
            self.channel_order,
            None if self.scale is None else f"scale {self.scale:g}",
            None if self.mean is None else f"mean {_listed(self.mean)}",
            None if self.std is None else f"std {_listed(self.std)}",
            None if self.short_side is None else f"short side {self.short_side}",
            None if self.crop is None else f"{self.crop} centre crop",
        ]
        return ", ".join(part for part in parts if part) or "nothing"


def read_note(text: str) -> Note:
    """Read a note; clauses that are not understood end up in ``unclear``."""
    if len(text) > _LONGEST:
        return Note(unclear=(f"its {len(text)} characters (a short note is expected)",))
    note = Note()
    seen: set[str] = set()
    # The colour first: it gives the order of a mean's channels.
    clauses = sorted(_clauses(text), key=lambda clause: _compact(clause) not in _COLOURS)
    for clause in clauses:
        try:
            kind, extended = _read(clause, note)
            if kind in seen:
                raise ValueError(f"the {kind} is stated twice")
            seen.add(kind)
            note = extended
        except ValueError as error:
            note = replace(note, unclear=(*note.unclear, f"{clause!r} ({error})"))
    return note


def _clauses(text: str) -> list[str]:
    """Split at the commas outside brackets."""
    parts = re.split(r",(?![^(\[]*[)\]])", text)
    return [part.strip() for part in parts if part.strip()]


def _compact(clause: str) -> str:
    return re.sub(r"\s+", "", clause).lower()


def _read(clause: str, note: Note) -> tuple[str, Note]:
    """The clause's kind and the note with it; `ValueError` where it is not understood."""
    text = _compact(clause)
    if text in _COLOURS:
        return "colour", replace(note, channel_order=_COLOURS[text])
    readers: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str], Note], Note]], ...] = (
        ("values", _VALUES, _formula),
        ("values", _RAW, _raw),
        ("resize", _RESIZE, lambda m, n: replace(n, short_side=_size(m[1] or m[2]))),
        ("crop", _CROP, lambda m, n: replace(n, crop=_size(m[1]))),
    )
    for kind, pattern, read in readers:
        if match := pattern.fullmatch(text):
            return kind, read(match, note)
    raise ValueError("no known form")


def _formula(match: re.Match[str], note: Note) -> Note:
    scale, mean, std = (
        float(match[name]) if match[name] else default
        for name, default in (("scale", 1.0), ("mean", 0.0), ("std", 1.0))
    )
    if scale == 0 or std == 0:
        raise ValueError("it divides by zero")
    if match["low"]:
        stated = float(match["low"]), float(match["high"])
        reached = (0.0 - mean) / std, (_PIXEL_MAX / scale - mean) / std
        allowed = _RANGE_TOLERANCE * (stated[1] - stated[0])
        if any(abs(s - r) > allowed for s, r in zip(stated, reached, strict=True)):
            raise ValueError(f"pixels 0 to 255 would become {reached[0]:g} to {reached[1]:g}")
    return replace(note, scale=scale, mean=(mean,), std=(std,))


def _raw(match: re.Match[str], note: Note) -> Note:
    mean = _means(match["mean"], note.channel_order) if match["mean"] else (0.0,)
    return replace(note, scale=1.0, mean=mean, std=(1.0,))


def _means(text: str, order: str | None) -> tuple[float, ...]:
    if re.fullmatch(_NUMBER, text):
        return (float(text),)
    channel = rf"([rgb]?)({_NUMBER})"
    match = re.fullmatch(rf"\({channel},{channel},{channel}\)", text)
    if not match:
        raise ValueError("the mean is neither a number nor three in brackets")
    letters, values = "".join(match.group(1, 3, 5)), [float(v) for v in match.group(2, 4, 6)]
    if not letters:
        return tuple(values)
    if order not in ("RGB", "BGR") or sorted(letters) != sorted("rgb"):
        raise ValueError("the mean's channels are not those of a stated order RGB or BGR")
    by_letter = dict(zip(letters, values, strict=True))
    return tuple(by_letter[letter] for letter in order.lower())


def _size(text: str) -> int:
    if not 1 <= len(text) <= 5 or int(text) == 0:
        raise ValueError("no size of an image")
    return int(text)


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
