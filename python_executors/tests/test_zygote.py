"""The zygote: one thread, everything imported, children as good as new processes."""

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import model_files as files
import pytest
import torch
from children import GENERIC, ROOT, Talk
from conftest import question, tensor
from ncn_executor import threads

import zygote

ARGUMENTS = ["--library", "/library.so", "--requests", "5", "--doorbell", "6"]
# A library whose serve() forks as native code does, with no word to the interpreter,
# and puts the child's end of a conversation where a child expects it.
FORKING = """
import ctypes, os, sys
import zygote

libc = ctypes.PyDLL(None)


class Library:
    def __init__(self, path):
        assert path == "/library.so"
        # Reads no request.
        self.ncn_json_tensors = lambda *_: None
        self.ncn_json_tensors_free = lambda *_: None

    @staticmethod
    def ncn_zygote_serve(requests, doorbell):
        assert (requests, doorbell) == (5, 6)
        for descriptor in map(int, sys.argv[2].split(",")):
            if libc.fork() == 0:
                os.dup2(descriptor, 0)
                return 0
            os.close(descriptor)
            os.wait()
        return -1
"""
CONNECT = """
sys.exit(zygote.main(["--framework", sys.argv[1], "--library", "/library.so",
                      "--requests", "5", "--doorbell", "6"], Library))
"""


def python(
    text: str, *arguments: str, hash_seed: str = "random", **more: Any
) -> "subprocess.Popen[str]":
    """Runs lines of Python in a process of its own, as clean as a node's."""
    return subprocess.Popen(
        [sys.executable, "-s", "-c", textwrap.dedent(text), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed},
        **more,
    )


def finished(process: "subprocess.Popen[str]") -> str:
    """What a process printed, once it has ended well."""
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out


def conversations(framework: str, count: int, hash_seed: str) -> Any:
    """A zygote with children that wait to be spoken to, one after another."""
    pairs = [socket.socketpair() for _ in range(count)]
    theirs = [child.fileno() for _, child in pairs]
    numbers = ",".join(map(str, theirs))
    process = python(
        FORKING + CONNECT, framework, numbers, hash_seed=hash_seed, pass_fds=theirs
    )
    for _, child in pairs:
        child.close()
    return process, [Talk(ours) for ours, _ in pairs]


def wide(folder: Path) -> Path:
    """A network whose sums depend on how many threads share them."""
    torch.manual_seed(2)
    network = torch.nn.Sequential(torch.nn.Linear(777, 555), torch.nn.Linear(555, 33))
    return files.torchscript(folder, network.double().eval())


def cold(model: Path, request: dict[str, Any], folder: Path, count: int) -> bytes:
    """The answer of a process of its own."""
    (folder / "input").write_text(json.dumps(request))
    output = folder / "output"
    subprocess.run(
        [sys.executable, "-s", str(GENERIC), "--model", str(model)]
        + ["--input", str(folder / "input"), "--output", str(output)],
        env={"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "NCN_THREADS": str(count)},
        check=True,
    )
    return output.read_bytes()


def test_children_answer_with_the_bytes_of_a_new_process(tmp_path: Path) -> None:
    model = wide(tmp_path)
    generator = torch.Generator().manual_seed(3)
    values = torch.rand(64, 777, dtype=torch.float64, generator=generator)
    request = question(tensor(values.reshape(-1).tolist(), [64, 777], "FP64"))
    wanted = [cold(model, request, tmp_path, count) for count in (1, 2, 3)]
    for hash_seed in ("1", "2"):
        process, children = conversations("torch", 3, hash_seed)
        for child, count, body in zip(children, (1, 2, 3), wanted):
            ready = child.load(model, threads=count)
            assert ready["status"] == "ready", ready
            assert [child.run(request)[1] for _ in range(2)] == [body] * 2
            child.stream.close()
        assert finished(process) == ""


@pytest.mark.parametrize("framework", ["onnxruntime", "plain"])
def test_a_zygote_of_any_framework_has_children(tmp_path: Path, framework: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom ncn_executor import Executor, Response\n"
        "class Mine(Executor):\n"
        "    def load(self, model_path, context): pass\n"
        "    def run(self, request):\n"
        "        print('printed')\n"
        f"        loaded = {framework!r} in sys.modules\n"
        "        return Response(repr(loaded).encode(), 'text/plain')\n"
    )
    process, children = conversations(framework, 2, "random")
    for child in children:
        assert child.load(tmp_path, script)["status"] == "ready"
        assert child.run(b"x")[1] == str(framework == "onnxruntime").encode()
        child.stream.close()
    assert finished(process) == "printed\n" * 2


def test_a_child_that_breaks_off_leaves_the_zygote_alone(tmp_path: Path) -> None:
    process, children = conversations("plain", 2, "random")
    children[0].stream.sendall(b"garbage, and more of it")
    children[0].stream.close()
    assert children[1].load(tmp_path / "none.pt")["status"] == "error"
    children[1].stream.close()
    out, error = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "")
    assert "ready child: a frame is too large" in error
    assert "INVALID_MODEL" in error


