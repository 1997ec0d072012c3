#!/usr/bin/env python3
"""Runs any TorchScript, torch.save, ONNX or safetensors model on tensors.

python3 generic_model_executor.py --model PATH --input FILE --output FILE

The input is Open Inference Protocol JSON, safetensors, numpy's files, PNG, JPEG, WAV or
FLAC; see README.md for the formats and the errors.
"""

from pathlib import Path

from ncn_executor import Context, Executor, Request, Response, main


class GenericModelExecutor(Executor):
    """Tensors in, tensors out."""

    def load(self, model_path: Path, context: Context) -> None:
        from ncn_executor.formats import find_model

        self._context = context
        self._model = find_model(model_path)
        with context.timed("import"):
            import numpy

            from ncn_executor import payload, sounds, tensors, warm_up
            from ncn_executor.backends import load_backend
            from ncn_executor.preprocess import AudioPreprocess

            manifest = self._model.manifest
            if any(isinstance(i.preprocess, AudioPreprocess) for i in manifest.inputs):
                sounds.import_packages()
        context.versions["numpy"] = numpy.__version__
        self._payload, self._tensors, self._warm_up = payload, tensors, warm_up
        self._backend = load_backend(self._model, context)

    def run(self, request: Request) -> Response:
        manifest = self._model.manifest
        with self._context.timed("decode"):
            content_type = self._payload.content_type_of(request)
            answer_type = self._payload.answer_type(request.accept, content_type)
            question = self._payload.decode(request, content_type, self._backend.inputs)
            inputs = self._tensors.check_inputs(question.tensors, self._backend.inputs)
        with self._context.timed("infer"):
            outputs = self._backend.run(inputs)
        with self._context.timed("encode"):
            return self._payload.encode(
                outputs,
                request,
                question,
                answer_type,
                (self._model.name, manifest.version),
                manifest.outputs,
            )

    def example(self) -> Request | None:
        named = self.named_sample()
        if named is not None:
            return named
        specs = self._backend.inputs
        inputs = self._warm_up.made_up_inputs(specs, full=True)
        return self._warm_up.made_up_request(specs, inputs)

    def warm_up(self, full: bool) -> bool:
        if super().warm_up(full):
            return True
        inputs = self._warm_up.made_up_inputs(self._backend.inputs, full)
        if inputs:
            self._backend.run(inputs)
        return bool(inputs)


if __name__ == "__main__":
    main(GenericModelExecutor)
