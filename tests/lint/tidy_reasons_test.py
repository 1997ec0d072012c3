"""Holds .clang-tidy to its promise: every check that is off has its reason."""

import pathlib
import re

TEXT = (pathlib.Path(__file__).resolve().parents[2] / ".clang-tidy").read_text()


def test_every_check_that_is_off_has_its_reason() -> None:
    reasons = re.findall(r"^# ([a-z]+-[a-z0-9-]+): \S.{10,}$", TEXT, re.MULTILINE)
    off = re.findall(r"^  -([a-z]+-[a-z0-9-]+),?$", TEXT, re.MULTILINE)
    assert off, "the list was not found"
    assert sorted(reasons) == sorted(off)
    assert len(set(off)) == len(off)
