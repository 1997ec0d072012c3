"""Which files of a model's folder hold which stage."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.formats import EXTENSIONS, ModelFile, find_model

# Names without extension; the later ones are those of the published files.
_STEMS = {
    "semantic": ("semantic", "bark_semantic_model", "text_2", "text"),
    "coarse": ("coarse", "bark_coarse_model", "coarse_2"),
    "fine": ("fine", "bark_fine_model", "fine_2"),
    "codec": ("codec", "bark_codec_model"),
}


@dataclasses.dataclass(frozen=True)
class StageFiles:
    """A model of Bark on disk.

    Attributes:
        name: of the model, for answers.
        folder: where vocabulary and voices are.
        networks: by stage, in the order in which stages run.
        codec: a TorchScript archive; None where there is none.
    """

    name: str
    version: str
    folder: Path
    networks: Mapping[str, ModelFile]
    codec: Path | None


def find_stages(model_path: Path, stages: Sequence[str]) -> StageFiles:
    """Finds the files of the stages.

    Args:
        model_path: the model file or its folder. Of a model with one stage it is that
            stage; of one with several, what lies beside it counts as well.
        stages: of "semantic", "coarse", "fine" and "codec", which may be missing.
    """
    folder = model_path if model_path.is_dir() else model_path.parent
    wanted = [stage for stage in stages if stage != "codec"]
    if len(wanted) == 1:
        path = _stage_path(folder, wanted[0]) if model_path.is_dir() else model_path
        networks = {wanted[0]: find_model(path or model_path)}
    else:
        networks = {s: find_model(_required_path(folder, s)) for s in wanted}
    codec_path = _stage_path(folder, "codec") if "codec" in stages else None
    if codec_path:
        _check_codec(find_model(codec_path))
    first = networks[wanted[0]]
    manifests = [file.manifest for file in networks.values()]
    named = next((m for m in manifests if m.name), first.manifest)
    name = named.name or ("bark" if len(wanted) > 1 else first.name)
    return StageFiles(name, named.version, folder, networks, codec_path)


def _stage_path(folder: Path, stage: str) -> Path | None:
    """The file of a stage; None where there is none, an error where there are two."""
    found = [
        folder / f"{stem}{extension}"
        for stem in _STEMS[stage]
        for extension in EXTENSIONS
        if (folder / f"{stem}{extension}").is_file()
    ]
    if len(found) > 1:
        raise _invalid(folder, stage, "one file", ", ".join(p.name for p in found))
    return found[0] if found else None


def _required_path(folder: Path, stage: str) -> Path:
    path = _stage_path(folder, stage)
    if path is None:
        names = ", ".join(f"{stem}.pt" for stem in _STEMS[stage])
        there = sorted(entry.name for entry in folder.iterdir())
        raise _invalid(
            folder, stage, f"{names} or .safetensors", ", ".join(there[:8]) or "nothing"
        )
    return path


def _check_codec(model: ModelFile) -> None:
    if model.format != "torchscript":
        raise _invalid(model.path, "codec", "a TorchScript archive", model.format)


def _invalid(path: Path, stage: str, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"the model's file for the stage '{stage}' cannot be used",
        field=stage,
        expected=expected,
        found=found,
        path=str(path),
    )