@pytest.mark.parametrize("framework", zygote.FRAMEWORKS)
def test_importing_a_framework_starts_no_thread(framework: str) -> None:
    counted = python(
        """
        import gc, os, sys, zygote
        zygote.import_everything(sys.argv[1])
        from ncn_executor import execution
        execution.report_failure = lambda *_: print("a rehearsal failed")
        before = sys.path[:], sys.argv[:], sorted(sys.modules)
        zygote.rehearse(sys.argv[1])
        modules = set(sys.modules) - set(before[2])
        print((sys.path, sys.argv) == before[:2], "ncn_ready_child" in modules)
        print(len(os.listdir("/proc/self/task")), gc.get_freeze_count() > 10000)
        """,
        framework,
    )
    assert finished(counted) == "True False\n1 True\n"


@pytest.mark.parametrize(
    ("framework", "kind"),
    [("torch", "scripted"), ("torch", "weights"), ("onnxruntime", "graph")],
)
def test_a_child_has_nothing_left_to_import(
    tmp_path: Path, framework: str, kind: str
) -> None:
    if kind == "scripted":
        model = files.torchscript(tmp_path, files.network(), files.TENSORS)
    elif kind == "weights":
        state = files.network().state_dict()
        model = files.weights(tmp_path, state, files.ARCHITECTURE + files.TENSORS)
    else:
        import onnx

        node, shape = onnx.helper.make_node("Add", ["x", "x"], ["y"]), ["n", 2]
        model = files.onnx_model(tmp_path, [node], [("x", 1, shape)], [("y", 1, shape)])
    request = json.dumps(question(tensor([1, 2], [1, 2])))
    safe = "application/x-safetensors"
    done = python(
        """
        import sys, zygote
        zygote.import_everything(sys.argv[1])
        zygote.rehearse(sys.argv[1])
        before = set(sys.modules)
        from pathlib import Path
        from ncn_executor import Context, execution, scripts
        from ncn_executor.contract import Request
        _, framework, script, model, request, safe = sys.argv
        context = Context()
        executor = scripts.executor_of_script(Path(script), Path("/nowhere"))
        execution.load(executor, Path(model), context)
        executor.warm_up(True)
        for accept in ("", safe):
            asked = Request(request.encode(), accept=accept)
            execution.run_request(executor, asked, context)
        print(sorted(set(sys.modules) - before))
        """,
        *(framework, str(GENERIC), str(model), request, safe),
    )
    assert finished(done) == "['ncn_ready_child']\n"


def test_torch_computes_in_a_plain_fork_with_any_number_of_threads() -> None:
    done = python(
        """
        import os, zygote
        zygote.import_everything("torch")
        zygote.rehearse("torch")
        import torch
        from ncn_executor.threads import count_threads, use_threads
        for threads in (1, 2):
            if os.fork() == 0:
                use_threads(threads)
                torch.rand(600, 600) @ torch.rand(600, 600)
                torch.rand(1000, 1000).exp()
                print(threads, count_threads(), flush=True)
                os._exit(0)
            os.wait()
        print("zygote", count_threads())
        """
    )
    assert finished(done) == "1 1\n2 2\nzygote 1\n"


class Library:
    """A library whose conversation is over at once."""

    served: list[tuple[int, int]] = []

    def __init__(self, path: str) -> None:
        assert path == "/library.so"
        self.ncn_json_tensors = self.ncn_json_tensors_free = lambda *_: None

    class ncn_zygote_serve:
        def __new__(cls, requests: int, doorbell: int) -> Any:
            Library.served.append((requests, doorbell))
            return -1


@pytest.fixture
def thread_counted(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Undoes what a zygote does to its process; counts one thread."""
    for name in threads.VARIABLES:
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setattr(zygote, "count_threads", lambda: 1)
    monkeypatch.setattr("gc.freeze", lambda: None)
    return monkeypatch


def test_the_zygote_ends_with_its_conversation(
    thread_counted: pytest.MonkeyPatch,
) -> None:
    Library.served.clear()
    for framework in zygote.FRAMEWORKS[:1] + zygote.FRAMEWORKS[2:]:
        assert zygote.main(["--framework", framework, *ARGUMENTS], Library) == 0
    assert Library.served == [(5, 6)] * 2


def test_the_zygote_refuses_to_fork_with_two_threads(
    thread_counted: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Library.served.clear()
    thread_counted.setattr(zygote, "count_threads", lambda: 2)
    assert zygote.main(["--framework", "plain", *ARGUMENTS], Library) == 1
    assert re.search("2 threads .* with one only", capsys.readouterr().err)
    assert Library.served == []


def test_a_missing_library_or_framework_is_named(
    thread_counted: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zygote.main(["--framework", "plain", *ARGUMENTS]) == 1
    assert "zygote: /library.so: cannot open" in capsys.readouterr().err
    modules: dict[str, Any] = sys.modules
    thread_counted.setitem(modules, "safetensors.torch", None)
    assert zygote.main(["--framework", "torch", *ARGUMENTS], Library) == 1
    assert "safetensors.torch" in capsys.readouterr().err


def test_optional_packages_may_be_missing(thread_counted: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    thread_counted.setitem(modules, "PIL.Image", None)
    thread_counted.delitem(sys.modules, "PIL.ImageOps", raising=False)
    zygote.import_everything("plain")
    assert modules["PIL.Image"] is None
