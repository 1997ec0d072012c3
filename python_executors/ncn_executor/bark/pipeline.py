"""The stages that a model has, joined: from what a request gives to what it wants."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ncn_executor import open_inference
from ncn_executor.bark import (
    codec,
    coarse,
    declared,
    fine,
    presets,
    questions,
    semantic,
)
from ncn_executor.bark import constants as bark
from ncn_executor.bark.architecture import FineGpt
from ncn_executor.bark.checkpoint import CausalNetwork, FineNetwork, load_network
from ncn_executor.bark.files import StageFiles
from ncn_executor.bark.options import Options
from ncn_executor.bark.sampling import Sampler, generator_for
from ncn_executor.bark.scripted import ScriptedFineGpt
from ncn_executor.bark.tokenizer import VOCABULARY_FILE, load_tokenizer
from ncn_executor.contract import Request, Response
from ncn_executor.errors import ErrorCode, ExecutorError, invalid_input

Tensor = Any
# Stage -> what it takes and what it makes.
_TAKES = {
    "semantic": "text_tokens",
    "coarse": "semantic_tokens",
    "fine": "coarse_tokens",
    "codec": "fine_tokens",
}
_MAKES = {
    "semantic": "semantic_tokens",
    "coarse": "coarse_tokens",
    "fine": "fine_tokens",
    "codec": "waveform",
}
# How long stages take, about, as shares of the whole.
_SHARES = {"semantic": 0.3, "coarse": 0.5, "fine": 0.18, "codec": 0.02}
_WARM_UP_FRAMES = 75
_EXAMPLE_SECONDS, _EXAMPLE_TOKENS = 0.1, 4
_JSON = open_inference.CONTENT_TYPE


class Pipeline:
    """Loaded stages. Used by one thread."""

    def __init__(
        self,
        files: StageFiles,
        progress: Callable[[float, str], None] = lambda *_: None,
    ) -> None:
        """Loads them.

        Args:
            progress: hears how much of a request is done, 0 to 1, and the stage's name.
        """
        stages = [*files.networks, *(["codec"] if files.codec else [])]
        declared.check_manifests(
            files,
            [_TAKES[stage] for stage in stages],
            [_MAKES[stage] for stage in stages],
        )
        self._model = (files.name, files.version)
        self._folder = files.folder
        self._networks = {
            stage: load_network(file, stage) for stage, file in files.networks.items()
        }
        self._codec = codec.Codec(files.codec) if files.codec else None
        self._stages = stages
        self._tokenize = (
            load_tokenizer(files.folder) if "semantic" in self._networks else None
        )
        self._progress = progress

    def answer(self, request: Request) -> Response:
        """Runs the stages between what is given and what is wanted."""
        question = questions.read_question(request)
        wants_sound = questions.answers_sound(
            request, question, self._codec is not None
        )
        stages = self._stages_between(question, wants_sound)
        work = _Work(question.options, self._preset(question.options), request.seed)
        with torch.inference_mode():
            made = self._run(stages, self._tokens_of(question), work)
            if wants_sound:
                data = codec.wav_of(made["waveform"])
                return Response(data, codec.CONTENT_TYPE)
        names = question.outputs or [_MAKES[stages[-1]]]
        tokens = {name: made[name].numpy() for name in names}
        return questions.encode_tokens(tokens, request, question, self._model)

    def warm_up(self, full: bool) -> bool:
        """Runs each stage's network once, on the sizes of a request if `full`."""
        with torch.inference_mode():
            for stage, network in self._networks.items():
                if isinstance(network, (FineGpt, ScriptedFineGpt)):
                    size = bark.FINE_WINDOW if full else 1
                    codes = torch.zeros(size, bark.FINE_CODEBOOKS, dtype=torch.int64)
                    network.logits(bark.FINE_CODEBOOKS - 1, codes)
                elif full and stage == "semantic":
                    network.start(semantic.context_of([], []), merge_context=True)
                    network.step(0)
                else:
                    size = bark.CONTEXT_TOKENS + 1 if full else 1
                    network.start(torch.zeros(size, dtype=torch.int64))
                    network.step(0)
            if self._codec:
                frames = _WARM_UP_FRAMES if full else 1
                codes = torch.zeros(bark.FINE_CODEBOOKS, frames, dtype=torch.int64)
                self._codec.decode(codes)
        return True

    def example(self) -> Request:
        """A request for a moment of speech, in the form that the first stage takes."""
        name = _TAKES[self._stages[0]]
        moment = {"max_seconds": _EXAMPLE_SECONDS}
        if self._tokenize is not None:
            return Request(json.dumps({"text": "Hello.", **moment}).encode(), _JSON)
        rows = questions.TOKENS[name][0][:-1]
        shape = [*rows, _EXAMPLE_TOKENS]
        tensor = {"name": name, "datatype": "INT64", "shape": shape}
        tensor["data"] = [1] * math.prod(shape)
        body = {"inputs": [tensor], "parameters": moment}
        return Request(json.dumps(body).encode(), _JSON)

    def _stages_between(
        self, question: questions.SpeechQuestion, wants_sound: bool
    ) -> list[str]:
        """The stages to run, in order."""
        given = "text_tokens" if question.name == "text" else question.name
        taken = {_TAKES[stage]: stage for stage in self._stages}
        if given not in taken:
            names = [*(["text"] if "text_tokens" in taken else []), *taken]
            raise invalid_input(
                f"this model does not take {question.name}",
                field="inputs",
                expected=", ".join(names),
                found=question.name,
            )
        stages = self._stages[self._stages.index(taken[given]) :]
        if not wants_sound:
            stages = [stage for stage in stages if stage != "codec"]
            makes = [_MAKES[stage] for stage in stages]
            for name in question.outputs:
                if name not in makes:
                    raise _no_output(name, makes)
            if question.outputs:
                last = max(makes.index(name) for name in question.outputs)
                stages = stages[: last + 1]
        if not stages:
            raise _no_output("tokens", ["audio/wav"])
        return stages

    def _preset(self, options: Options) -> presets.Preset | None:
        """The voice that a request names or brings."""
        if options.history is not None:
            return presets.parse_preset(options.history, "history")
        if options.voice is not None:
            return presets.find_voice(self._folder, options.voice)
        return None

    def _tokens_of(self, question: questions.SpeechQuestion) -> Tensor:
        """What the first stage takes."""
        if question.tokens is not None:
            tokens = question.tokens
            if question.name == "text_tokens":
                _check_length(len(tokens), "inputs.text_tokens.shape")
            return torch.from_numpy(tokens)
        if self._tokenize is None:
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                "the model has no vocabulary, so it takes text_tokens, but no text: "
                f"put {VOCABULARY_FILE} of bert-base-multilingual-cased beside it",
                field="vocabulary",
                expected=VOCABULARY_FILE,
                found="none",
            )
        ids = self._tokenize(question.text)
        _check_length(len(ids), "text")
        if not 0 <= min(ids) <= max(ids) < bark.TEXT_VOCAB_SIZE:
            raise ExecutorError(
                ErrorCode.INVALID_MODEL,
                "the vocabulary is larger than Bark's",
                field="vocabulary",
                expected=f"ids below {bark.TEXT_VOCAB_SIZE}",
                found="a larger one",
            )
        return torch.tensor(ids)

    def _run(
        self, stages: Sequence[str], tokens: Tensor, work: "_Work"
    ) -> dict[str, Tensor]:
        """Everything that the stages make, by name."""
        made: dict[str, Tensor] = {}
        for stage, tell in self._shares(stages):
            if stage == "codec":
                assert self._codec is not None
                tokens = self._codec.decode(tokens)
            else:
                tokens = work.run(stage, self._networks[stage], tokens, tell)
            made[_MAKES[stage]] = tokens
            tell(1.0)
        return made

    def _shares(
        self, stages: Sequence[str]
    ) -> Iterator[tuple[str, Callable[[float], None]]]:
        """Each stage with the function that hears how much of it is done."""
        whole = sum(_SHARES[stage] for stage in stages)
        before = 0.0
        for stage in stages:
            share = _SHARES[stage] / whole

            def tell(
                done: float,
                stage: str = stage,
                before: float = before,
                share: float = share,
            ) -> None:
                self._progress(min(1.0, before + share * done), stage)

            yield stage, tell
            before += share


