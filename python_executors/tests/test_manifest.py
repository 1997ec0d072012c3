"""model.toml: what is read and what is refused."""

from pathlib import Path

import pytest
from ncn_executor.errors import ErrorCode, ExecutorError
from ncn_executor.manifest import Manifest, parse_manifest, read_manifest
from ncn_executor.preprocess import AudioPreprocess, ImagePreprocess

FULL = """
[model]
name = "digits"
version = "1.0"
format = "safetensors"
file = "model.safetensors"
license = "Apache-2.0"
description = "reads digits"
[executor]
script = "generic_model_executor.py"
[architecture]
name = "mlp"
sizes = [2, 3]
[[inputs]]
name = "image"
datatype = "FP32"
shape = [-1, 1, 28, 28]
allow_non_finite = true
[inputs.preprocess]
kind = "image"
color = "RGB"
size = [28, 20]
scale = 0.5
mean = [1, 2, 3]
std = 2
layout = "NHWC"
invert = true
[[outputs]]
name = "p"
datatype = "FP32"
shape = [-1, 2]
labels = ["a", "b"]
[limits]
timeout_secs = 10
memory_mb = 100
[hashes]
"model.safetensors" = "{digest}"
""".replace(
    "{digest}", "ab" * 32
)


def refused(text: str) -> ExecutorError:
    """The error of a manifest that must not be taken."""
    with pytest.raises(ExecutorError) as caught:
        parse_manifest(text)
    assert caught.value.code is ErrorCode.INVALID_MANIFEST
    return caught.value


def test_reads_every_key() -> None:
    manifest = parse_manifest(FULL)
    assert (manifest.name, manifest.version) == ("digits", "1.0")
    assert (manifest.format, manifest.file) == ("safetensors", "model.safetensors")
    assert manifest.architecture == "mlp"
    assert manifest.parameters == {"sizes": [2, 3]}
    image = manifest.inputs[0]
    assert image.shape == (-1, 1, 28, 28)
    assert image.allow_non_finite
    assert isinstance(image.preprocess, ImagePreprocess)
    assert image.preprocess.size == (28, 20)
    assert image.preprocess.mean == (1.0, 2.0, 3.0)
    assert image.preprocess.std == (2.0,)
    assert (image.preprocess.layout, image.preprocess.invert) == ("NHWC", True)
    assert manifest.outputs[0].labels == ("a", "b")


def test_everything_is_optional(tmp_path: Path) -> None:
    assert parse_manifest("") == Manifest()
    assert read_manifest(tmp_path) == Manifest()
    assert parse_manifest('[[inputs]]\nname = "x"').inputs[0].shape is None


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[modle]", "modle", "model"),
        ('[model]\nnmae = "x"', "model.nmae", "name"),
        ('[[inputs]]\nname = "x"\ndtype = "FP32"', "inputs[0].dtype", "datatype"),
        ('[[inputs]]\nname = "x"\nlabels = []', "inputs[0].labels", ""),
        ('[[outputs]]\nname = "x"\nlabel = []', "outputs[0].label", "labels"),
        ("[limits]\nmemory = 1", "limits.memory", "memory_mb"),
        ("[executor]\nfile = 'x'", "executor.file", ""),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(
    text: str, key: str, hint: str
) -> None:
    error = refused(text)
    assert error.field == key
    assert not hint or f"did you mean '{hint}'?" in error.message


PREPROCESS = '[[inputs]]\nname = "x"\n[inputs.preprocess]\n'


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("model = 1", "model"),
        ("inputs = 1", "inputs"),
        ("inputs = [1]", "inputs"),
        ("[model]\nname = 1", "model.name"),
        ('[model]\nformat = "pickle"', "model.format"),
        ('[model]\nfile = "../x"', "model.file"),
        ('[model]\nfile = ".."', "model.file"),
        ("[[inputs]]\nshape = [1]", "inputs[0].name"),
        ('[[inputs]]\nname = "x"\n[[inputs]]\nname = "x"', "inputs[1].name"),
        ('[[inputs]]\nname = "x"\ndatatype = "FLOAT"', "inputs[0].datatype"),
        ('[[inputs]]\nname = "x"\nshape = [-2]', "inputs[0].shape"),
        ('[[inputs]]\nname = "x"\nshape = [true]', "inputs[0].shape"),
        ('[[inputs]]\nname = "x"\nshape = ' + str([1] * 17), "inputs[0].shape"),
        ('[[inputs]]\nname = "x"\nallow_non_finite = 1', "inputs[0].allow_non_finite"),
        ('[[outputs]]\nname = "x"\nlabels = [1]', "outputs[0].labels"),
        (PREPROCESS, "inputs[0].preprocess.size"),
        (PREPROCESS + "size = [1, 99999]", "inputs[0].preprocess.size"),
        (PREPROCESS + "size = [1, 1]\nstd = 0", "inputs[0].preprocess.std"),
        (PREPROCESS + "size = [1, 1]\nmean = [1, 2]", "inputs[0].preprocess.mean"),
        (PREPROCESS + "size = [1, 1]\nscale = nan", "inputs[0].preprocess.scale"),
        (PREPROCESS + "size = [1, 1]\nscale = 'x'", "inputs[0].preprocess.scale"),
        (PREPROCESS + 'size = [1, 1]\ncolor = "CMYK"', "inputs[0].preprocess.color"),
        (PREPROCESS + 'size = [1, 1]\nkind = "video"', "inputs[0].preprocess.kind"),
        ("[limits]\ntimeout_secs = 0", "limits.timeout_secs"),
        ('[hashes]\n"x" = "abc"', "hashes.x"),
    ],
)
def test_a_wrong_value_is_named(text: str, field: str) -> None:
    assert refused(text).field == field


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text("[model\n")
    with pytest.raises(ExecutorError, match="line 1"):
        read_manifest(tmp_path)
    (tmp_path / "model.toml").write_bytes(b"\xff")
    with pytest.raises(ExecutorError, match="not TOML"):
        read_manifest(tmp_path)
    (tmp_path / "model.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ExecutorError, match="too large"):
        read_manifest(tmp_path)


def test_reads_how_sound_becomes_samples() -> None:
    text = PREPROCESS + 'kind = "audio"\nsample_rate = 16000\nsamples = 400\n'
    how = parse_manifest(text + 'layout = "NT"\nseconds_max = 9').inputs[0].preprocess
    assert how == AudioPreprocess(16000, 1, 400, 9, "NT")


def test_reads_what_an_input_may_hold() -> None:
    spec = parse_manifest(
        '[[inputs]]\nname = "x"\noptional = true\nallow_empty = true\n'
        "minimum = 0\nmaximum = 9.5"
    ).inputs[0]
    assert (spec.optional, spec.allow_empty) == (True, True)
    assert (spec.minimum, spec.maximum) == (0.0, 9.5)


def test_reads_the_input_of_the_warm_up() -> None:
    text = '[warm_up]\ninput = "cat.png"\ncontent_type = "image/png"'
    manifest = parse_manifest(text)
    assert (manifest.warm_up_input, manifest.warm_up_type) == ("cat.png", "image/png")
