"""verify_environment.py: versions compared by the standard library alone."""

import json
from pathlib import Path

import pytest
import verify_environment as verify


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ("2.6.0+debian", ">=2.1.0", True),
        ("1.21", ">=1.16.0", True),
        ("2.0.9", ">=2.1.0", False),
        ("2.10", ">=2.9", True),
        ("2.1", "==2.1.0", True),
        ("2.1.0rc1", ">=2.1.0", False),
        ("2.1.0.dev3", "<2.1.0a1", True),
        ("2.1.0.post1", ">2.1.0", True),
        ("2.1.5", "~=2.1.3", True),
        ("2.2.0", "~=2.1.3", False),
        ("2.1.2", "~=2.1.3", False),
        ("2.1.2", "==2.1.*", True),
        ("2.11", "!=2.1.*", True),
        ("2.1", "!=2.1", False),
        ("2.1", "===2.1", True),
        ("3.0", ">=2.1,<3", False),
        ("2.9", ">=2.1,<=3", True),
        ("unknown", ">=1", False),
        ("1", "", True),
    ],
)
def test_versions_are_compared_as_pip_does(found: str, wanted: str, fits: bool) -> None:
    assert verify.satisfies(found, wanted) is fits


def test_a_clause_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="no version clause"):
        verify.satisfies("1", "about 3")


def test_reads_requirements_with_comments_extras_and_markers() -> None:
    text = '# top\n\na>=1 , <2\nb[x]==1.*; python_version > "3"\nC # optional: why\n'
    a, b, c = verify.parse_requirements(text)
    assert (a.name, a.wanted, a.optional) == ("a", ">=1,<2", False)
    assert (b.name, b.wanted) == ("b", "==1.*")
    assert (c.name, c.wanted, c.optional) == ("C", "", True)


def test_a_bad_line_is_refused_with_its_number() -> None:
    with pytest.raises(ValueError, match="line 2"):
        verify.parse_requirements("a\n>=3\n")


def test_tells_missing_old_and_wrong_apart() -> None:
    rows = verify.parse_requirements("a>=2\nb==2\nc\nd>=1\n")
    versions = {"a": "1", "b": "1", "d": "1"}
    found = {
        f.name: f.status for f in verify.check(rows, lambda n: versions.get(n, ""))
    }
    assert found == {
        "python": "ok",
        "a": "too old",
        "b": "wrong version",
        "c": "missing",
        "d": "ok",
    }


def test_prints_a_table_and_fails_on_a_miss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy>=1\nno-such-package>=3\n")
    assert verify.main(["--requirements", str(file)]) == 1
    shown = capsys.readouterr()
    assert "no-such-package  >=3" in shown.out
    assert "missing" in shown.out
    assert "pip install -r" in shown.err


def test_an_optional_package_counts_with_all_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("no-such-package>=3  # optional\n")
    assert verify.main(["--requirements", str(file), "--json"]) == 0
    assert verify.main(["--requirements", str(file), "--all"]) == 1
    report = json.loads(capsys.readouterr().out.partition("package ")[0])
    assert report["ok"] is True
    assert report["packages"][1]["status"] == "missing"


def test_a_file_that_cannot_be_read_exits_2(tmp_path: Path) -> None:
    assert verify.main(["--requirements", str(tmp_path / "none")]) == 2


def test_the_image_meets_the_requirements() -> None:
    assert verify.main([]) == 0
