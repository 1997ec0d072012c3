"""Makes the models and the inputs of ready.py and ready_soak.py, inside the runtime
image.

python3 ready_models.py FOLDER

FOLDER/models is a node's folder of models, FOLDER/inputs holds one request for each and
a row of sizes for `echo`; FOLDER/index.json lists the requests. FOLDER/soak.json lists
more requests to each of ten models, in FOLDER/inputs/soak. Seeds are fixed.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import safetensors.numpy
import safetensors.torch
import torch
from torch import Tensor, nn

JSON = "application/json"
SAFETENSORS = "application/x-safetensors"
# Names of bare weights: the width and the number of their layers; 16 MiB to 1 GiB.
WEIGHTS = {
    "weights16": (2048, 1),
    "weights128": (4096, 2),
    "weights1024": (8192, 4),
}
VOCABULARY, WIDTH, HEADS, LAYERS, NEW_TOKENS, PROMPT = 256, 256, 8, 6, 32, 48
# Where an input is JSON, and from where on it is safetensors.
JSON_BYTES = (1 << 10, 1 << 12, 1 << 14)
SAFETENSORS_BYTES = (1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24)


# Ten models of all kinds of zygotes, and how many inputs each has in a soak.
SOAK = (
    *("mlp", "resnet18", "gpt_short", "echo", "mlp_onnx", "resnet18_onnx"),
    *("mlp_onnx_python", "weights16", "weights128", "reverses"),
)
SOAK_INPUTS = 8
SHORT_TOKENS = 4  # Of gpt_short, so that a soak does not spend its time on one model.

# Speaks of no framework, so that the zygote of plain Python runs it.
REVERSES = """
from ncn_executor import Executor, Response, main

class Reverses(Executor):
    def load(self, model_path, context):
        self._bytes = model_path.read_bytes()

    def run(self, request):
        return Response(request.data[::-1] + self._bytes[-1:], "text/plain")

if __name__ == "__main__":
    main(Reverses)
"""


class Echo(nn.Module):  # type: ignore[misc]
    """Gives back what it gets, so that all the time goes into the way there."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


