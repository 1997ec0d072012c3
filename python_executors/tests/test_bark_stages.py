"""Bark's stages against a reference in plain numpy, and through the file contract."""

import base64
import io
import json
import wave
from pathlib import Path
from typing import Any

import bark_models as models
import numpy as np
import pytest
import safetensors.numpy
import torch
from bark_reference import Reference
from conftest import Answer, Run, question, tensor
from ncn_executor import execution
from ncn_executor.bark import coarse, fine, semantic
from ncn_executor.bark.checkpoint import load_network
from ncn_executor.bark.executor import BarkExecutor
from ncn_executor.bark.presets import parse_preset
from ncn_executor.bark.sampling import Sampler, generator_for
from ncn_executor.contract import Context, Request
from ncn_executor.formats import find_model
from ncn_executor.scripts import executor_of_script

import bark_model_executor
from bark_model_executor import BarkModelExecutor
from coarse_model_executor import CoarseModelExecutor
from fine_model_executor import FineModelExecutor
from semantic_model_executor import SemanticModelExecutor

TOLERANCE = 1e-4
TEXT = [7, 8, 9, 5]
SAFETENSORS = "application/x-safetensors"
GREEDY = {"temperature": 0, "fine_temperature": 0}


def ignore(done: float) -> None:
    assert 0 <= done <= 1


def network(folder: Path, stage: str) -> Any:
    return load_network(find_model(models.save_stage(folder / "m.pt", stage)), stage)


def reference(stage: str) -> Reference:
    return Reference(models.weights_of(stage), models.arguments_of(stage))


def greedy() -> Sampler:
    return Sampler(0, None, None, torch.Generator())


def voice() -> dict[str, Any]:
    return models.preset_arrays(semantic=300)


@pytest.mark.parametrize("stage", ["semantic", "coarse"])
def test_logits_of_a_causal_network_are_those_of_the_reference(
    tmp_path: Path, stage: str
) -> None:
    tokens = np.random.default_rng(2).integers(0, 12_000, 600).tolist()
    merged = stage == "semantic"
    found = network(tmp_path, stage).start(torch.tensor(tokens), merged)
    wanted = reference(stage).causal(tokens, merged)
    assert np.abs(found.numpy() - wanted).max() < TOLERANCE


def test_logits_of_the_fine_network_are_those_of_the_reference(tmp_path: Path) -> None:
    codes = np.random.default_rng(3).integers(0, 1025, (8, 1024))
    loaded = network(tmp_path, "fine")
    for book in (2, 5, 7):
        found = loaded.logits(book, torch.from_numpy(codes.T.copy()))
        wanted = reference("fine").fine(book, codes)
        assert np.abs(found.numpy() - wanted).max() < TOLERANCE


@pytest.mark.parametrize("merged", [True, False])
def test_kept_keys_and_values_change_nothing(tmp_path: Path, merged: bool) -> None:
    loaded = network(tmp_path, "semantic")
    tokens = np.random.default_rng(4).integers(0, 10_000, 540).tolist()
    stepwise = loaded.start(torch.tensor(tokens[:513]), merged)
    for index in range(513, 540):
        stepwise = loaded.step(tokens[index])
    whole = loaded.start(torch.tensor(tokens), merged)
    assert torch.allclose(stepwise, whole, atol=TOLERANCE)


@pytest.mark.parametrize("history", [[], list(range(300))])
def test_greedy_semantic_tokens_are_those_of_the_reference(
    tmp_path: Path, history: list[int]
) -> None:
    found = semantic.generate(
        network(tmp_path, "semantic"),
        semantic.context_of(TEXT, history),
        greedy(),
        min_eos_p=None,
        max_seconds=0.79,
        tell=ignore,
    )
    assert found.tolist() == reference("semantic").semantic_tokens(TEXT, history, 40)
    assert len(found) == 40


@pytest.mark.parametrize("with_voice", [False, True])
def test_greedy_coarse_tokens_are_those_of_the_reference(
    tmp_path: Path, with_voice: bool
) -> None:
    tokens = np.random.default_rng(6).integers(0, 10_000, 35)
    preset = parse_preset(models.preset_bytes(**voice()), "v") if with_voice else None
    found = coarse.generate(
        network(tmp_path, "coarse"), torch.from_numpy(tokens), preset, greedy(), ignore
    )
    said = voice() if with_voice else None
    wanted = reference("coarse").coarse_tokens(tokens.tolist(), said)
    assert found.tolist() == wanted.tolist()
    assert found.shape == (2, 52)


