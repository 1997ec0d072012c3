"""What an executor is, and what it is given: the class contract."""

import abc
import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path

from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.threads import THREADS_MAX

OUTPUT_BYTES_MAX_DEFAULT = 256 * 1024 * 1024
# Of what is told while a request runs.
PROGRESS_SECONDS = 0.25
PARTIAL_BYTES_MAX = 64 * 1024
NOTE_CHARS_MAX = 200


@dataclasses.dataclass
class Context:
    """What holds for every request to one loaded model.

    Attributes:
        threads: how many threads the model may use, at least 1.
        runs_max: how often this process runs the model at most, its warm-up included.
        check_weights: whether to look for weights that are not numbers; not again for
            a file that was found sound.
        timings_ms: how long each named step took; filled through `timed`.
        versions: the packages that computed the answer, by name.
        tell: takes progress to the node; None where nobody listens.
    """

    threads: int = 1
    runs_max: int = 1
    check_weights: bool = True
    timings_ms: dict[str, float] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    tell: Callable[[float | None, str, "Response"], None] | None = None
    _next_word_at: float = 0.0

    def progress(
        self,
        fraction: float | None,
        note: str = "",
        partial: "Response | None" = None,
    ) -> None:
        """Tells whoever waits how far the current request is.

        Cheap enough for every turn of a loop: only four words a second go out, none in
        the first quarter, and none where nobody listens. For the thread of `run`.

        Args:
            fraction: what is done, 0 to 1; None if that is not known.
            note: a word on what is going on, for people; cut to 200 characters.
            partial: what there is of the answer so far, instead of what was told
                before; left out when larger than PARTIAL_BYTES_MAX.
        """
        now = time.monotonic()
        if self.tell is None or now < self._next_word_at:
            return
        self._next_word_at = now + PROGRESS_SECONDS
        if fraction is not None:
            fraction = (
                min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0
            )
        if partial is None or len(partial.data) > PARTIAL_BYTES_MAX:
            partial = Response(b"", "")
        self.tell(fraction, note[:NOTE_CHARS_MAX], partial)

    def begin_request(self) -> None:
        """Forgets what was measured of the request before."""
        self.timings_ms.clear()
        self._next_word_at = time.monotonic() + PROGRESS_SECONDS

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds the time that the block takes to `step`, in milliseconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            took_ms = (time.perf_counter() - start) * 1e3
            self.timings_ms[step] = self.timings_ms.get(step, 0.0) + took_ms


@dataclasses.dataclass(frozen=True)
class Request:
    """One input, as it came.

    Attributes:
        data: the bytes of the input.
        content_type: media type in lower case without parameters; "" unknown.
        accept: the media types that the caller takes; "" means no preference.
        request_id: names the request in answers; may be "".
        seed: for reproducible random numbers; None asks for fresh ones.
        output_bytes_max: an answer may not be larger.
    """

    data: bytes
    content_type: str = ""
    accept: str = ""
    request_id: str = ""
    seed: int | None = None
    output_bytes_max: int = OUTPUT_BYTES_MAX_DEFAULT


@dataclasses.dataclass(frozen=True)
class Response:
    """One answer: its bytes and their media type."""

    data: bytes
    content_type: str


class Executor(abc.ABC):
    """Runs one kind of model. Used by one thread.

    Attributes:
        loaded_from: the model's file or folder, set before `load` by whoever calls it.
    """

    loaded_from: Path | None = None

    @abc.abstractmethod
    def load(self, model_path: Path, context: Context) -> None:
        """Makes the model ready; called once, before `run`.

        Heavy imports belong here, inside `context.timed("import")`, so that
        importing the script stays cheap and starts no thread.
        """

    @abc.abstractmethod
    def run(self, request: Request) -> Response:
        """Answers one request. May be called many times."""

    def example(self) -> Request | None:
        """A request that the loaded model can answer, for warm-ups and tests of it: by
        default the one that its manifest names; None if there is no telling one."""
        return self.named_sample()

    def warm_up(self, full: bool) -> bool:
        """Computes on made-up inputs, so that the first request need not be the first.

        Called once after `load` in a process that waits for requests, never where a
        process answers one request; what `run` answers must not depend on it. By
        default the request that the manifest names is answered, else the example.

        Args:
            full: whether inputs should be as large as requests are expected to be;
                otherwise the smallest ones will do.

        Returns:
            Whether anything was computed.
        """
        request = self.named_sample() or (self.example() if full else None)
        if request is not None:
            self.run(request)
        return request is not None

    def named_sample(self) -> Request | None:
        """The request that the manifest names as [warm_up] input; None without one."""
        if self.loaded_from is None:
            return None
        from ncn_executor.samples import named_sample

        return named_sample(self.loaded_from)


def threads_from_environment(environment: Mapping[str, str]) -> int:
    """How many threads the node allows."""
    return _number(environment, "NCN_THREADS", 1, 1, THREADS_MAX)


def request_from_environment(data: bytes, environment: Mapping[str, str]) -> Request:
    """Joins the bytes of the input with what the node says about them."""
    seed_text = environment.get("NCN_SEED", "")
    seed = _number(environment, "NCN_SEED", 0, 0, 2**64 - 1) if seed_text else None
    return Request(
        data=data,
        content_type=media_type(environment.get("NCN_CONTENT_TYPE", "")),
        accept=environment.get("NCN_ACCEPT", ""),
        request_id=environment.get("NCN_REQUEST_ID", ""),
        seed=seed,
        output_bytes_max=_number(
            environment,
            "NCN_OUTPUT_BYTES_MAX",
            OUTPUT_BYTES_MAX_DEFAULT,
            1,
            2**63 - 1,
        ),
    )


def tell_environment(request: Request, environment: MutableMapping[str, str]) -> None:
    """Says about a request what `request_from_environment` reads."""
    environment["NCN_CONTENT_TYPE"] = request.content_type
    environment["NCN_ACCEPT"] = request.accept
    environment["NCN_REQUEST_ID"] = request.request_id
    environment["NCN_OUTPUT_BYTES_MAX"] = str(request.output_bytes_max)
    environment.pop("NCN_SEED", None)
    if request.seed is not None:
        environment["NCN_SEED"] = str(request.seed)


def media_type(text: str) -> str:
    """`Application/JSON; charset=utf-8` becomes `application/json`."""
    return text.split(";", 1)[0].strip().lower()


def _number(
    environment: Mapping[str, str], name: str, default: int, low: int, high: int
) -> int:
    """A whole number from the environment, within bounds."""
    text = environment.get(name, "")
    if not text:
        return default
    if text.isascii() and text.isdigit() and low <= int(text[:30]) <= high:
        return int(text)
    raise ExecutorError(
        ErrorCode.INVALID_INPUT,
        f"{name} cannot be used",
        field=name,
        expected=f"a whole number from {low} to {high}",
        found=repr(text[:40]),
    )
