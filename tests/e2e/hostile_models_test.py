"""Models made to hurt their loader: a typed error each, and the node serves on.

In strict mode, through the whole node. The files are written here byte by byte.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Network, write_scripted_model
from executors_test import GOOD

MEMORY_MB = 448
BOMB_MB = 512
FLOAT, COUNT = 1, 4
MLP = '[architecture]\nname = "mlp"\nsizes = [4, 2]\n'
IMAGE_INPUT = (
    '[[inputs]]\nname = "x"\ndatatype = "FP32"\nshape = [1, 1, 2, 2]\n'
    '[inputs.preprocess]\nkind = "image"\ncolor = "L"\nsize = [2, 2]\n'
)
QUESTION = json.dumps(
    {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0] * COUNT}
        ]
    }
).encode()


class Shell:
    """Whoever unpickles this runs a shell."""

    def __init__(self, line: str) -> None:
        self._line = line

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, (self._line,)


def write_model(models: Path, name: str, file: str, data: bytes, manifest: str) -> Path:
    """A model folder of one file and its manifest."""
    folder = models / name
    folder.mkdir(parents=True)
    (folder / file).write_bytes(data)
    text = f'[model]\nname = "{name}"\nfile = "{file}"\n{manifest}'
    (folder / "model.toml").write_text(text, encoding="utf-8")
    return folder


def write_archive(path: Path, files: dict[str, bytes], bomb: str = "") -> None:
    """What torch writes: a zip archive with all in one folder, and perhaps a bomb."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"archive/{name}", data)
        if bomb:
            entry = zipfile.ZipInfo(f"archive/{bomb}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry._compresslevel = 1  # type: ignore[attr-defined]
            with archive.open(entry, "w", force_zip64=True) as inside:
                for _ in range(BOMB_MB):
                    inside.write(bytes(1 << 20))


def tensor_pickle(key: str, elements: int) -> bytes:
    """A state_dict of one FP32 tensor, as torch.save pickles it."""

    def text(word: str) -> bytes:
        return b"X" + struct.pack("<I", len(word)) + word.encode()

    count = b"J" + struct.pack("<i", elements)
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0")
    storage += text("cpu") + count + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + count
    tensor += b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text(key) + tensor + b"s."


def safetensors(header: object, data: bytes, length: int | None = None) -> bytes:
    """A safetensors file, with any length of the header that one likes."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message."""

    def varint(rest: int) -> bytes:
        head = bytearray()
        while rest > 127:
            head.append(rest & 127 | 128)
            rest >>= 7
        return bytes(head) + bytes([rest])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_model(sizes: tuple[int, ...], weights: bytes = b"") -> bytes:
    """An ONNX model that adds its weights, if any, to its input "x"."""
    shape = b"".join(field(1, field(1, size)) for size in sizes)
    kind = field(2, field(1, field(1, FLOAT) + field(2, shape)))
    node = field(1, "x") + (field(1, "w") if weights else b"") + field(2, "y")
    graph = field(1, node + field(4, "Add" if weights else "Identity")) + field(2, "g")
    graph += field(5, weights) if weights else b""
    graph += field(11, field(1, "x") + kind) + field(12, field(1, "y") + kind)
    return field(1, 8) + field(8, field(1, "") + field(2, 13)) + field(7, graph)


def external(place: str) -> bytes:
    """A model whose weights are the first bytes of another file."""
    tensor = field(1, 1) + field(1, COUNT) + field(2, FLOAT) + field(8, "w")
    for key, value in (("location", place), ("length", str(4 * COUNT))):
        tensor += field(13, field(1, key) + field(2, value))
    return onnx_model((1, COUNT), tensor + field(14, 1))


def png(width: int, height: int) -> bytes:
    """A white-on-nothing image of one bit a pixel: small on the wire."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * height), 1)
    begin = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return begin + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(name="network")
def fixture_network(
    start_network: Callable[..., Network], tmp_path: Path
) -> Callable[[], Network]:
    """Starts a network for the models that a test wrote, and a good one."""

    def start() -> Network:
        models = tmp_path / "models"
        write_scripted_model(models, "good", GOOD)
        return start_network(
            models,
            "--execution-timeout-secs",
            "20",
            "--max-memory-mb",
            str(MEMORY_MB),
            SANDBOX_MODE="strict",
        )

    return start


def assert_serves(network: Network) -> None:
    """The node lives and answers."""
    result = network.infer("good", b"hello")
    assert result.returncode == 0, result.stderr + network.log()


def test_a_pickle_that_runs_a_shell_reaches_nothing_of_the_host(
    network: Callable[[], Network], tmp_path: Path
) -> None:
    models, marker = tmp_path / "models", tmp_path / "marker"
    shell = f"touch {marker} /model/marker; echo > ${{TMPDIR:-/tmp}}/ran"
    attack = pickle.dumps(Shell(shell), 2)
    parts = {"data.pkl": attack, "version": b"3\n", "byteorder": b"little"}
    write_model(models, "bare", "model.pt", attack, MLP)
    checkpoint = write_model(models, "checkpoint", "model.pt", b"", MLP)
    write_archive(checkpoint / "model.pt", parts)
    script = write_model(models, "script", "model.pt", b"", "")
    parts |= {"constants.pkl": attack, "code/__torch__.py": b"import os\n"}
    write_archive(script / "model.pt", parts)
    # Whose own script trusts it: then the shell runs, where it can do no harm.
    trusting = (
        "import pickle\npickle.load(open('/model/attack.pkl', 'rb'))\n"
        "import os\n"
        "assert os.path.exists(os.environ.get('TMPDIR', '/tmp') + '/ran')\n"
    )
    write_scripted_model(models, "trusting", trusting + GOOD)
    (models / "trusting" / "attack.pkl").write_bytes(attack)
    running = network()
    for name, expected in (
        ("bare", "MODEL_NOT_FOUND"),  # It is not even offered.
        ("checkpoint", "holds more than weights"),
        ("script", "MODEL_INVALID"),
    ):
        result = running.infer(name, QUESTION)
        assert result.returncode != 0, name
        assert expected in result.stderr, (name, result.stderr)
    result = running.infer("trusting", QUESTION)
    assert result.returncode == 0, result.stderr + running.log()
    assert_serves(running)
    assert not marker.exists()
    assert not list(models.rglob("marker"))
    # The attack is in order: it works on who has no sandbox.
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import pickle,sys; pickle.loads(sys.stdin.buffer.read())",
        ],
        input=attack,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    assert marker.exists()


def test_safetensors_that_point_elsewhere_are_refused(
    network: Callable[[], Network], tmp_path: Path
) -> None:
    def weights(*offsets: tuple[int, int]) -> dict[str, object]:
        return {
            f"t{i}": {"dtype": "F32", "shape": [2], "data_offsets": list(pair)}
            for i, pair in enumerate(offsets)
        }

    files = {
        "endless_header": safetensors({}, b"", length=1 << 60),
        "negative_header": safetensors({}, b"", length=(1 << 64) - 8),
        "overlap": safetensors(weights((0, 8), (4, 12)), bytes(12)),
        "beyond": safetensors(weights((1 << 40, (1 << 40) + 8)), bytes(8)),
        "backwards": safetensors(weights((8, 0)), bytes(8)),
        "hole": safetensors(weights((0, 8), (16, 24)), bytes(24)),
    }
    for name, data in files.items():
        write_model(tmp_path / "models", name, "model.safetensors", data, MLP)
    running = network()
    for name in files:
        result = running.infer(name, QUESTION)
        assert result.returncode != 0, name
        assert "MODEL_NOT_FOUND" in result.stderr, (name, result.stderr)
        assert f"model {name} is not served" in running.log()
    assert_serves(running)


def test_onnx_reads_no_file_outside_its_folder(
    network: Callable[[], Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    good = write_model(models, "beside", "model.onnx", external("data"), "")
    (good / "data").write_bytes(struct.pack("<4f", 1, 2, 3, 4))
    places = (
        "/etc/passwd",
        "../../../../etc/passwd",
        "../beside/data",
        str(models / "beside" / "data"),
        str(tmp_path / "network0" / "state" / "wallet.key"),
        "/proc/1/environ",
    )
    for i, place in enumerate(places):
        write_model(models, f"out{i}", "model.onnx", external(place), "")
    linked = write_model(models, "linked", "model.onnx", external("data"), "")
    (linked / "data").symlink_to("/etc/passwd")
    running = network()
    answer = running.folder / "answer"
    result = running.infer("beside", QUESTION, "--output", answer)
    assert result.returncode == 0, result.stderr + running.log()
    assert json.loads(answer.read_bytes())["outputs"][0]["data"] == [1, 2, 3, 4]
    for name in (*(f"out{i}" for i in range(len(places))), "linked"):
        result = running.infer(name, QUESTION)
        assert result.returncode != 0, name
        assert "MODEL_" in result.stderr, result.stderr
    assert_serves(running)


def test_bombs_end_at_the_memory_limit(
    network: Callable[[], Network], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    checkpoint = write_model(models, "checkpoint", "model.pt", b"", MLP)
    parts = {"data.pkl": tensor_pickle("w", BOMB_MB << 18), "version": b"3\n"}
    write_archive(checkpoint / "model.pt", parts, "data/0")
    script = write_model(models, "script", "model.pt", b"", "")
    parts["constants.pkl"] = tensor_pickle("w", BOMB_MB << 18)
    write_archive(script / "model.pt", parts, "constants/0")
    assert (script / "model.pt").stat().st_size < 8 << 20
    write_model(models, "image", "model.onnx", onnx_model((1, 1, 2, 2)), IMAGE_INPUT)
    running = network()
    for name, expected in (("checkpoint", "MODEL_INVALID"), ("script", "MEMORY_LIMIT")):
        result = running.infer(name, QUESTION)
        assert result.returncode != 0, name
        assert expected in result.stderr, (name, result.stderr)
    result = running.infer("image", png(2, 2), name="small.png")
    assert result.returncode == 0, result.stderr
    result = running.infer("image", png(30000, 30000), name="bomb.png")
    assert result.returncode != 0
    assert "INPUT_TOO_LARGE" in result.stderr
    assert_serves(running)
