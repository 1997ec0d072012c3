#!/usr/bin/env python3
"""Compares the saved results of scripts/demo and prints them as a table.

Usage: scripts/lib/demo_table.py FOLDER
           FOLDER holds a file DIGIT_FONT.MODEL.json for each answer. Fails when the
           models disagree about a picture, or read half of them wrong.
       scripts/lib/demo_table.py --forge RESULT COPY
           Writes a copy of a result in which one byte of the output was changed.
"""

import base64
import json
import pathlib
import sys
from typing import Any

TOLERANCE = 1e-4


def load(file: pathlib.Path) -> dict[str, Any]:
    """A saved result."""
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def probabilities(result: dict[str, Any]) -> list[float]:
    """The ten probabilities of an answer in the Open Inference Protocol's JSON."""
    answer = json.loads(base64.b64decode(result["output"]))
    values = [float(value) for value in answer["outputs"][0]["data"]]
    if len(values) != 10 or abs(sum(values) - 1) > 1e-3:
        raise ValueError(f"{values} are not ten probabilities")
    return values


def forge(source: pathlib.Path, copy: pathlib.Path) -> None:
    """Changes one byte and leaves hash, signature and attestation alone."""
    result = load(source)
    output = bytearray(base64.b64decode(result["output"]))
    output[len(output) // 2] ^= 1
    result["output"] = base64.b64encode(output).decode()
    copy.write_text(json.dumps(result), encoding="utf-8")


def compare(folder: pathlib.Path) -> bool:
    """Prints a row for each picture; whether all models agree about all of them."""
    pictures: dict[str, dict[str, list[float]]] = {}
    signers = set()
    for file in sorted(folder.glob("*.json")):
        picture, model = file.name.removesuffix(".json").rsplit(".", 1)
        result = load(file)
        signers.add(result["signer"])
        pictures.setdefault(picture, {})[model] = probabilities(result)
    models = sorted({model for answers in pictures.values() for model in answers})
    heads = "".join(f"{model:>22}" for model in models)
    print(f"{'picture':<26}{heads}   largest difference")
    misread = 0
    good = len(models) >= 3 and len(signers) == 1
    for picture, answers in pictures.items():
        classes = {max(range(10), key=p.__getitem__) for p in answers.values()}
        difference = max(max(column) - min(column) for column in zip(*answers.values()))
        agree = len(answers) == len(models) and len(classes) == 1
        wrong = str(min(classes)) != picture.split("_")[0]
        misread += wrong
        cells = ""
        for model in models:
            if model in answers:
                best = max(range(10), key=answers[model].__getitem__)
                cells += f"{f'{best}  p {answers[model][best]:.6f}':>22}"
        verdict = "same" if agree and difference <= TOLERANCE else "DIFFERENT"
        verdict += ", misread" if wrong else ""
        print(f"{picture + '.png':<26}{cells}   {difference:.1e}  {verdict}")
        good = good and agree and difference <= TOLERANCE
    print(f"\nSigned by {', '.join(sorted(signers))}")
    return good and 2 * misread < len(pictures)


def main(arguments: list[str]) -> int:
    """Does what the usage says; the exit status."""
    if len(arguments) == 3 and arguments[0] == "--forge":
        forge(pathlib.Path(arguments[1]), pathlib.Path(arguments[2]))
        return 0
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return 0 if compare(pathlib.Path(arguments[0])) else 1
    except (KeyError, ValueError, IndexError, TypeError) as error:
        print(f"A saved result cannot be read: {error!r}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
