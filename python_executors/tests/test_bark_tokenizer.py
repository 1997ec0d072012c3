"""Splitting a text as BERT's multilingual vocabulary wants it, and drawing tokens."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from ncn_executor.bark.sampling import Sampler, generator_for
from ncn_executor.bark.tokenizer import WordPiece, load_tokenizer, split_words
from ncn_executor.errors import ErrorCode, ExecutorError, from_exception

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able runn ##ing , ? ü 日 本 Un ##b b"
IDS = {piece: index for index, piece in enumerate(PIECES.split())}


def pieces(text: str) -> list[str]:
    names = list(IDS)
    return [names[index] for index in WordPiece(IDS).tokenize(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", ["Hello", ",", "world", "!"]),
        ("  a\tb\nc\r d ", ["a", "b", "c", "d"]),
        ("a\u00a0b\u3000c\u2028d", ["a", "b", "c", "d"]),
        ("x\0y\ufffdz\u200d\x07", ["xyz"]),
        ("日本語です", ["日", "本", "語", "です"]),
        ("\U00020000x", ["\U00020000", "x"]),
        ("$5^2 don't", ["$", "5", "^", "2", "don", "'", "t"]),
        ("¿Qué? «ça»", ["¿", "Qué", "?", "«", "ça", "»"]),
        ("Ärger", ["Ärger"]),
        ("A\u0308rger", ["Ärger"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("...", [".", ".", "."]),
        ("", []),
    ],
)
def test_words_are_split_and_cleaned(text: str, words: list[str]) -> None:
    assert list(split_words(text)) == words


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("unaffable", ["un", "##aff", "##able"]),
        ("unaffable, running?", ["un", "##aff", "##able", ",", "runn", "##ing", "?"]),
        ("Un un", ["Un", "un"]),
        ("unknown", ["[UNK]"]),
        ("unaffablex b", ["[UNK]", "b"]),
        ("日本", ["日", "本"]),
        ("b" * 100, ["b"] + ["##b"] * 99),
        ("b" * 101, ["[UNK]"]),
        ("b[MASK]b [SEP]", ["b", "[MASK]", "b", "[SEP]"]),
        ("[mask]", ["[UNK]"] * 3),
    ],
)
def test_words_become_the_longest_known_pieces(text: str, wanted: list[str]) -> None:
    assert pieces(text) == wanted


def test_a_vocabulary_is_a_piece_a_line(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(IDS).encode() + b"\r\n")
    tokenize = load_tokenizer(tmp_path)
    assert tokenize is not None
    assert tokenize("unaffable ü") == [5, 6, 7, 12]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", "[UNK]"),
        (b"[UNK]\n\xff\n", "UTF-8"),
        (b"[UNK]\n" * 119_548, "119547 lines"),
        (b"x" * (17 << 20), "bytes"),
    ],
)
def test_a_vocabulary_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ExecutorError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.code is ErrorCode.INVALID_MODEL
    assert caught.value.field == "vocab.txt"
    assert expected in caught.value.expected


class Library:
    """What transformers' tokenizer does here."""

    def __init__(self, tokenizer_file: str) -> None:
        if Path(tokenizer_file).read_text() != "{}":
            raise ValueError("not a tokenizer")

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [len(text)]


def test_the_librarys_tokenizer_is_used_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_tokenizer(tmp_path) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        load_tokenizer(tmp_path)
    assert from_exception(missing.value).code is ErrorCode.MISSING_DEPENDENCY
    library: Any = types.ModuleType("transformers")
    library.PreTrainedTokenizerFast = Library
    monkeypatch.setitem(modules, "transformers", library)
    tokenize = load_tokenizer(tmp_path)
    assert tokenize is not None and tokenize("abc") == [3]
    (tmp_path / "tokenizer.json").write_text("?")
    with pytest.raises(ExecutorError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.field == "tokenizer.json"


def possible(logits: list[float], **how: Any) -> list[int]:
    """Which tokens may be drawn."""
    options: dict[str, Any] = {"temperature": 1.0, "top_k": None, "top_p": None, **how}
    sampler = Sampler(**options, generator=torch.Generator())
    probabilities = sampler.probabilities(torch.tensor(logits)).tolist()
    return [token for token, share in enumerate(probabilities) if share > 0]


def test_only_the_likeliest_are_drawn() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().tolist()
    assert possible(logits) == [0, 1, 2, 3]
    assert possible(logits, top_k=2) == [0, 1]
    assert possible(logits, top_k=9) == [0, 1, 2, 3]
    assert possible(logits, top_p=0.79) == [0, 1]
    assert possible(logits, top_p=0.81) == [0, 1, 2]
    assert possible(logits, top_p=1e-9) == [0]
    assert possible(logits, top_p=0.96, top_k=3) == [0, 1, 2]
    assert possible(logits, temperature=0) == [0]


def test_temperature_divides_logits() -> None:
    logits = torch.tensor([1.0, 2.0, 4.0])
    found = Sampler(0.5, None, None, None).probabilities(logits)
    assert torch.allclose(found, (logits * 2).softmax(-1))


def test_what_is_drawn_follows_the_probabilities_and_the_seed() -> None:
    probabilities = torch.tensor([0.1, 0.6, 0.3]).expand(20_000, 3)

    def draw(seed: int, stage: str = "fine") -> Any:
        return Sampler(1.0, None, None, generator_for(seed, stage)).draw(probabilities)

    shares = draw(1).bincount() / 20_000
    assert torch.allclose(shares, probabilities[0], atol=0.02)
    assert torch.equal(draw(1), draw(1))
    for other in (draw(2), draw(2**64 - 1), draw(1, "coarse")):
        assert not torch.equal(draw(1), other)
