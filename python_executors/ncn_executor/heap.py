"""The C library's heap of a process that answers request after request and is returned
to one moment in between.

Left alone, the C library maps large blocks one by one until it has seen some freed,
and then takes them from the heap instead. A process that is returned to the moment
before has never seen one.
"""

import ctypes
import gc

# <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_INT_MAX = 2**31 - 1
_MAPPED_FROM_BYTES = 32 << 20  # The largest that the C library takes.
_SPARE_BYTES = 64 << 20


def keep() -> None:
    """Blocks come from one heap from now on, which does not shrink by itself."""
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
    mallopt(_TRIM_THRESHOLD, _INT_MAX)
    mallopt(_TOP_PAD, _SPARE_BYTES)
    mallopt(_ARENA_MAX, 1)


def tidy() -> None:
    """Gives back what has been freed, and makes room for requests that nobody has
    written to, which costs no memory. What there is now is not looked at again for
    garbage, which would write to all of it."""
    gc.collect()
    gc.freeze()
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.malloc_trim(0)
    # The heap's end moves by that and by _SPARE_BYTES.
    library.free(library.malloc(_MAPPED_FROM_BYTES // 2))
