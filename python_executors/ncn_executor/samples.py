"""The request that a model's own manifest names, to warm up with and to test on."""

from pathlib import Path

from ncn_executor.contract import Request, media_type
from ncn_executor.manifest import read_manifest


def named_sample(model_path: Path) -> Request | None:
    """Reads it from beside the model.

    Args:
        model_path: the model file or its folder.

    Returns:
        None where no manifest, or that of another model, or none that names one is.
    """
    folder = model_path if model_path.is_dir() else model_path.parent
    manifest = read_manifest(folder)
    # Beside a flat collection of models, the manifest is another model's.
    is_own = model_path == folder or manifest.file in ("", model_path.name)
    if not is_own or not manifest.warm_up_input:
        return None
    data = (folder / manifest.warm_up_input).read_bytes()
    return Request(data, media_type(manifest.warm_up_type))
