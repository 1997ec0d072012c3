#!/usr/bin/env python3
"""Imports one framework, then becomes a ready child as often as it is asked to.

python3 -s zygote.py --framework torch --library FILE --requests 5 --doorbell 6

The library forks: its `int ncn_zygote_serve(int requests, int doorbell)` returns 0
in each child, which is then in a sandbox of its own, and a negative number in this
process when the node has closed `requests`. Exit status: 0 then, 1 when this process
cannot be forked safely, 2 for wrong arguments.

A fork copies the thread that calls it and no other, so this process may have one
thread only. It computes with one, too: more would start a framework's threads.
"""

import argparse
import ctypes
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ncn_executor.threads import count_threads, prepare_to_fork, use_threads

_EXECUTORS = Path(__file__).resolve().parent
FRAMEWORKS = ("torch", "onnxruntime", "plain")
# What the runtime itself imports only once a request needs it.
_MODULES = (
    "numpy",
    "numpy.random",
    "ncn_executor.ready_child",
    "ncn_executor.backends",
    "ncn_executor.payload",
    "ncn_executor.samples",
    "ncn_executor.warm_up",
)
_TORCH_MODULES = (
    "ncn_executor.architectures.cnn",
    "ncn_executor.architectures.encoder",
    "ncn_executor.architectures.gpt",
    "ncn_executor.architectures.mlp",
    "ncn_executor.bark.pipeline",
    "safetensors.torch",
)
# Not every environment has these, and not every model needs them.
_OPTIONAL_MODULES = (
    "PIL.Image",
    "PIL.ImageOps",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "safetensors.numpy",
)


def import_everything(framework: str) -> None:
    """Imports all that a child would; raises ImportError for what it cannot do without.

    Args:
        framework: one of FRAMEWORKS; "plain" is for scripts that bring their own.
    """
    prepare_to_fork()
    for name in _MODULES:
        importlib.import_module(name)
    if framework == "torch":
        from ncn_executor.backends.torch_backend import import_torch

        import_torch(1)
        for name in _TORCH_MODULES:
            importlib.import_module(name)
    elif framework == "onnxruntime":
        from ncn_executor.backends.onnx_backend import import_onnxruntime

        import_onnxruntime()
    for name in _OPTIONAL_MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    image = sys.modules.get("PIL.Image")
    if image is not None:
        image.preinit()
    # Until a child says otherwise.
    use_threads(1)
    from ncn_executor import scripts

    for script in _EXECUTORS.glob("*_executor.py"):
        scripts.remember(script)


def rehearse(framework: str) -> None:
    """Runs once what children will run, and leaves alone what there is from then on."""
    if framework != "plain":
        from ncn_executor import rehearsal

        rehearsal.rehearse(framework, _EXECUTORS / "generic_model_executor.py")
    # Children share these pages for as long as nobody writes to them.
    gc.collect()
    gc.freeze()


def main(
    arguments: Sequence[str] | None = None,
    open_library: Callable[[str], Any] = ctypes.PyDLL,
) -> int:
    """Serves until the node is done; returns the exit status of the zygote.

    Args:
        open_library: loads a library whose functions are called with the interpreter's
            lock held, which a fork needs.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--framework", required=True, choices=FRAMEWORKS)
    parser.add_argument("--library", required=True, metavar="FILE")
    parser.add_argument("--requests", required=True, type=int, metavar="DESCRIPTOR")
    parser.add_argument("--doorbell", required=True, type=int, metavar="DESCRIPTOR")
    options = parser.parse_args(arguments)
    try:
        import_everything(options.framework)
        from ncn_executor import fast_json, open_inference

        library = open_library(options.library)
        serve = library.ncn_zygote_serve
        open_inference.fast_decode = fast_json.decoder(library)
        rehearse(options.framework)
    except (ImportError, OSError, AttributeError) as error:
        print(f"zygote: {error}", file=sys.stderr)
        return 1
    serve.argtypes, serve.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    threads = count_threads()
    if threads != 1:
        print(
            f"zygote: {threads} threads after importing {options.framework}; a process "
            "can be forked safely with one only",
            file=sys.stderr,
        )
        return 1
    # What os.fork() does around the call; the zygote never leaves `serve` in between.
    for name in ("BeforeFork", "AfterFork_Child", "AfterFork_Parent"):
        function = getattr(ctypes.pythonapi, f"PyOS_{name}")
        function.argtypes, function.restype = (), None
    ctypes.pythonapi.PyOS_BeforeFork()
    if serve(options.requests, options.doorbell) == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        _be_a_child()
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    return 0


def _be_a_child() -> None:
    """Never returns: what the zygote has to do next is none of a child's business."""
    status = 1
    try:
        from ncn_executor import ready_child

        status = ready_child.serve()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