@dataclasses.dataclass(frozen=True)
class _Work:
    """How one request draws its tokens."""

    options: Options
    preset: presets.Preset | None
    request_seed: int | None

    def run(
        self,
        stage: str,
        network: CausalNetwork | FineNetwork,
        tokens: Tensor,
        tell: Callable[[float], None],
    ) -> Tensor:
        """One stage with a network."""
        sampler = self._sampler(stage)
        if isinstance(network, (FineGpt, ScriptedFineGpt)):
            return fine.generate(network, tokens, self.preset, sampler, tell)
        if stage == "coarse":
            return coarse.generate(network, tokens, self.preset, sampler, tell)
        history = [] if self.preset is None else self.preset.semantic.tolist()
        made = semantic.generate(
            network,
            semantic.context_of(tokens.tolist(), history),
            sampler,
            min_eos_p=self.options.min_eos_p,
            max_seconds=self.options.max_seconds,
            tell=tell,
        )
        if len(made) == 0:
            raise invalid_input(
                "the model ended the speech before it began: send another text, "
                "another seed, or a larger min_eos_p",
                field="text",
                expected="speech",
                found="none",
            )
        return made

    def _sampler(self, stage: str) -> Sampler:
        options = self.options
        seed = options.seed if options.seed is not None else self.request_seed
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        generator = generator_for(seed, stage)
        if stage == "fine":
            return Sampler(options.fine_temperature, None, None, generator)
        return Sampler(options.temperature, options.top_k, options.top_p, generator)


def _check_length(tokens: int, field: str) -> None:
    """Longer texts would lose their end; better two requests than that."""
    if not 1 <= tokens <= bark.CONTEXT_TOKENS:
        too = "long: send it in parts" if tokens else "short"
        raise invalid_input(
            f"the text is too {too}",
            field=field,
            expected=f"1 to {bark.CONTEXT_TOKENS} tokens",
            found=f"{tokens} tokens",
        )


def _no_output(name: str, makes: Sequence[str]) -> ExecutorError:
    return invalid_input(
        f"the model does not make {name[:80]} from this input",
        field="outputs",
        expected=", ".join(makes) or "sound",
        found=name[:80],
    )
