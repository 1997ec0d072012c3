"""What TorchScript's forward can take and give beside tensors."""

from pathlib import Path
from typing import Any, NamedTuple, Optional

import model_files as files
import pytest
import torch
from conftest import Run, question, tensor
from ncn_executor.errors import ExecutorError
from ncn_executor.nesting import LEAVES_MAX, flatten

ONE, TWO = tensor([1.0], [1], name="a"), tensor([2.0], [1], name="b")


def outputs(answer: Any) -> dict[str, Any]:
    return {o["name"]: o["data"] for o in answer.json["outputs"]}


class Sums(torch.nn.Module):  # type: ignore[misc]
    """Every kind of argument."""

    def forward(
        self,
        many: list[torch.Tensor],
        by_name: dict[str, torch.Tensor],
        pair: tuple[torch.Tensor, int],
        factor: float = 1.0,
        sizes: Optional[list[int]] = None,
        maybe: Optional[torch.Tensor] = None,
        word: str = "none",
    ) -> tuple[torch.Tensor, int, str, bool]:
        sizes = [1] if sizes is None else sizes
        total = pair[0] * pair[1] + len(sizes)
        for one in many:
            total = total + one
        for key in by_name:
            total = total + by_name[key]
        if maybe is not None:
            total = total + maybe
        return total * factor, sum(sizes), word, maybe is None


def test_forward_takes_structures_numbers_and_texts(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Sums())
    needed = [
        tensor([1.0], [1], name="many[0]"),
        tensor([2.0], [1], name="many[1]"),
        tensor([4.0], [1], name="by_name.x"),
        tensor([8.0], [1], name="pair[0]"),
        tensor([2], [1], "INT64", "pair[1]"),
    ]
    assert outputs(run(path, question(*needed))) == {
        "output_0": [24.0],
        "output_1": [1],
        "output_2": ["none"],
        "output_3": [True],
    }
    more = [
        tensor([0.5], [], name="factor"),
        tensor([3, 4], [2], "INT64", "sizes"),
        tensor([100.0], [1], name="maybe"),
        tensor(["yes"], [1], "BYTES", "word"),
    ]
    assert outputs(run(path, question(*needed, *more))) == {
        "output_0": [62.5],
        "output_1": [7],
        "output_2": ["yes"],
        "output_3": [False],
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (tensor([1.0], [1], name="pair[2]"), "inputs.pair"),
        (tensor([1.5], [1], "FP32", "sizes"), "inputs.sizes"),
        (tensor([1, 2], [2], "FP32", "factor"), "inputs.factor"),
        (tensor([1], [1], "INT64", "word"), "inputs.word"),
        (tensor([1.0], [1], name="other"), "inputs.other"),
    ],
)
def test_an_argument_of_another_kind_is_named(
    run: Run, tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path = files.torchscript(tmp_path, Sums())
    pair = [
        tensor([8.0], [1], name="pair[0]"),
        tensor([2], [1], "INT64", "pair[1]"),
    ]
    answer = run(path, question(*pair, change))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", field)
    assert answer.error["expected"]
    assert answer.error["found"]


def test_a_missing_argument_is_named(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Sums())
    answer = run(path, question(tensor([1.0], [1], name="many[0]")))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "inputs.pair")


class Point(NamedTuple):
    """A named tuple."""

    x: torch.Tensor
    y: list[torch.Tensor]


class Nested(torch.nn.Module):  # type: ignore[misc]
    """Answers within answers."""

    def forward(
        self, a: torch.Tensor, b: torch.Tensor
    ) -> tuple[
        torch.Tensor, tuple[torch.Tensor, list[torch.Tensor]], dict[str, torch.Tensor]
    ]:
        return a, (b, [a, b]), {"sum": a + b}


class Named(torch.nn.Module):  # type: ignore[misc]
    """A named tuple with a list in it."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> Point:
        return Point(a, [a, b])


class Less(torch.nn.Module):  # type: ignore[misc]
    """Takes one away from the other."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a - b


def test_answers_within_answers_are_named_by_their_place(
    run: Run, tmp_path: Path
) -> None:
    path = files.torchscript(tmp_path, Nested())
    assert outputs(run(path, question(ONE, TWO))) == {
        "output_0": [1.0],
        "output_1[0]": [2.0],
        "output_1[1][0]": [1.0],
        "output_1[1][1]": [2.0],
        "output_2.sum": [3.0],
    }
    asked = question(ONE, TWO, outputs=[{"name": "output_1"}])
    assert list(outputs(run(path, asked))) == [
        "output_1[0]",
        "output_1[1][0]",
        "output_1[1][1]",
    ]


def test_a_named_tuple_keeps_its_names(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Named())
    found = outputs(run(path, question(ONE, TWO)))
    assert found == {"x": [1.0], "y[0]": [1.0], "y[1]": [2.0]}


def test_a_manifest_names_all_of_them(run: Run, tmp_path: Path) -> None:
    names = "".join(f'[[outputs]]\nname = "{n}"\n' for n in "pqrst")
    path = files.torchscript(tmp_path, Nested(), names)
    assert list(outputs(run(path, question(ONE, TWO)))) == list("pqrst")


def test_names_of_the_signature_win_over_the_order(run: Run, tmp_path: Path) -> None:
    path = files.torchscript(tmp_path, Less())
    assert outputs(run(path, question(TWO, ONE))) == {"output_0": [-1.0]}
    answer = run(path, question(ONE, tensor([1.0], [1], name="c")))
    assert (answer.code, answer.error["field"]) == ("INVALID_INPUT", "inputs.c")
    assert answer.error["expected"] == "a, b"


def test_a_manifest_with_too_many_inputs_contradicts_the_file(
    run: Run, tmp_path: Path
) -> None:
    names = "".join(f'[[inputs]]\nname = "{n}"\n' for n in "pqr")
    answer = run(files.torchscript(tmp_path, Less(), names), question(ONE, TWO))
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", "inputs")
    assert (answer.error["expected"], answer.error["found"]) == ("p, q, r", "a, b")


@pytest.mark.parametrize(
    ("line", "field"),
    [("shape = [2]", "outputs.y.shape"), ('datatype = "FP64"', "outputs.y.datatype")],
)
def test_an_output_unlike_the_manifest_contradicts_it(
    run: Run, tmp_path: Path, line: str, field: str
) -> None:
    manifest = f'[[outputs]]\nname = "y"\n{line}'
    answer = run(files.torchscript(tmp_path, Less(), manifest), question(ONE, TWO))
    assert (answer.code, answer.error["field"]) == ("INVALID_MODEL", field)


def test_a_structure_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, [0] * (LEAVES_MAX + 1)):
        with pytest.raises(ExecutorError, match="too large a structure"):
            flatten("y", value)
