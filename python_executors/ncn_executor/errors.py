"""Typed errors: a code that programs act upon and a text that people act upon."""

import enum
import errno
from collections.abc import Iterator

TEXT_CHARS_MAX = 2000
_OUT_OF_MEMORY_SIGNS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "std::bad_alloc",
    "unable to mmap",
)


class ErrorCode(enum.Enum):
    """What went wrong, in the words of the report."""

    INVALID_INPUT = "INVALID_INPUT"
    INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
    INVALID_MODEL = "INVALID_MODEL"
    UNSUPPORTED_MODEL = "UNSUPPORTED_MODEL"
    INVALID_MANIFEST = "INVALID_MANIFEST"
    OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    ACCESS_DENIED = "ACCESS_DENIED"
    MISSING_DEPENDENCY = "MISSING_DEPENDENCY"
    BROKEN_CONTRACT = "BROKEN_CONTRACT"
    INTERNAL = "INTERNAL"


class ExecutorError(Exception):
    """An error that reaches the caller as it is.

    Texts name fields, types, shapes and counts, never the values of an input:
    they end up in logs.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        field: str = "",
        expected: str = "",
        found: str = "",
        path: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.expected = expected
        self.found = found
        self.path = path

    def as_report(self) -> dict[str, str]:
        """The `error` object of the report; absent parts are left out."""
        parts = {
            "code": self.code.value,
            "message": self.message,
            "field": self.field,
            "expected": self.expected,
            "found": self.found,
            "path": self.path,
        }
        return {key: _clip(text) for key, text in parts.items() if text}

    def __str__(self) -> str:
        text = f"{self.code.value}: {self.message}"
        if self.field:
            text += f" [{self.field}]"
        if self.expected or self.found:
            text += f" (expected {self.expected}, found {self.found})"
        return text


def invalid_input(
    message: str, *, field: str = "", expected: str = "", found: str = ""
) -> ExecutorError:
    """The caller's input cannot be used; the commonest error by far."""
    return ExecutorError(
        ErrorCode.INVALID_INPUT, message, field=field, expected=expected, found=found
    )


def from_exception(error: BaseException) -> ExecutorError:
    """Finds the typed error in, or behind, any exception."""
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, ExecutorError):
            return link
    for link in chain:
        typed = _from_known(link)
        if typed is not None:
            return typed
    return ExecutorError(
        ErrorCode.INTERNAL, f"{type(error).__name__}: {first_line(error)}"
    )


def first_line(error: BaseException) -> str:
    """The first line of an exception's text, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return _clip(lines[0]) if lines else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a framework said, in whatever words, that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    return any(sign in text for sign in _OUT_OF_MEMORY_SIGNS)


def _from_known(error: BaseException) -> ExecutorError | None:
    """Maps what the operating system and the interpreter raise."""
    if is_out_of_memory(error):
        return ExecutorError(
            ErrorCode.OUT_OF_MEMORY,
            "memory ran out: raise the memory limit, or send a smaller input",
        )
    if isinstance(error, OSError):
        path = str(error.filename or "")
        if error.errno in (errno.EACCES, errno.EPERM):
            where = path or "a file"
            return ExecutorError(
                ErrorCode.ACCESS_DENIED, f"access denied to {where}", path=path
            )
        if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            return ExecutorError(
                ErrorCode.OUTPUT_TOO_LARGE,
                "the output does not fit into the working folder",
                path=path,
            )
    if isinstance(error, ModuleNotFoundError) and error.name:
        return ExecutorError(
            ErrorCode.MISSING_DEPENDENCY,
            f"the Python package '{error.name}' is missing: install "
            "requirements.txt, or use the runtime image",
            field=error.name,
        )
    if isinstance(error, RuntimeError) and "Permission denied" in str(error):
        return ExecutorError(ErrorCode.ACCESS_DENIED, first_line(error))
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, then what caused it, at most eight deep."""
    link: BaseException | None = error
    for _ in range(8):
        if link is None:
            return
        yield link
        link = link.__cause__ or (
            None if link.__suppress_context__ else link.__context__
        )


def _clip(text: str) -> str:
    """Bounds a text, marking the cut."""
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
