"""Text to the tokens of BERT's multilingual cased vocabulary, as Bark was trained on.

Words are split at spaces, punctuation and Chinese characters, then each into the
longest pieces that the vocabulary has (WordPiece, Wu et al. 2016).
"""

import importlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from ncn_executor.bark.constants import TEXT_VOCAB_SIZE
from ncn_executor.errors import ErrorCode, ExecutorError, first_line

VOCABULARY_FILE = "vocab.txt"
LIBRARY_FILE = "tokenizer.json"
UNKNOWN = "[UNK]"
_CONTINUED = "##"
_WORD_CHARS_MAX = 100
_VOCABULARY_BYTES_MAX = 16 * 1024 * 1024
# Taken as they are wherever they stand in a text.
_SPECIAL = re.compile(r"(\[(?:UNK|SEP|PAD|CLS|MASK)\])")
# Unicode's blocks of Chinese characters, as BERT lists them.
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)

Tokenize = Callable[[str], list[int]]


def load_tokenizer(folder: Path) -> Tokenize | None:
    """What turns a text into tokens, without those that BERT puts around a sentence.

    Args:
        folder: holds vocab.txt, or tokenizer.json where `transformers` is installed.

    Returns:
        None where neither is there.
    """
    path = folder / VOCABULARY_FILE
    if path.is_file():
        return WordPiece(_read_vocabulary(path)).tokenize
    path = folder / LIBRARY_FILE
    if not path.is_file():
        return None
    library = importlib.import_module("transformers")
    try:
        tokenizer = library.PreTrainedTokenizerFast(tokenizer_file=str(path))
    except Exception as error:  # The library's own kinds.
        raise _invalid(
            path, "a tokenizer of transformers", first_line(error)
        ) from error
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False))


class WordPiece:
    """Splits a text into the pieces of a vocabulary."""

    def __init__(self, ids: dict[str, int]) -> None:
        self._ids = ids

    def tokenize(self, text: str) -> list[int]:
        """The ids of a text's pieces."""
        ids: list[int] = []
        for part in _SPECIAL.split(text):
            if _SPECIAL.fullmatch(part):
                ids.append(self._ids.get(part, self._ids[UNKNOWN]))
            else:
                for word in split_words(part):
                    ids += self._pieces(word)
        return ids

    def _pieces(self, word: str) -> list[int]:
        """The longest known beginning, again and again; all unknown if one is."""
        unknown = [self._ids[UNKNOWN]]
        if len(word) > _WORD_CHARS_MAX:
            return unknown
        ids, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = (_CONTINUED if start else "") + word[start:end]
                if piece in self._ids:
                    ids.append(self._ids[piece])
                    start = end
                    break
            else:
                return unknown
        return ids


def split_words(text: str) -> Iterator[str]:
    """Words, punctuation marks and Chinese characters, cleaned."""
    cleaned = []
    for char in text:
        if char in "\0\ufffd":
            continue
        category = unicodedata.category(char)
        if char in "\t\n\r" or category == "Zs":
            cleaned.append(" ")
        elif category[0] == "C":
            continue
        else:
            cleaned.append(f" {char} " if _is_chinese(char) else char)
    for word in unicodedata.normalize("NFC", "".join(cleaned)).split():
        start = 0
        for index, char in enumerate(word):
            if _is_punctuation(char):
                if start < index:
                    yield word[start:index]
                yield char
                start = index + 1
        if start < len(word):
            yield word[start:]


def _is_chinese(char: str) -> bool:
    return any(low <= ord(char) <= high for low, high in _CHINESE)


def _is_punctuation(char: str) -> bool:
    """Unicode's, and every mark of ASCII: BERT splits at `$` and `^`, too."""
    is_mark = char.isascii() and char.isprintable() and not char.isalnum()
    return (is_mark and char != " ") or unicodedata.category(char)[0] == "P"


def _read_vocabulary(path: Path) -> dict[str, int]:
    """A piece a line; its number is its id."""
    with path.open("rb") as file:
        data = file.read(_VOCABULARY_BYTES_MAX + 1)
    if len(data) > _VOCABULARY_BYTES_MAX:
        raise _invalid(path, f"at most {_VOCABULARY_BYTES_MAX} bytes", "more")
    try:
        lines = data.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise _invalid(path, "UTF-8", f"byte {error.start}") from error
    if len(lines) > TEXT_VOCAB_SIZE:
        raise _invalid(path, f"at most {TEXT_VOCAB_SIZE} lines", f"{len(lines)} lines")
    ids = {line.removesuffix("\r"): index for index, line in enumerate(lines)}
    if UNKNOWN not in ids:
        raise _invalid(path, f"a line {UNKNOWN}", "none")
    return ids


def _invalid(path: Path, expected: str, found: str) -> ExecutorError:
    return ExecutorError(
        ErrorCode.INVALID_MODEL,
        f"{path.name} is not a vocabulary that Bark can use",
        field=path.name,
        expected=expected,
        found=found,
        path=str(path),
    )
