"""`ncn sandbox run` and `ncn doctor`, as a person at a terminal meets them."""

import json
import os
from pathlib import Path

import pytest
from conftest import ncn

LAYERS = {
    "user-namespace",
    "pid-namespace",
    "mount-namespace",
    "network-namespace",
    "seccomp",
    "rlimits",
    "no-capabilities",
}


def test_a_command_speaks_through_and_the_report_goes_to_stderr() -> None:
    result = ncn("sandbox", "run", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert result.returncode == 7, result.stderr
    assert result.stdout == "out\n"
    assert result.stderr.startswith("err\n")
    assert "ended     exit code 7\n" in result.stderr
    assert "mode      strict\n" in result.stderr
    assert "seccomp filter" in result.stderr


def test_the_json_report_names_layers_usage_and_steps() -> None:
    result = ncn("sandbox", "run", "--json", "--", "/usr/bin/printf", r"a\377b")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["ended"] == "exited"
    assert report["exit_status"] == 0
    assert report["stdout"] == "a\ufffdb"
    assert LAYERS <= set(report["layers"])
    assert report["missing"] == []
    assert report["wall_us"] > 0
    assert {step["name"] for step in report["steps"]} >= {"landlock", "seccomp filter"}
    assert len(report["policy_hash"]) == 64


@pytest.mark.parametrize(
    ("line", "flags", "status", "ended"),
    [
        ("kill -SEGV $$", [], 139, "killed by SIGSEGV"),
        ("sleep 60", ["--timeout", "0.2"], 137, "Timeout after 0.2s"),
        ("tail /dev/zero", ["--memory-mb", "32"], 137, "memory limit reached"),
        ("exec unshare -U true", [], 137, "forbidden system call unshare("),
    ],
)
def test_the_exit_status_tells_how_it_ended(
    line: str, flags: list[str], status: int, ended: str
) -> None:
    result = ncn("sandbox", "run", *flags, "--", "sh", "-c", line)
    assert result.returncode == status, result.stderr
    assert ended in result.stderr


def test_inputs_and_binds_are_there_and_nothing_else_is(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "model.txt").write_text("a model")
    (tmp_path / "question.txt").write_text("a question")
    for folder in (tmp_path, shown, *list(tmp_path.parents)[:2]):
        os.chmod(folder, 0o755)
    result = ncn(
        *("sandbox", "run", "--bind", f"{shown}:/model"),
        *("--input", tmp_path / "question.txt", "--", "sh", "-c"),
        f"cat /work/question.txt /model/model.txt; test -e {shown} || echo; "
        "echo x > /model/new; id -u",
    )
    assert result.stdout == "a questiona model\n1000\n", result.stderr
    assert "/model/new" in result.stderr


def test_the_programs_environment_is_not_ours() -> None:
    result = ncn("sandbox", "run", "--", "env", COMPUTE_NODE_PRIVATE_KEY="secret")
    assert result.returncode == 0, result.stderr
    assert "secret" not in result.stdout + result.stderr
    assert "HOME=/work\n" in result.stdout


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--bind", "/nowhere:/model"], "/nowhere"),
        (["--bind", "/usr"], "HOST:INSIDE"),
        (["--bind", "/usr:/etc"], "/etc"),
        (["--image", "/nowhere"], "runtime_image/build"),
        (["--input", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_had_is_refused_with_125(flags: list[str], reason: str) -> None:
    result = ncn("sandbox", "run", *flags, "--", "true")
    assert result.returncode == 125
    assert result.stderr.startswith("Error: ")
    assert reason in result.stderr


def test_a_program_that_is_not_there_is_refused_with_125() -> None:
    result = ncn("sandbox", "run", "--json", "--", "no-such-program")
    assert result.returncode == 125
    report = json.loads(result.stdout)
    assert report["ended"] == "refused"
    assert "/usr/bin/no-such-program" in report["description"]


def test_disabled_mode_says_that_nothing_holds() -> None:
    result = ncn("sandbox", "run", "--mode", "disabled", "--", "true")
    assert result.returncode == 0, result.stderr
    assert "mode      disabled\n" in result.stderr
    assert "seccomp" not in result.stderr.split("layers", 1)[1].splitlines()[0]


def test_doctor_finds_every_layer_and_the_image() -> None:
    result = ncn("doctor", "--json")
    report = json.loads(result.stdout)
    findings = {finding["what"]: finding for finding in report["findings"]}
    assert report["strict_would_run"] == (result.returncode == 0)
    for finding in findings.values():
        assert finding["holds"] or not finding["required"], finding
    for layer in (*LAYERS, "strict mode", "memory limit", "rewind", "runtime image"):
        assert findings[layer]["holds"], findings[layer]
    table = ncn("doctor").stdout
    for what in findings:
        assert what in table


def test_doctor_says_what_to_do_about_a_missing_image(tmp_path: Path) -> None:
    result = ncn(
        *("doctor", "--runtime-image", tmp_path / "none"),
        *("--python-executor-path", tmp_path),
    )
    assert result.returncode == 1
    row = result.stdout.split("runtime image", 1)[1]
    assert row.lstrip().startswith("MISSING")
    assert "Run runtime_image/build" in row
