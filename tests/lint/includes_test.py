"""Holds the #include lines and the CMake targets to the layer table."""

import pathlib

import pytest

from layers import LayerTable

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = """
| layer | room | one responsibility | may use |
|---|---|---|---|
| 0 | `base` | helpers | std, absl status, spdlog |
| 1 | `inference` | the vocabulary | |
| 2 | `proto` | generated | |
| 2 | `wire` | messages | inference, proto |
| 2 | `models` | files; a or b | inference |
| 3 | `execution` | runs | all below but wire |
| 4 | `apps` | composition | all |
"""


def tree(root: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    """A checkout of a few files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


HEADERS = {
    "src/base/clock.h": "#include <chrono>\n",
    "src/inference/request.h": '#include "base/clock.h"\n',
    "src/wire/codec.h": '#include "inference/request.h"\n',
    "src/models/store.h": '#include "absl/status/status.h"\n',
}


def test_this_checkout_keeps_the_layers() -> None:
    table = LayerTable.parse((ROOT / "ARCHITECTURE.md").read_text())
    assert not table.include_violations(ROOT)


def test_this_checkouts_targets_agree_with_the_layers() -> None:
    table = LayerTable.parse((ROOT / "ARCHITECTURE.md").read_text())
    assert not table.cmake_violations((ROOT / "CMakeLists.txt").read_text())


def test_allows_what_the_table_allows(tmp_path: pathlib.Path) -> None:
    allowed = {
        **HEADERS,
        "src/wire/codec.cc": '#include "wire/codec.h"\n#include "ncn/v2/a.pb.h"\n',
        "src/execution/run.cc": '#include "models/store.h"\n#include "base/clock.h"\n',
        "apps/node/main.cc": '#include "wire/codec.h"\n#include "flags.h"\n',
        "apps/node/flags.h": "",
    }
    assert not LayerTable.parse(TABLE).include_violations(tree(tmp_path, allowed))


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("src/base/up.h", '#include "inference/request.h"', "base may use only"),
        ("src/models/x.cc", '#include "wire/codec.h"', "models may use only"),
        ("src/models/x.cc", '# include "wire/codec.h"', "models may use only"),
        ("src/execution/x.h", '#include "wire/codec.h"', "execution may use only"),
        ("src/models/x_test.cc", '#include "ncn/v2/a.pb.h"', "models may use only"),
        ("src/models/x.cc", "#include <wire/codec.h>", "stand in quotes"),
        ("src/models/x.cc", '#include "../base/clock.h"', "not by .."),
        ("src/models/x.cc", '#include "store.h"', 'write "models/store.h"'),
        ("src/models/x.cc", '#include "models/gone.h"', "no such header"),
        ("src/new/x.cc", "#include <vector>", "missing in the layer table"),
    ],
)
def test_catches_a_forbidden_include(
    tmp_path: pathlib.Path, file: str, line: str, reason: str
) -> None:
    root = tree(tmp_path, {**HEADERS, file: f"// why\n{line}\n"})
    violations = LayerTable.parse(TABLE).include_violations(root)
    assert len(violations) == 1
    assert violations[0].startswith(f"{file}: ")
    assert reason in violations[0]


def test_catches_a_link_that_the_table_forbids() -> None:
    cmake = """
ncn_room(base DEPS absl::status)
ncn_room(inference DEPS ncn::base)
ncn_room(wire DEPS ncn::inference ncn::proto)
ncn_room(models DEPS ncn::inference PRIVATE_DEPS OpenSSL::Crypto
                                                 ncn::wire)
ncn_room(execution DEPS ncn::inference)
ncn_room(attic DEPS ncn::base)
"""
    assert LayerTable.parse(TABLE).cmake_violations(cmake) == [
        "attic: missing in the layer table",
        "execution: may use models but does not link it",
        "models: links wire, which the table forbids",
    ]


def test_refuses_a_table_that_points_upwards() -> None:
    upwards = TABLE.replace("| the vocabulary | |", "| the vocabulary | wire |")
    with pytest.raises(ValueError, match="inference may not use wire"):
        LayerTable.parse(upwards)


def test_refuses_a_page_without_a_table() -> None:
    with pytest.raises(ValueError, match="no layer table"):
        LayerTable.parse("# Architecture\n")