@pytest.mark.parametrize(
    ("frames", "with_voice"), [(20, False), (1100, False), (700, True)]
)
def test_greedy_fine_tokens_are_those_of_the_reference(
    tmp_path: Path, frames: int, with_voice: bool
) -> None:
    given = np.random.default_rng(7).integers(0, 1024, (2, frames))
    said = models.preset_arrays(semantic=500) if with_voice else None
    preset = parse_preset(models.preset_bytes(**said), "v") if said else None
    found = fine.generate(
        network(tmp_path, "fine"), torch.from_numpy(given), preset, greedy(), ignore
    )
    wanted = reference("fine").fine_tokens(given, said)
    assert found.tolist() == wanted.tolist()
    assert found[:2].tolist() == given.tolist()


def test_speech_ends_where_its_end_is_likely_enough(tmp_path: Path) -> None:
    loaded = network(tmp_path, "semantic")
    context = semantic.context_of(TEXT, [])
    probability = torch.softmax(loaded.start(context, True)[:10_001], -1)[10_000].item()
    for min_eos_p, least in ((probability * 0.9, 0), (None, 1)):
        found = semantic.generate(
            loaded,
            context,
            Sampler(1.0, None, None, generator_for(1, "semantic")),
            min_eos_p=min_eos_p,
            max_seconds=0.01,
            tell=ignore,
        )
        assert len(found) == least


def test_speech_ends_after_768_tokens(tmp_path: Path) -> None:
    found = semantic.generate(
        network(tmp_path, "semantic"),
        semantic.context_of(TEXT, []),
        greedy(),
        min_eos_p=None,
        max_seconds=None,
        tell=ignore,
    )
    assert len(found) == 768


