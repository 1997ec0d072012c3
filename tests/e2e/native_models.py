"""Makes the ONNX models and the requests of native_test.py, inside the runtime image.

python3 native_models.py FOLDER

FOLDER/native and FOLDER/python are a node's folders of the same models; in the second,
their manifests name a script executor.py, which is not there yet. FOLDER/requests.json
lists what to ask: [model, content type, file, accept].
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

JSON, SAFETENSORS = "application/json", "application/x-safetensors"
# The protocol's datatype -> numpy's and ONNX's.
DATATYPES: dict[str, tuple[Any, int]] = {
    "BOOL": (np.bool_, TensorProto.BOOL),
    "INT8": (np.int8, TensorProto.INT8),
    "INT16": (np.int16, TensorProto.INT16),
    "INT32": (np.int32, TensorProto.INT32),
    "INT64": (np.int64, TensorProto.INT64),
    "UINT8": (np.uint8, TensorProto.UINT8),
    "UINT16": (np.uint16, TensorProto.UINT16),
    "UINT32": (np.uint32, TensorProto.UINT32),
    "UINT64": (np.uint64, TensorProto.UINT64),
    "FP16": (np.float16, TensorProto.FLOAT16),
    "FP32": (np.float32, TensorProto.FLOAT),
    "FP64": (np.float64, TensorProto.DOUBLE),
}
PYTHON = '[executor]\nscript = "executor.py"\n'


class Models:
    """A folder of models and what to ask them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._requests: list[list[str]] = []
        (folder / "requests").mkdir()

    def add(
        self,
        name: str,
        graph: onnx.GraphProto,
        manifest: str = "",
        version: int = 17,
        files: dict[str, str] | None = None,
    ) -> None:
        """Writes a model, with files beside it, into both folders."""
        opset = helper.make_opsetid("", version)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        head = f'[model]\nname = "{name}"\nversion = "3"\n'
        for folder, executor in (("native", ""), ("python", PYTHON)):
            place = self._folder / folder / name
            place.mkdir(parents=True)
            (place / "model.onnx").write_bytes(model.SerializeToString())
            (place / "model.toml").write_text(head + executor + manifest)
            for file, text in (files or {}).items():
                (place / file).write_text(text)

    def ask(
        self, model: str, data: bytes | str, content_type: str, accept: str = ""
    ) -> None:
        path = self._folder / "requests" / f"{len(self._requests)}"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        self._requests.append([model, content_type, f"requests/{path.name}", accept])

    def finish(self) -> None:
        (self._folder / "requests.json").write_text(json.dumps(self._requests))


def value(name: str, datatype: int, shape: list[Any] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, datatype, shape)


def request(*tensors: dict[str, Any], **more: Any) -> str:
    return json.dumps({"id": "one é", "inputs": list(tensors), **more})


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def add_identities(models: Models) -> None:
    """Each datatype, in both forms, of several shapes, with the ends of its range."""
    random = np.random.default_rng(1)
    for datatype, (kind, onnx_type) in DATATYPES.items():
        node = helper.make_node("Identity", ["x"], ["y"])
        ins, outs = value("x", onnx_type, ["a", 3]), value("y", onnx_type, ["a", 3])
        name = f"identity_{datatype.lower()}"
        models.add(name, helper.make_graph([node], "g", [ins], [outs]))
        if datatype == "BOOL":
            array = random.integers(0, 2, (4, 3)).astype(kind)
        elif datatype.startswith("FP"):
            array = random.standard_normal((4, 3)).astype(kind)
            info = np.finfo(kind)
            array[0] = [info.max, info.tiny, -info.smallest_subnormal]
            array[1] = [0.1, -0.0, 1e-5]
        else:
            limits = np.iinfo(kind)
            array = random.integers(0, 100, (4, 3)).astype(kind)
            array[0] = [limits.max, limits.min, 0]
        flat = tensor("x", datatype, [4, 3], array.reshape(-1).tolist())
        nested = tensor("x", datatype, [4, 3], array.tolist())
        file = safetensors.numpy.save({"x": array}, metadata={"id": "two"})
        models.ask(name, request(flat), JSON)
        models.ask(name, request(nested), JSON, SAFETENSORS)
        models.ask(name, file, SAFETENSORS)
        models.ask(name, file, SAFETENSORS, JSON)
        # What does not fit.
        models.ask(name, request(tensor("x", datatype, [1, 2], [0, 1])), JSON)
        if datatype != "UINT64":  # Whose floats the generic executor calls by no name.
            models.ask(name, request(tensor("x", datatype, [1, 3], [0, 1.5, 1])), JSON)
            models.ask(
                name, request(tensor("x", datatype, [1, 3], [1e400, 0, 1])), JSON
            )
        models.ask(
            name,
            request(tensor("x", datatype, [1, 3], [2**63, 2**63, 2**63])),
            JSON,
        )
        models.ask(name, request(tensor("x", datatype, [1, 3], [-1, 1, 1])), JSON)
        models.ask(name, request(tensor("x", datatype, [1, 3], ["a", "b", "c"])), JSON)
        models.ask(name, request(tensor("x", datatype, [3], [1, 1, 1])), JSON)


