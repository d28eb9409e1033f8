"""Tables of what public clients read, and whether an answer fits them."""

import re
from datetime import datetime
from pathlib import Path

FOLDER = Path(__file__).parent

FORMS = {
    "day": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d",
    "moment": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "zoned": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d",
}
PARSED = {"day": "%Y-%m-%d", "time": "%H:%M", "moment": "%Y-%m-%d %H:%M:%S", "zoned": "%Y-%m-%dT%H:%M:%S%z"}


def rows(name):
    """The columns of each line of a table."""
    for line in (FOLDER / name).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def models():
    """Fields and their types by model, in the client's order."""
    return {
        model: dict(field.split(":") for field in fields.split())
        for model, _, fields in rows("retailcrm.tsv")
    }


MODELS = models()


def is_form(kind, text):
    """Whether a text is a date of this form, and one that exists."""
    if not isinstance(text, str) or not re.fullmatch(FORMS[kind], text):
        return False
    try:
        datetime.strptime(text, PARSED[kind])
    except ValueError:
        return False
    return True


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


SCALARS = {
    "any": lambda value: True,
    "text": lambda value: isinstance(value, str),
    "whole": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": is_number,
    "flag": lambda value: isinstance(value, bool),
    **{kind: (lambda value, kind=kind: is_form(kind, value)) for kind in FORMS},
}


def complaints(kind, value, path):
    """What a client of the table would stumble over, each with its place."""
    if value is None:
        return []
    if kind.endswith("*"):
        if isinstance(value, list):
            inside = enumerate(value)
        elif isinstance(value, dict):
            inside = value.items()
        else:
            return [f"{path}: a list or map expected"]
        return [said for key, one in inside for said in complaints(kind[:-1], one, f"{path}[{key}]")]
    if kind in SCALARS:
        return [] if SCALARS[kind](value) else [f"{path}: {kind} expected"]
    if value == []:
        return []  # PHP's empty map
    if not isinstance(value, dict):
        return [f"{path}: {kind} expected"]
    known = MODELS[kind]
    said = [f"{path}.{name}: no client knows it" for name in value if name not in known]
    for name, one in value.items():
        if name in known:
            said += complaints(known[name], one, f"{path}.{name}")
    return said