def samples(answer: Answer) -> Any:
    assert answer.output is not None, answer.report
    assert answer.report["content_type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.output)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() == 24_000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_one_request_turns_a_text_into_sound(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    body = {"text": "hello world!", "seed": 3, "max_seconds": 0.5, "min_eos_p": None}
    answer = run(folder, body, BarkModelExecutor, NCN_CONTENT_TYPE="application/json")
    sound = samples(answer)
    # 25 semantic tokens are 37 frames of 320 samples.
    assert len(sound) == 37 * 320
    assert np.abs(sound).max() > 0
    assert answer.report["versions"]["torch"] == torch.__version__


def test_the_stages_one_by_one_answer_as_all_together(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    body = {"text": "the world", "seed": 9, "voice": "low", "top_k": 50, "top_p": 0.95}
    body["max_seconds"] = 0.3
    whole = run(folder, body, BarkModelExecutor)
    # Each node has its stage, what lies beside it, and the answer of the node before.
    step = run(folder / "semantic.pt", body, SemanticModelExecutor)
    assert step.json["outputs"][0]["datatype"] == "INT64"
    assert step.json["parameters"]["voice"] == "low"
    step = run(folder / "coarse.pt", step.output, CoarseModelExecutor)
    assert step.json["outputs"][0]["name"] == "coarse_tokens"
    step = run(folder / "fine.pt", step.output, FineModelExecutor)
    assert step.output == whole.output
    assert len(samples(step)) > 0


def test_safetensors_go_from_stage_to_stage_as_they_are(
    run: Run, tmp_path: Path
) -> None:
    folder = models.bark_folder(tmp_path)
    body = {"text": "a b", "seed": 2, "max_seconds": 0.2, "history": ""}
    body["history"] = base64.b64encode(models.preset_bytes()).decode()
    whole = run(folder, body, BarkModelExecutor, NCN_ACCEPT="audio/*")
    step = run(
        folder / "semantic.pt", body, SemanticModelExecutor, NCN_ACCEPT=SAFETENSORS
    )
    for stage, executor in (
        ("coarse", CoarseModelExecutor),
        ("fine", FineModelExecutor),
    ):
        assert step.output is not None
        for array in safetensors.numpy.load(step.output).values():
            assert array.dtype == np.int64
        step = run(
            folder / f"{stage}.pt",
            step.output,
            executor,
            NCN_CONTENT_TYPE=SAFETENSORS,
            NCN_ACCEPT=SAFETENSORS,
        )
    codes = step.output
    assert codes is not None
    assert safetensors.numpy.load(codes)["fine_tokens"].shape[0] == 8
    assert run(folder / "fine.pt", codes, FineModelExecutor).report["status"] == "ok"
    sound = run(folder / "fine.pt", codes, FineModelExecutor, NCN_ACCEPT="audio/wav")
    assert sound.output == whole.output


def test_a_seed_decides_every_byte(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)

    def speak(**environment: str) -> bytes | None:
        body = {"text": "hello", "max_seconds": 0.2, "min_eos_p": None}
        return run(folder, body, BarkModelExecutor, **environment).output

    assert speak(NCN_SEED="4") == speak(NCN_SEED="4")
    assert len({speak(NCN_SEED="4"), speak(NCN_SEED="5"), speak(), speak()}) == 4


def test_a_pipeline_answers_any_of_its_tokens(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path, codec=False)
    ids = tensor([7, 8, 9], [3], "INT64", "text_tokens")
    parameters = {**GREEDY, "max_seconds": 0.1, "min_eos_p": None}
    outputs = [{"name": "coarse_tokens"}, {"name": "semantic_tokens"}]
    body = question(ids, parameters=parameters, outputs=outputs, id="mine")
    answer = run(folder, body, BarkModelExecutor)
    assert [out["name"] for out in answer.json["outputs"]] == [
        "coarse_tokens",
        "semantic_tokens",
    ]
    assert (answer.json["id"], answer.json["model_name"]) == ("mine", "bark")
    # Without a codec, the last tokens are what there is.
    text = tensor(["hello world"], [1], "BYTES", "text")
    answer = run(folder, question(text, parameters=parameters), BarkModelExecutor)
    assert answer.json["outputs"][0]["name"] == "fine_tokens"


def test_a_text_may_come_as_it_is(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    for content_type in ("text/plain", ""):
        answer = run(
            folder / "semantic.pt",
            "\ufeff hello  \n world ".encode(),
            SemanticModelExecutor,
            NCN_CONTENT_TYPE=content_type,
            NCN_SEED="1",
        )
        assert answer.json["outputs"][0]["name"] == "semantic_tokens"
    braces = run(
        folder / "semantic.pt",
        b"{a b",
        SemanticModelExecutor,
        NCN_CONTENT_TYPE="text/plain",
    )
    assert braces.status == 0


@pytest.mark.parametrize("name", ["semantic", "coarse", "fine", "bark"])
def test_a_ready_child_loads_a_script_once(name: str, tmp_path: Path) -> None:
    script = Path(bark_model_executor.__file__).with_name(f"{name}_model_executor.py")
    assert isinstance(executor_of_script(script, tmp_path), BarkExecutor)


def test_progress_grows_and_warm_up_changes_no_answer(tmp_path: Path) -> None:
    body = {"text": "hello", "seed": 1, "max_seconds": 0.2, "min_eos_p": None}
    request = Request(json.dumps(body).encode())
    folder = models.bark_folder(tmp_path)
    answers = []
    for warm_up in (None, False, True):
        executor = BarkModelExecutor()
        context = Context()
        executor.load(folder, context)
        if warm_up is not None:
            assert executor.warm_up(warm_up)
        answers.append(executor.run(request).data)
    assert answers[0] == answers[1] == answers[2]

    heard: list[tuple[float, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executor._pipeline, "_progress", lambda *word: heard.append(word))
        executor.run(request)
    fractions = [fraction for fraction, _ in heard]
    assert len(fractions) > 10
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.1 and fractions[-1] == 1.0
    # Each with the stage that it is about, in their order.
    assert list(dict.fromkeys(stage for _, stage in heard)) == [*executor.STAGES]


@pytest.mark.parametrize(
    ("executor", "model", "given"),
    [
        (BarkModelExecutor, "", "text"),
        (SemanticModelExecutor, "semantic.pt", "text"),
        (CoarseModelExecutor, "coarse.pt", "semantic_tokens"),
        (FineModelExecutor, "fine.pt", "coarse_tokens"),
    ],
)
def test_each_stage_has_an_example_that_it_can_answer(
    run: Run, tmp_path: Path, executor: Any, model: str, given: str
) -> None:
    folder = models.bark_folder(tmp_path)
    loaded = executor()
    execution.load(loaded, folder / model, Context())
    example = loaded.example()
    body = json.loads(example.data)
    assert ("text" if "text" in body else body["inputs"][0]["name"]) == given
    answer = run(folder / model, example.data, executor, NCN_SEED="1")
    assert answer.status == 0, answer.report
    # A manifest may name another.
    manifest = folder / "model.toml"
    manifest.write_text("[warm_up]\ninput = 'mine.json'\n" + manifest.read_text())
    (folder / "mine.json").write_bytes(example.data + b" ")
    manifest.write_text(
        manifest.read_text().replace("semantic.pt", model or "semantic.pt")
    )
    named = loaded.example()
    assert named.data == example.data + b" "
    assert loaded.warm_up(False)


def test_without_a_vocabulary_the_example_has_tokens(run: Run, tmp_path: Path) -> None:
    folder = models.bark_folder(tmp_path)
    (folder / "vocab.txt").unlink()
    executor = BarkModelExecutor()
    executor.load(folder, Context())
    example = executor.example()
    assert example is not None and b"text_tokens" in example.data
    assert run(folder, example.data, BarkModelExecutor, NCN_SEED="1").status == 0
