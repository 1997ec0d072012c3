"""A manifest's inputs and outputs beside those that the stages of a model have."""

from collections.abc import Sequence

from ncn_executor.backends import contradiction
from ncn_executor.bark.files import StageFiles
from ncn_executor.bark.questions import TOKENS
from ncn_executor.manifest import TensorSpec
from ncn_executor.tensors import shape_text, shapes_fit


def check_manifests(
    files: StageFiles, takes: Sequence[str], makes: Sequence[str]
) -> None:
    """Refuses a manifest that says otherwise than the stages are.

    Args:
        takes: what the stages take, by name.
        makes: what they make.
    """
    takes = [*(["text"] if "text_tokens" in takes else []), *takes]
    for file in files.networks.values():
        for spec in file.manifest.inputs:
            _check("inputs", spec, takes)
        for spec in file.manifest.outputs:
            _check("outputs", spec, makes)


def _check(kind: str, spec: TensorSpec, known: Sequence[str]) -> None:
    field = f"{kind}.{spec.name}"
    if spec.name not in known:
        raise contradiction(field, spec.name, ", ".join(known))
    if spec.name == "text" and spec.datatype not in (None, "BYTES"):
        raise contradiction(f"{field}.datatype", str(spec.datatype), "BYTES")
    if spec.name not in TOKENS:
        return
    # Tokens may come as any whole numbers, and go as INT64.
    is_fit = "INT" in (spec.datatype or "INT64")
    if not is_fit or (kind == "outputs" and spec.datatype not in (None, "INT64")):
        raise contradiction(f"{field}.datatype", str(spec.datatype), "INT64")
    shape = TOKENS[spec.name][0]
    if spec.shape is not None and not shapes_fit(spec.shape, shape):
        expected, found = shape_text(spec.shape), shape_text(shape)
        raise contradiction(f"{field}.shape", expected, found)
