"""How many threads the packages that compute may use."""

import os
import sys

THREADS_MAX = 1024
# Read by BLAS libraries when they are first loaded, so set before any import.
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def use_threads(threads: int) -> None:
    """Bounds the packages that are loaded already, and those yet to come.

    A pthreads OpenBLAS that is loaded already, as numpy's wheels bring one, keeps
    the number that it was loaded with.
    """
    for name in VARIABLES:
        os.environ[name] = str(threads)
    if "numpy" in sys.modules:
        _bound_openmp(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def prepare_to_fork() -> None:
    """Before any import of a process whose children call `use_threads`.

    OpenBLAS on OpenMP never goes above the number that it was loaded with, so a 1
    there would round the children's sums otherwise than a new process does. A large
    number starts no thread: OpenMP's start with the first parallel region.
    """
    for name in VARIABLES:
        os.environ[name] = "1"
    os.environ["OMP_NUM_THREADS"] = str(THREADS_MAX)


def count_threads() -> int:
    """The threads of this process, those of native code included."""
    return len(os.listdir("/proc/self/task"))


def _bound_openmp(threads: int) -> None:
    """Tells libgomp, which OpenBLAS asks, if it is there."""
    import ctypes

    try:
        libgomp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOW | os.RTLD_NOLOAD)
    except OSError:
        return
    libgomp.omp_set_num_threads(ctypes.c_int(threads))
