"""The conversation of a ready child with its node."""

import json
import os
import struct
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_files as files
import onnx
import pytest
import torch
from children import GENERIC, Child, frame
from conftest import Run, question, tensor
from ncn_executor import execution, file_contract, ready_child

X = [[0.5, -1.0], [2.0, 3.0]]
REQUEST = question(tensor(X, [2, 2]), id="r-1")
SAFE = "application/x-safetensors"
FP32 = 1


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    """A child that has loaded nothing; what it changes in the process is undone."""
    for name, value in (("stdin", sys.stdin), ("argv", sys.argv), ("path", [])):
        monkeypatch.setattr(sys, name, value if name != "path" else [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(file_contract, "end_process", os._exit)
    before = dict(os.environ)
    work = tmp_path / "child's work"
    work.mkdir()
    talking = Child(work)
    yield talking
    talking.end()
    os.environ.clear()
    os.environ.update(before)


def script(folder: Path, text: str) -> Path:
    """Writes an executor script."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    return path


def executor(folder: Path, run: str, more: str = "") -> Path:
    """Writes a script whose executor's `run` has the given body."""
    body = textwrap.indent(textwrap.dedent(run), " " * 8)
    return script(
        folder,
        f"import sys, os, random\n"
        f"from ncn_executor import Executor, Response, main\n"
        f"class Mine(Executor):\n"
        f"    def load(self, model_path, context):\n"
        f"        self.count = 0\n"
        f"    def run(self, request):\n{body}\n"
        f"{textwrap.dedent(more)}\n"
        f"if __name__ == '__main__':\n"
        f"    main(Mine)\n",
    )


def scripted(folder: Path) -> Path:
    return files.torchscript(folder, files.network(), files.TENSORS)


def saved(folder: Path) -> Path:
    state = files.network().state_dict()
    return files.weights(folder, state, files.ARCHITECTURE + files.TENSORS)


def doubled(folder: Path) -> Path:
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    shape = ["batch", 2]
    return files.onnx_model(folder, [node], [("x", FP32, shape)], [("y", FP32, shape)])


@pytest.mark.parametrize("warm_up", ["full", "small", "none"])
@pytest.mark.parametrize("make", [scripted, saved, doubled])
def test_answers_are_the_bytes_that_a_new_process_gives(
    run: Run, child: Child, tmp_path: Path, make: Any, warm_up: str
) -> None:
    model = make(tmp_path)
    ready = child.load(model, warm_up=warm_up)
    assert (ready["status"], ready["warm_up"]) == ("ready", warm_up)
    assert ready["versions"]["python"].startswith("3.")
    assert {"import", "load", "total"} <= set(ready["timings_ms"])
    for accept in ("", SAFE):
        cold = run(model, REQUEST, NCN_ACCEPT=accept)
        for _ in range(2):
            header, body = child.run(REQUEST, accept=accept)
            assert header["status"] == "ok", header
            assert header["content_type"] == cold.report["content_type"]
            assert body == cold.output
            assert header["versions"] == cold.report["versions"]
            assert set(header["timings_ms"]) == {*("decode", "infer", "encode", "run")}


SEEDED = {"status": "ready", "warm_up": "none"}


class Random(torch.nn.Module):  # type: ignore[misc]
    """Noise."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rand_like(x)


def test_a_seed_gives_the_numbers_of_a_new_process(
    run: Run, child: Child, tmp_path: Path
) -> None:
    model = files.torchscript(tmp_path, Random(), files.TENSORS.replace("3]", "2]"))
    child.load(model, warm_up="full")
    cold = run(model, REQUEST, NCN_SEED="7")
    assert child.run(REQUEST, seed=7)[1] == cold.output
    assert child.run(REQUEST)[1] != child.run(REQUEST)[1]
    assert child.run(REQUEST, seed=7)[1] == cold.output
    assert child.ask({"do": "seed", "seed": 7}) == (SEEDED, b"")
    assert child.run(REQUEST)[1] == cold.output
    assert child.run(REQUEST)[1] != cold.output


class Counting(torch.nn.Module):  # type: ignore[misc]
    """Remembers, in a tensor and in a number, how often it was called."""

    calls: int

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        self.calls += 1
        return x + self.seen + self.calls


def test_a_network_forgets_one_request_before_the_next(
    run: Run, child: Child, tmp_path: Path
) -> None:
    model = files.torchscript(tmp_path, Counting(), files.TENSORS.replace("3]", "2]"))
    assert child.load(model, warm_up="full")["warm_up"] == "full"
    cold = run(model, REQUEST).output
    assert [child.run(REQUEST)[1] for _ in range(2)] == [cold, cold]


def test_a_model_of_unknown_shape_is_not_warmed_up(
    child: Child, tmp_path: Path
) -> None:
    model = files.torchscript(tmp_path, files.network())
    assert child.load(model, warm_up="full")["warm_up"] == "none"
    assert child.run(REQUEST)[0]["status"] == "ok"


def test_a_failing_warm_up_leaves_the_model_ready(child: Child, tmp_path: Path) -> None:
    # One of the declared dimensions cannot really have any size.
    wrong = files.TENSORS.replace("[-1, 2]", "[-1, -1]")
    model = files.torchscript(tmp_path, files.network(), wrong)
    assert child.load(model, warm_up="small")["warm_up"] == "none"
    assert child.run(REQUEST)[0]["status"] == "ok"


@pytest.mark.parametrize("threads", [1, 2])
def test_a_child_computes_with_the_threads_it_is_told(
    child: Child, tmp_path: Path, threads: int
) -> None:
    path = executor(
        tmp_path,
        """
        import torch
        found = [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"],
                 os.environ["NCN_THREADS"]]
        return Response(str(found).encode(), "text/plain")
        """,
    )
    before = torch.get_num_threads()
    try:
        assert child.load(tmp_path, path, threads=threads)["status"] == "ready"
        assert child.run(b"x")[1] == str([threads, *[str(threads)] * 2]).encode()
    finally:
        torch.set_num_threads(before)


def test_a_model_that_cannot_be_loaded_is_a_typed_error(
    child: Child, tmp_path: Path
) -> None:
    answer = child.load(tmp_path / "none.pt")
    assert answer["status"] == "error"
    assert answer["error"]["code"] == "INVALID_MODEL"
    assert answer["error"]["path"].endswith("none.pt")
    assert "total" in answer["timings_ms"]
    assert child.status() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "SyntaxError"),
        ("import ncn_executor\nraise ZeroDivisionError('oops')", "oops"),
        ("import ncn_executor, sys\nsys.exit(3)", "SystemExit"),
    ],
)
def test_a_script_that_cannot_be_read_is_an_error(
    child: Child, tmp_path: Path, text: str, message: str
) -> None:
    answer = child.load(tmp_path, script(tmp_path, text))
    assert answer["error"]["code"] == "INTERNAL"
    assert message in answer["error"]["message"]


def test_a_request_that_fails_does_not_end_the_child(
    child: Child, tmp_path: Path
) -> None:
    child.load(scripted(tmp_path))
    header, body = child.run(question(tensor([1, 2, 3], [1, 3])))
    assert (header["error"]["code"], body) == ("INVALID_INPUT", b"")
    assert header["error"]["field"] == "inputs.x.shape"
    assert child.run(REQUEST)[0]["status"] == "ok"
    assert child.end() == 0


def test_inputs_are_bounded_as_in_the_file_contract(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child.load(tmp_path, executor(tmp_path, "return Response(request.data, '')"))
    header, _ = child.run(b"")
    assert header["error"]["code"] == "INVALID_INPUT"
    assert header["error"]["found"] == "0 bytes"
    monkeypatch.setattr(execution, "INPUT_BYTES_MAX", 4)
    header, _ = child.run(b"12345")
    assert header["error"]["code"] == "INPUT_TOO_LARGE"
    assert header["error"]["found"] == "5 bytes"
    assert child.run(b"1234")[1] == b"1234"


def test_an_answer_past_the_limit_is_refused(child: Child, tmp_path: Path) -> None:
    child.load(tmp_path, executor(tmp_path, "return Response(request.data * 2, '')"))
    header, body = child.run(b"12", output_bytes_max=3)
    assert (header["error"]["code"], body) == ("OUTPUT_TOO_LARGE", b"")
    assert child.run(b"12", output_bytes_max=4)[1] == b"1212"


def test_large_inputs_and_answers_pass_whole(child: Child, tmp_path: Path) -> None:
    child.load(tmp_path, executor(tmp_path, "return Response(request.data[::-1], '')"))
    data = os.urandom(5 * 1024 * 1024)
    assert child.run(data)[1] == data[::-1]


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("raise ValueError('odd')", "INTERNAL", "odd"),
        ("sys.exit(3)", "INTERNAL", "SystemExit"),
        ("raise MemoryError", "OUT_OF_MEMORY", "memory"),
        ("return Response(b'x', 'a' * 70000)", "INTERNAL", "too large"),
    ],
)
def test_an_executor_that_fails_gets_a_typed_report(
    child: Child, tmp_path: Path, line: str, code: str, text: str
) -> None:
    child.load(tmp_path, executor(tmp_path, line))
    header, body = child.run(b"x")
    assert (header["error"]["code"], body) == (code, b"")
    assert text in header["error"]["message"]
    assert child.run(b"x")[0]["status"] == "error"


def test_what_an_executor_prints_or_reads_stays_out_of_the_stream(
    child: Child, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = executor(
        tmp_path,
        """
        print("to stdout")
        os.write(1, b"more")
        return Response(repr(sys.stdin.read()).encode(), "text/plain")
        """,
    )
    child.load(tmp_path, path)
    for _ in range(2):
        header, body = child.run(b"x")
        assert (header["status"], body) == ("ok", b"''")
    assert "to stdout" in capfd.readouterr().out


def test_a_request_says_all_that_a_node_says(child: Child, tmp_path: Path) -> None:
    path = executor(
        tmp_path,
        """
        known = (request.content_type, request.accept, request.request_id, request.seed,
                 request.output_bytes_max, random.random())
        return Response(repr(known).encode(), "")
        """,
    )
    child.load(tmp_path, path)
    more = {"content_type": "Text/Plain; charset=utf-8", "accept": "a/b"}
    _, body = child.run(b"x", **more, request_id="r", seed=5, output_bytes_max=999)
    first = eval(body)
    assert first[:5] == ("text/plain", "a/b", "r", 5, 999)
    again = eval(child.run(b"x", seed=5)[1])
    assert again[:5] == ("", "", "", 5, 1 << 28)
    assert again[5:] == first[5:]
    assert eval(child.run(b"x")[1])[3] is None


def test_a_model_pickled_by_its_script_finds_its_classes(
    child: Child, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("WORD = b'beside'")
    path = executor(
        tmp_path,
        """
        import beside, pickle
        return Response(pickle.loads(b"c__main__\\nThing\\n.").word + beside.WORD, "")
        """,
        "class Thing:\n    word = b'thing '",
    )
    child.load(tmp_path, path)
    assert child.run(b"x")[1] == b"thing beside"


PLAIN = """
import argparse, os, sys
count = globals().get("count", 0) + 1
parser = argparse.ArgumentParser()
for name in ("--model", "--input", "--output"):
    parser.add_argument(name)
options = parser.parse_args()
data = open(options.input, "rb").read()
seed = os.environ.get("NCN_SEED", "none")
with open(options.output, "w") as file:
    file.write(f"{count} {options.model} {data!r} {seed} {os.environ['NCN_ACCEPT']}")
"""


def test_a_script_that_knows_files_only_runs_anew_for_each_request(
    child: Child, tmp_path: Path
) -> None:
    ready = child.load(Path("/m"), script(tmp_path, PLAIN), warm_up="full")
    assert (ready["status"], ready["warm_up"]) == ("ready", "none")
    header, body = child.run(b"a", seed=3, accept="text/plain")
    assert (header["status"], header["content_type"]) == ("ok", "")
    assert body == b"1 /m b'a' 3 text/plain"
    assert child.run(b"b")[1] == b"1 /m b'b' none "
    assert list((tmp_path / "child's work").iterdir()) == []


@pytest.mark.parametrize(
    ("last_lines", "code", "text"),
    [
        ("sys.exit(3)", "INTERNAL", "exit code 3"),
        ("sys.exit('why')", "INTERNAL", "exit code 1"),
        ("sys.exit()", "BROKEN_CONTRACT", "wrote no output"),
        ("out('')", "BROKEN_CONTRACT", "empty output"),
        ("out('x' * 11)", "OUTPUT_TOO_LARGE", "larger"),
        ("raise ZeroDivisionError('oops')", "INTERNAL", "oops"),
        ("open('/proc/1/mem/no')", "INTERNAL", "NotADirectoryError"),
        ("out('x'); report('{')", "BROKEN_CONTRACT", "cannot be read"),
        (
            "out('x'); report('{\"status\": \"odd\"}')",
            "BROKEN_CONTRACT",
            "cannot be read",
        ),
        ("report('{'); sys.exit(2)", "INTERNAL", "exit code 2"),
        (
            'report(\'{"status": "error", "error": {"code": "INVALID_INPUT", '
            '"message": "so", "field": "f"}}\'); sys.exit(1)',
            "INVALID_INPUT",
            "so",
        ),
        (
            'out("x"); report(\'{"status": "error", "error": {"code": "NO"}}\')',
            "BROKEN_CONTRACT",
            "cannot be read",
        ),
    ],
)
def test_a_plain_script_is_judged_as_a_process_that_ended(
    child: Child, tmp_path: Path, last_lines: str, code: str, text: str
) -> None:
    path = script(
        tmp_path,
        f"""
        import sys
        def out(text):
            open(sys.argv[-1], "w").write(text)
        def report(text):
            open(sys.argv[-1] + ".report.json", "w").write(text)
        {last_lines}
        """,
    )
    child.load(tmp_path, path)
    header, body = child.run(b"x", output_bytes_max=10)
    assert (header["error"]["code"], body) == (code, b"")
    assert text in header["error"]["message"]


def test_a_plain_scripts_own_report_is_passed_on(child: Child, tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import json, sys
        open(sys.argv[-1], "w").write("x")
        times = {"think": 4, "run": 99999.0, "odd": "text"}
        report = {"status": "ok", "content_type": "a/b", "timings_ms": times}
        report["more"] = "y" * (70000 if open(sys.argv[-3]).read() == "big" else 1)
        open(sys.argv[-1] + ".report.json", "w").write(json.dumps(report))
        """,
    )
    child.load(tmp_path, path)
    header, body = child.run(b"small")
    assert (header["content_type"], body) == ("a/b", b"x")
    assert header["timings_ms"]["think"] == 4
    assert header["timings_ms"]["run"] < 99999
    assert child.run(b"big")[0]["content_type"] == ""


TWO = "class Other(Mine):\n    pass"
IMPORTED = "Other = Mine\nfrom generic_model_executor import GenericModelExecutor"


@pytest.mark.parametrize(("more", "counts"), [(TWO, "11"), (IMPORTED, "12")])
def test_one_executor_of_its_own_makes_a_script_load_once(
    child: Child, tmp_path: Path, more: str, counts: str
) -> None:
    # With two, only the script itself knows which is meant, so it runs as a whole.
    run = "self.count += 1\nreturn Response(str(self.count).encode(), 'a/b')"
    child.load(tmp_path, executor(tmp_path, run, more))
    answers = [child.run(b"x") for _ in range(2)]
    assert b"".join(body for _, body in answers).decode() == counts
    assert [header["content_type"] for header, _ in answers] == ["a/b", "a/b"]


def test_a_plain_script_may_call_the_runtime_and_fail(
    child: Child, tmp_path: Path
) -> None:
    path = executor(tmp_path, "raise MemoryError", TWO)
    child.load(tmp_path, path)
    assert child.run(b"x")[0]["error"]["code"] == "OUT_OF_MEMORY"


RUN: dict[str, Any] = {
    **{"do": "run", "content_type": "", "accept": "", "request_id": "", "seed": None},
    **{"output_bytes_max": 1 << 28},
}


def test_a_node_that_goes_away_ends_the_child_quietly(
    child: Child, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = executor(tmp_path, "return Response(request.data * 9999999, '')")
    child.load(tmp_path, path)
    child.stream.sendall(frame(RUN, b"x"))
    assert child.end() == 0
    assert capfd.readouterr().err == ""


def test_a_stream_that_ends_at_once_is_no_error(child: Child) -> None:
    assert child.end() == 0


LOAD = {"do": "load", "script": str(GENERIC), "model": "/m", "threads": 1}
LOAD = {**LOAD, "requests_max": 1, "check_weights": True, "rewound": False}
LOAD["warm_up"] = "none"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"abc", "cut off in its first bytes"),
        (frame({"do": "load"})[:-3], "cut off in its header"),
        (frame(LOAD, b"body")[:-1], "does not say what to load"),
        (b"GET / HTTP/1.1\r\n\r\n", "too large"),
        (struct.pack("<IQ", 64 * 1024 + 1, 0), "too large"),
        (struct.pack("<IQ", 2, 1 << 60) + b"{}", "too large"),
        (frame(b"{garbage"), "not JSON"),
        (frame(b"\xff\xfe\xfd"), "not JSON"),
        (frame(b"[" * 60000), "not JSON"),
        (frame([]), "not a JSON object"),
        (frame({"do": "run"}), "what to load"),
        (frame({**LOAD, "threads": 0}), "what to load"),
        (frame({**LOAD, "threads": True}), "what to load"),
        (frame({**LOAD, "model": None}), "what to load"),
        (frame({**LOAD, "warm_up": "hot"}), "what to load"),
    ],
)
def test_a_frame_that_cannot_be_understood_ends_the_child(
    child: Child, sent: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    child.stream.sendall(sent)
    assert child.end() == 1
    error = capfd.readouterr().err
    assert "ready child: " in error
    assert message in error


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (frame({"do": "dance"}), "does not say what to run"),
        (frame({"do": "run"}), "does not say what to run"),
        (frame({"do": "run", "seed": -1}), "does not say what to run"),
        (frame({"do": "seed", "seed": -1}), "does not say how to seed"),
        (frame({"do": "seed", "seed": 1}, b"x"), "does not say how to seed"),
        (frame(RUN, b"body")[:-1], "cut off in its body"),
        (struct.pack("<IQ", 12, 1 << 30) + b'{"do":"run"}', "cut off in its body"),
    ],
)
def test_a_broken_request_ends_the_child(
    child: Child,
    tmp_path: Path,
    sent: bytes,
    message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    child.load(tmp_path, executor(tmp_path, "return Response(b'x', '')"))
    child.stream.sendall(sent)
    assert child.end() == 1
    assert message in capfd.readouterr().err


def test_an_executor_need_not_know_how_to_warm_up(child: Child, tmp_path: Path) -> None:
    path = executor(tmp_path, "return Response(b'x', '')")
    assert child.load(tmp_path, path, warm_up="full")["warm_up"] == "none"
    assert set(ready_child.WARM_UPS) == {"full", "small", "none"}


TELLS = """
self.context.progress(0.25, "a quarter", Response(b"so f", "text/plain"))
self.context.progress(None, "lost \\ud800 count")
return Response(b"so far so good", "text/plain")
"""


def test_progress_goes_out_before_the_answer(
    child: Child, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ncn_executor.contract.PROGRESS_SECONDS", 0)
    path = executor(tmp_path, TELLS)
    text = path.read_text().replace("self.count = 0", "self.context = context")
    path.write_text(text + "\n")
    child.load(tmp_path, path)
    header, body = child.run(b"x")
    assert (header["status"], body) == ("progress", b"so f")
    assert (header["fraction"], header["note"]) == (0.25, "a quarter")
    assert header["content_type"] == "text/plain"
    header, body = child.answer()
    assert (header["status"], header["fraction"], body) == ("progress", None, b"")
    header, body = child.answer()
    assert (header["status"], body) == ("ok", b"so far so good")


def test_a_warm_up_can_be_a_request_of_the_models_own(
    child: Child, tmp_path: Path
) -> None:
    model = scripted(tmp_path)
    warm_up = '[warm_up]\ninput = "sample.json"\n'
    (model.parent / "model.toml").write_text(files.TENSORS + warm_up)
    (model.parent / "sample.json").write_text(json.dumps(REQUEST))
    assert child.load(model, warm_up="full")["warm_up"] == "full"
    assert child.run(REQUEST)[0]["status"] == "ok"


def test_a_warm_up_that_is_no_request_leaves_the_model_ready(
    child: Child, tmp_path: Path
) -> None:
    model = scripted(tmp_path)
    (model.parent / "model.toml").write_text('[warm_up]\ninput = "sample.json"\n')
    assert child.load(model, warm_up="full")["warm_up"] == "none"
    assert child.run(REQUEST)[0]["status"] == "ok"


def test_one_that_is_rewound_gives_a_request_to_ask_it(
    child: Child, tmp_path: Path
) -> None:
    child.load(scripted(tmp_path), warm_up="full", rewound=True)
    header, body = child.ask({"do": "warm_up"})
    assert (header["status"], header["warm_up"]) == ("ready", "none")
    answer, _ = child.run(body, content_type=header["content_type"])
    assert answer["status"] == "ok"
    assert child.run(REQUEST)[0]["status"] == "ok"


@pytest.mark.parametrize("example", ["return None", "raise ValueError('no idea')"])
def test_one_without_an_example_is_warmed_up_instead(
    child: Child, tmp_path: Path, example: str
) -> None:
    path = executor(tmp_path, "return Response(b'x', '')")
    more = f"\n    def example(self):\n        {example}\n"
    more += "\n    def warm_up(self, full):\n        return full\n"
    text = path.read_text().replace("\n    def run(", f"{more}\n    def run(")
    path.write_text(text)
    child.load(tmp_path, path, rewound=True)
    header, body = child.ask({"do": "warm_up"})
    assert (header["warm_up"], body) == ("full", b"")
    assert child.run(b"x")[1] == b"x"


def sample_folder(tmp_path: Path) -> Path:
    """A model's folder whose manifest names a request to warm up with."""
    folder = files.folder(tmp_path, "m", "[warm_up]\ninput = 'sample.txt'\n")
    with (folder / "model.toml").open("a") as manifest:
        manifest.write("content_type = 'Text/Plain; charset=utf-8'\n")
    (folder / "sample.txt").write_bytes(b"sample")
    return folder


@pytest.mark.parametrize("wanted", ["full", "small"])
def test_a_script_of_the_models_own_warms_up_on_the_request_of_its_manifest(
    child: Child, tmp_path: Path, wanted: str
) -> None:
    folder = sample_folder(tmp_path)
    lines = "self.count += 1\nanswer = request.data, request.content_type, self.count"
    path = executor(folder, f"{lines}\nreturn Response(repr(answer).encode(), '')")
    assert child.load(folder / "w.pt", path, warm_up=wanted)["warm_up"] == wanted
    assert eval(child.run(b"x")[1]) == (b"x", "", 2)
    header, body = child.ask({"do": "warm_up"})
    assert (header["warm_up"], header["content_type"], body) == (
        *("none", "text/plain"),
        b"sample",
    )


@pytest.mark.parametrize("end", ["raise ValueError('no')", "sys.exit(3)"])
def test_a_script_that_fails_on_that_request_is_ready_all_the_same(
    child: Child, tmp_path: Path, end: str
) -> None:
    folder = sample_folder(tmp_path)
    lines = f"if request.data == b'sample': {end}\nreturn Response(b'fine', '')"
    path = executor(folder, lines)
    assert child.load(folder / "w.pt", path, warm_up="full")["warm_up"] == "none"
    assert child.run(b"x")[1] == b"fine"


def test_a_script_that_knows_files_only_warms_up_on_it_too(
    child: Child, tmp_path: Path
) -> None:
    folder = sample_folder(tmp_path)
    path = script(folder, PLAIN + "open(sys.argv[0] + '.log', 'ab').write(data)\n")
    assert child.load(folder, path, warm_up="full")["warm_up"] == "full"
    assert child.run(b"a")[0]["status"] == "ok"
    assert path.with_name("script.py.log").read_bytes() == b"samplea"


def test_an_example_of_the_scripts_own_is_warmed_up_on_when_there_is_time(
    child: Child, tmp_path: Path
) -> None:
    path = executor(tmp_path, "return Response(request.data, '')")
    own = "    def example(self):\n        from ncn_executor import Request\n"
    own += "        return Request(b'mine')\n"
    path.write_text(path.read_text().replace("    def run(", f"{own}\n    def run("))
    assert child.load(tmp_path, path, warm_up="full")["warm_up"] == "full"
    assert child.ask({"do": "warm_up"})[1] == b"mine"


def test_a_manifest_of_another_model_names_no_request(
    child: Child, tmp_path: Path
) -> None:
    folder = sample_folder(tmp_path)
    with (folder / "model.toml").open("a") as manifest:
        manifest.write("[model]\nfile = 'other.pt'\n")
    path = executor(folder, "return Response(request.data, '')")
    assert child.load(folder / "w.pt", path, warm_up="full")["warm_up"] == "none"