def add_texts(models: Models) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    ins, outs = value("x", TensorProto.STRING, [None]), value(
        "y", TensorProto.STRING, [None]
    )
    models.add("texts", helper.make_graph([node], "g", [ins], [outs]))
    texts = ["", 'a"\\\n', "é😀", "\x00x", "z" * 300]
    models.ask("texts", request(tensor("x", "BYTES", [5], texts)), JSON)
    models.ask("texts", request(tensor("x", "BYTES", [1], ["a"])), JSON, SAFETENSORS)
    models.ask("texts", request(tensor("x", "BYTES", [1], [1])), JSON)


def add_arithmetic(models: Models) -> None:
    """Several inputs and outputs, a scalar, labels, and numbers that are not finite."""
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["p"]),
        helper.make_node("Add", ["p", "s"], ["q"]),
        helper.make_node("Softmax", ["q"], ["odds"]),
        helper.make_node("ArgMax", ["q"], ["best"], axis=1),
        helper.make_node("Log", ["s"], ["log"]),
    ]
    weights = np.random.default_rng(2).standard_normal((5, 3)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [value("a", TensorProto.FLOAT, ["n", 5]), value("s", TensorProto.FLOAT, [])],
        [
            value("odds", TensorProto.FLOAT, ["n", 3]),
            value("best", TensorProto.INT64, ["n", 1]),
            value("log", TensorProto.FLOAT, []),
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    manifest = '[[outputs]]\nname = "odds"\nlabels = ["no", "yes", "maybe"]\n'
    manifest += '[[outputs]]\nname = "best"\n[[outputs]]\nname = "log"\n'
    models.add("arithmetic", graph, manifest)
    a = tensor("a", "FP32", [2, 5], [0.5, 1, -2, 3.25, 0.125, 1, 2, 3, 4, 5])
    s = tensor("s", "FP32", [], [2.5])
    minus = tensor("s", "FP32", [], [-1])
    outputs = [{"name": "log"}, {"name": "odds"}]
    for accept in ("", SAFETENSORS, "*/*"):
        models.ask("arithmetic", request(a, s), JSON, accept)
    models.ask("arithmetic", request(s, a, outputs=outputs), JSON)
    models.ask("arithmetic", request(a, minus), JSON)  # A NaN, which JSON has not.
    models.ask("arithmetic", request(a, minus), JSON, SAFETENSORS)
    models.ask("arithmetic", request(a), JSON)
    models.ask("arithmetic", request(a, s, a), JSON)
    models.ask("arithmetic", request(a, s, tensor("z", "FP32", [1], [1])), JSON)
    models.ask("arithmetic", request(a, s, outputs=[{"name": "gone"}]), JSON)
    models.ask("arithmetic", request(a, s, outputs="log"), JSON)
    models.ask("arithmetic", request(a, tensor("s", "FP32", [], [float("nan")])), JSON)
    for text in ("", "[]", "{}", '{"inputs": [', '{"inputs": [1]}', "nonsense", "\xff"):
        models.ask("arithmetic", text, JSON)
    models.ask("arithmetic", b"\xff\xfe", JSON)
    models.ask("arithmetic", b"\x05\0\0\0\0\0\0\0{}", SAFETENSORS)


def add_declarations(models: Models) -> None:
    """What only a run can tell: indices, ranks, and what a manifest says of outputs."""
    table = numpy_helper.from_array(np.arange(4, dtype=np.float32), "t")
    node = helper.make_node("Gather", ["t", "x"], ["y"])
    ins, outs = value("x", TensorProto.INT64, ["n"]), value(
        "y", TensorProto.FLOAT, None
    )
    models.add("table", helper.make_graph([node], "g", [ins], [outs], [table]))
    for index in (3, 4):
        models.ask("table", request(tensor("x", "INT64", [1], [index])), JSON)
    node = helper.make_node("Identity", ["x"], ["y"])
    ins, outs = value("x", TensorProto.FLOAT, None), value("y", TensorProto.FLOAT, None)
    manifest = '[[outputs]]\nname = "y"\nshape = [2, -1]\n'
    models.add("any_rank", helper.make_graph([node], "g", [ins], [outs]), manifest)
    for shape in ([2, 1], [1, 2], [2]):
        models.ask("any_rank", request(tensor("x", "FP32", shape, [1, 2])), JSON)
    models.ask("any_rank", request(tensor("x", "FP32", [2, 0], [])), JSON)
    models.add(
        "wrong_manifest",
        helper.make_graph([node], "g", [ins], [outs]),
        '[[inputs]]\nname = "x"\ndatatype = "INT8"\n',
    )
    models.ask("wrong_manifest", request(tensor("x", "INT8", [1], [1])), JSON)


def add_divisions(models: Models) -> None:
    """Whole numbers, whose division by zero ends a process: by an input, and by an
    input less one, with a request that a warm-up can be made on."""
    whole, shape = TensorProto.INT64, [2]
    for name, divisor in (("quotient", "x"), ("difference", "less")):
        nodes = [
            helper.make_node("Sub", ["x", "one"], ["less"]),
            helper.make_node("Div", ["ten", divisor], ["y"]),
        ]
        graph = helper.make_graph(
            nodes[name == "quotient" :],
            "g",
            [value("x", whole, shape)],
            [value("y", whole, shape)],
            [
                numpy_helper.from_array(np.array([number]), constant)
                for constant, number in (("one", 1), ("ten", 10))
            ],
        )
        sample = request(tensor("x", "INT64", shape, [3, 6]))
        named = '[warm_up]\ninput = "sample.json"\n' if name == "difference" else ""
        models.add(name, graph, named, files={"sample.json": sample} if named else {})
        models.ask(name, sample, JSON)
        models.ask(name, request(tensor("x", "INT64", shape, [2, -4])), JSON)


def add_weights_that_are_no_numbers(models: Models) -> None:
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    for name, datatype in (("wide", "FP64"), ("half", "FP16")):
        kind, onnx_type = DATATYPES[datatype]
        weights = numpy_helper.from_array(np.array([1, np.nan, np.inf], kind), "w")
        ins, outs = value("x", onnx_type, [3]), value("y", onnx_type, [3])
        models.add(name, helper.make_graph([node], "g", [ins], [outs], [weights]))
        models.ask(name, request(tensor("x", datatype, [3], [1, 2, 3])), JSON)


def add_unsupported(models: Models) -> None:
    """A sequence, which the generic executor alone gives; an operator of nobody's."""
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    ins = value("x", TensorProto.FLOAT, [1])
    outs = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1])
    models.add("sequence", helper.make_graph([node], "g", [ins], [outs]))
    node = helper.make_node("Nobodys", ["x"], ["y"])
    outs = value("y", TensorProto.FLOAT, [1])
    models.add("nobodys", helper.make_graph([node], "g", [ins], [outs]))


def add_picture(models: Models) -> None:
    """Takes an image, which the generic executor alone decodes."""
    node = helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0)
    ins = value("image", TensorProto.FLOAT, [1, 1, 2, 2])
    outs = value("mean", TensorProto.FLOAT, [])
    manifest = '[[inputs]]\nname = "image"\n[inputs.preprocess]\nkind = "image"\n'
    manifest += 'color = "L"\nsize = [2, 2]\n'
    models.add("picture", helper.make_graph([node], "g", [ins], [outs]), manifest)


def main() -> None:
    models = Models(Path(sys.argv[1]))
    add_identities(models)
    add_texts(models)
    add_arithmetic(models)
    add_declarations(models)
    add_divisions(models)
    add_weights_that_are_no_numbers(models)
    add_unsupported(models)
    add_picture(models)
    models.finish()
    for path in Path(sys.argv[1]).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    main()