class Block(nn.Module):  # type: ignore[misc]
    """Two convolutions and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.around: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.around = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.around(x))


def resnet18() -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(before, after, stride), Block(after, after, 1)]
        before = after
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return nn.Sequential(*layers)


class Layer(nn.Module):  # type: ignore[misc]
    """Attention to what came before, then two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, 3 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.between = nn.LayerNorm(WIDTH)
        self.wide = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)
        self.heads: int = HEADS

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        shape = [rows, length, self.heads, width // self.heads]
        query, key, value = self.query(self.before(x)).chunk(3, 2)
        seen = torch.nn.functional.scaled_dot_product_attention(
            query.reshape(shape).transpose(1, 2),
            key.reshape(shape).transpose(1, 2),
            value.reshape(shape).transpose(1, 2),
            is_causal=True,
        )
        x = x + self.mix(seen.transpose(1, 2).reshape([rows, length, width]))
        wide = torch.nn.functional.gelu(self.wide(self.between(x)))
        return x + self.narrow(wide)


class Gpt(nn.Module):  # type: ignore[misc]
    """Continues a text by the likeliest tokens; keeps nothing from token to token."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.places = nn.Embedding(512, WIDTH)
        self.layers = nn.ModuleList([Layer() for _ in range(LAYERS)])
        self.last = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.new_tokens: int = NEW_TOKENS

    def forward(self, tokens: Tensor) -> Tensor:
        for _ in range(self.new_tokens):
            places = torch.arange(tokens.size(1)).unsqueeze(0)
            x = self.tokens(tokens) + self.places(places)
            for layer in self.layers:
                x = layer(x)
            likeliest = self.head(self.last(x[:, -1])).argmax(1, keepdim=True)
            tokens = torch.cat([tokens, likeliest], 1)
        return tokens


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    return make().eval()


def write_model(models: Path, name: str, file: str, specs: str) -> Path:
    """Makes the folder of a model and its manifest; returns where its file belongs."""
    folder = models / name
    folder.mkdir(parents=True)
    text = f'[model]\nname = "{name}"\nversion = "1.0.0"\nfile = "{file}"\n'
    (folder / "model.toml").write_text(text + specs)
    return folder / file


def spec(kind: str, name: str, datatype: str, shape: list[int]) -> str:
    return f'[[{kind}]]\nname = "{name}"\ndatatype = "{datatype}"\nshape = {shape}\n'


def write_scripted(models: Path, name: str, module: nn.Module, specs: str) -> None:
    path = write_model(models, name, "model.pt", specs)
    torch.jit.script(module).save(str(path))


def write_onnx(models: Path, name: str, module: nn.Module, specs: str) -> None:
    path = write_model(models, name, "model.onnx", specs)
    wide = not name.startswith("resnet18")
    example = torch.zeros(1, 784) if wide else torch.zeros(1, 3, 224, 224)
    torch.onnx.export(
        module,
        (example,),
        str(path),
        input_names=["x"],
        output_names=["y"],
        opset_version=17,
        dynamo=False,
    )


def write_weights(models: Path, name: str, width: int, layers: int) -> None:
    """Bare weights of so many square layers, which a child maps instead of reading."""
    sizes = [width] * (layers + 1)
    specs = spec("inputs", "x", "FP32", [1, width])
    specs += f'[architecture]\nname = "mlp"\nsizes = {sizes}\n'
    path = write_model(models, name, "model.safetensors", specs)
    state = {}
    for layer in range(1, layers + 1):
        state[f"fc{layer}.weight"] = torch.full((width, width), 1 / width)
        state[f"fc{layer}.bias"] = torch.zeros(width)
    safetensors.torch.save_file(state, path)


def write_executor(models: Path, name: str, script: str) -> None:
    """An executor script of the model's own, in a folder that is there."""
    (models / name / "executor.py").write_text(script)
    with (models / name / "model.toml").open("a") as manifest:
        manifest.write('\n[executor]\nscript = "executor.py"\n')


def short_gpt() -> nn.Module:
    model = Gpt()
    model.new_tokens = SHORT_TOKENS
    return model


def write_soak_models(models: Path, mlp_specs: str, gpt_specs: str) -> None:
    """Those of the ten that nothing else asks for."""
    write_scripted(models, "gpt_short", seeded(short_gpt), gpt_specs)
    write_onnx(models, "mlp_onnx_python", seeded(mlp), mlp_specs)
    script = Path("/app/python_executors/generic_model_executor.py").read_text()
    write_executor(models, "mlp_onnx_python", script)
    path = write_model(models, "reverses", "model.safetensors", "")
    safetensors.torch.save_file({"w": torch.ones(1)}, path)
    write_executor(models, "reverses", REVERSES)


def soak_request(random: numpy.random.Generator, name: str) -> tuple[str, bytes]:
    """A request to one of the ten, another one each time."""
    if name == "reverses":
        return "application/octet-stream", random.bytes(1000)
    if name == "echo":
        return SAFETENSORS, safetensors_request(row(random, 1000)[0], "x")
    if name in WEIGHTS:
        return SAFETENSORS, safetensors_request(row(random, WEIGHTS[name][0]), "x")
    if name.startswith("resnet18"):
        image = random.random((1, 3, 224, 224), dtype=numpy.float32)
        return SAFETENSORS, safetensors_request(image, "x")
    if name.startswith("gpt"):
        tokens = random.integers(0, VOCABULARY, (1, PROMPT))
        return JSON, json_request(tokens, "INT64", "tokens")
    return JSON, json_request(row(random, 784), "FP32", "x")


def write_soak_inputs(folder: Path) -> None:
    random = numpy.random.default_rng(2)
    (folder / "inputs" / "soak").mkdir()
    index: dict[str, list[dict[str, str]]] = {}
    for name in SOAK:
        for number in range(SOAK_INPUTS):
            content_type, data = soak_request(random, name)
            path = folder / "inputs" / "soak" / f"{name}-{number}"
            path.write_bytes(data)
            entry = {"file": f"soak/{path.name}", "content_type": content_type}
            index.setdefault(name, []).append(entry)
    (folder / "soak.json").write_text(json.dumps(index, indent=2))


def json_request(array: Any, datatype: str, name: str) -> bytes:
    values = array.ravel().tolist()
    tensor = {"name": name, "shape": list(array.shape), "datatype": datatype}
    body = {"id": "bench", "inputs": [{**tensor, "data": values}]}
    return json.dumps(body, separators=(",", ":")).encode()


def safetensors_request(array: Any, name: str) -> bytes:
    return bytes(safetensors.numpy.save({name: array}, metadata={"id": "bench"}))


def row(random: numpy.random.Generator, width: int) -> Any:
    return random.random((1, width), dtype=numpy.float32)


def echo_requests() -> list[tuple[str, bytes]]:
    """Requests of about each size, the form and the bytes of each."""
    random = numpy.random.default_rng(1)
    requests = []
    for size in JSON_BYTES:
        # Seven characters and a comma for each number, and some for the rest.
        numbers = random.integers(10000, 100000, (size - 80) // 8) / 100000
        requests.append((JSON, json_request(numbers, "FP32", "x")))
    for size in SAFETENSORS_BYTES:
        numbers = random.random((size - 112) // 4, dtype=numpy.float32)
        requests.append((SAFETENSORS, safetensors_request(numbers, "x")))
    return requests


def main() -> None:
    folder = Path(sys.argv[1])
    models, inputs = folder / "models", folder / "inputs"
    inputs.mkdir()
    torch.set_num_threads(1)

    in_mlp = spec("inputs", "x", "FP32", [1, 784])
    out_mlp = spec("outputs", "y", "FP32", [1, 10])
    in_image = spec("inputs", "x", "FP32", [1, 3, 224, 224])
    out_image = spec("outputs", "y", "FP32", [1, 1000])
    in_gpt = spec("inputs", "tokens", "INT64", [1, -1])
    out_gpt = spec("outputs", "text", "INT64", [1, -1])
    both_echo = spec("inputs", "x", "FP32", [-1])
    both_echo += spec("outputs", "y", "FP32", [-1])
    write_scripted(models, "mlp", seeded(mlp), in_mlp + out_mlp)
    write_scripted(models, "resnet18", seeded(resnet18), in_image + out_image)
    # Kernels are compiled for lengths that come up: the model says what is usual.
    usual = '[warm_up]\ninput = "usual.json"\n'
    write_scripted(models, "gpt", seeded(Gpt), in_gpt + out_gpt + usual)
    zeros = numpy.zeros((1, PROMPT), numpy.int64)
    (models / "gpt" / "usual.json").write_bytes(json_request(zeros, "INT64", "tokens"))
    write_scripted(models, "echo", seeded(Echo), both_echo)
    write_onnx(models, "mlp_onnx", seeded(mlp), in_mlp + out_mlp)
    write_onnx(models, "resnet18_onnx", seeded(resnet18), in_image + out_image)

    for name, (width, layers) in WEIGHTS.items():
        write_weights(models, name, width, layers)
    write_soak_models(models, in_mlp + out_mlp, in_gpt + out_gpt)

    random = numpy.random.default_rng(1)
    picture = json_request(
        random.integers(0, 256, (1, 784)).astype(numpy.float32) / 256, "FP32", "x"
    )
    image = safetensors_request(
        random.random((1, 3, 224, 224), dtype=numpy.float32), "x"
    )
    prompt = json_request(
        random.integers(0, VOCABULARY, (1, PROMPT)), "INT64", "tokens"
    )
    requests = {
        "mlp": [(JSON, picture)],
        "resnet18": [(SAFETENSORS, image)],
        "gpt": [(JSON, prompt)],
        "mlp_onnx": [(JSON, picture)],
        "resnet18_onnx": [(SAFETENSORS, image)],
        "echo": echo_requests(),
        **{
            name: [(SAFETENSORS, safetensors_request(row(random, width), "x"))]
            for name, (width, _) in WEIGHTS.items()
        },
    }
    index: dict[str, list[dict[str, Any]]] = {}
    for name, wanted in requests.items():
        for content_type, data in wanted:
            path = inputs / f"{name}-{len(index.setdefault(name, []))}"
            path.write_bytes(data)
            entry = {"file": path.name, "content_type": content_type}
            index[name].append({**entry, "bytes": len(data)})
    write_soak_inputs(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "index.json").write_text(json.dumps(index, indent=2))


if __name__ == "__main__":
    main()
