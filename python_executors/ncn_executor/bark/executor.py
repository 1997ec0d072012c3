"""What the scripts of Bark have in common."""

from pathlib import Path
from typing import ClassVar

from ncn_executor.contract import Context, Executor, Request, Response


class BarkExecutor(Executor):
    """Runs some stages of Bark; a script says which.

    Attributes:
        STAGES: in order, of "semantic", "coarse", "fine" and "codec".
    """

    STAGES: ClassVar[tuple[str, ...]]

    def load(self, model_path: Path, context: Context) -> None:
        from ncn_executor.bark.files import find_stages

        files = find_stages(model_path, self.STAGES)
        with context.timed("import"):
            from ncn_executor.backends.torch_backend import import_torch

            torch = import_torch(context.threads)
            from ncn_executor.bark.pipeline import Pipeline
        context.versions["torch"] = str(torch.__version__)
        self._context = context
        self._pipeline = Pipeline(files, context.progress)

    def run(self, request: Request) -> Response:
        with self._context.timed("infer"):
            return self._pipeline.answer(request)

    def example(self) -> Request | None:
        return self.named_sample() or self._pipeline.example()

    def warm_up(self, full: bool) -> bool:
        # Not on the example, whose loops take long and run the same code again.
        if self.named_sample() is not None:
            return super().warm_up(full)
        return self._pipeline.warm_up(full)
