"""The schema of model.toml against what is read and refused.

The node holds the same examples against its own reading (src/models/manifest_test.cc).
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from json_schema import mistake
from ncn_executor.datatypes import DATATYPES
from ncn_executor.errors import ExecutorError
from ncn_executor.manifest import FORMATS, KEYS, parse_manifest
from ncn_executor.preprocess import COLORS, LAYOUTS
from ncn_executor.preprocess import KEYS as PREPROCESS_KEYS

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/model.schema.json").read_text())
EXAMPLES = ROOT / "tests/manifests"
NOT_IN_THE_SCHEMA = " (not in the schema)"


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


GOOD = sorted(EXAMPLES.glob("good/*.toml"))
BAD = sorted(EXAMPLES.glob("bad/*.toml"))


@pytest.mark.parametrize("path", GOOD, ids=names(GOOD))
def test_a_good_manifest_is_read_and_keeps_to_the_schema(path: Path) -> None:
    text = path.read_text()
    parse_manifest(text)
    assert mistake(tomllib.loads(text), SCHEMA, SCHEMA) == ""


@pytest.mark.parametrize("path", BAD, ids=names(BAD))
def test_a_bad_manifest_is_refused_by_its_field_and_by_the_schema(path: Path) -> None:
    text = path.read_text()
    field = text.splitlines()[0].removeprefix("# ")
    with pytest.raises(ExecutorError) as caught:
        parse_manifest(text)
    assert caught.value.field == field.removesuffix(NOT_IN_THE_SCHEMA)
    assert caught.value.expected
    assert caught.value.found
    keeps_to_it = mistake(tomllib.loads(text), SCHEMA, SCHEMA) == ""
    assert keeps_to_it == field.endswith(NOT_IN_THE_SCHEMA)


def keys_of(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def test_the_schema_has_the_keys_that_are_read() -> None:
    parts = SCHEMA["properties"]
    assert keys_of(SCHEMA) == set(KEYS[""])
    for name in ("model", "executor", "limits", "warm_up"):
        assert keys_of(parts[name]) == set(KEYS[name]), name
    definitions = SCHEMA["$defs"]
    assert keys_of(definitions["input"]) == set(KEYS["inputs"])
    assert keys_of(definitions["output"]) == set(KEYS["outputs"])
    for name in ("image", "audio"):
        assert keys_of(definitions[name]) == set(PREPROCESS_KEYS[name]), name
    assert keys_of(definitions["stereo"]) == set(PREPROCESS_KEYS["audio"])


def test_the_schema_has_the_words_that_are_known() -> None:
    definitions = SCHEMA["$defs"]
    assert definitions["datatype"]["enum"] == list(DATATYPES)
    assert SCHEMA["properties"]["model"]["properties"]["format"]["enum"] == [*FORMATS]
    image, audio = (definitions[n]["properties"] for n in ("image", "audio"))
    assert image["color"]["enum"] == list(COLORS)
    assert image["layout"]["enum"] == list(LAYOUTS["image"])
    assert audio["layout"]["enum"] == list(LAYOUTS["audio"])
