"""Microsoft's Research Paraphrase Corpus as GLUE gives it, and the F1 by which it is scored.

Dolan and Brockett, "Automatically Constructing a Corpus of Sentential Paraphrases", 2005; Wang et al., "GLUE: A
Multi-Task Benchmark and Analysis Platform for Natural Language Understanding", 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qgui.core.errors import QguiError
from qgui.core.extras import how_to_install
from qgui.core.language import say
from qgui.engine.batch import Batch

WHAT = say("Could not open the MRPC data")
HEADER = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")
#: Names the metric as `DataReference.metric` does.
METRIC = "qgui.engine.mrpc:f1"


@dataclass(frozen=True)
class Pair:
    """Two sentences and whether they say the same.

    Attributes:
        first: A sentence.
        second: Another one.
        same: 1 for a paraphrase, else 0.
    """

    first: str
    second: str
    same: int


def read_pairs(path: Path) -> list[Pair]:
    """Return the sentence pairs of a `dev.tsv`: tab-separated, a header, quotes are ordinary characters.

    Raises:
        QguiError: The file is missing, or is not of that format.
    """
    hint = say("Choose dev.tsv of MRPC as GLUE gives it: columns Quality, #1 ID, #2 ID, #1 String, #2 String.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise QguiError(WHAT, say("there is no file {path}", path=path), hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise QguiError(WHAT, say("{path} cannot be read ({error})", path=path, error=error), hint) from error
    header = lines[0].split("\t") if lines else []
    if tuple(header) != HEADER:
        columns = ", ".join(header)[:80] or say("of nothing")
        raise QguiError(
            WHAT,
            say("{path} begins with the columns {header}", path=path, header=columns),
            hint,
        )
    pairs = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) != len(HEADER) or cells[0] not in ("0", "1"):
            raise QguiError(
                WHAT, say("line {number} of {path} has not the five columns of a pair", number=number, path=path), hint
            )
        pairs.append(Pair(cells[3], cells[4], int(cells[0])))
    if not pairs:
        raise QguiError(WHAT, say("{path} holds no sentence pairs", path=path), hint)
    return pairs


def tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a model of the package transformers; nothing is downloaded.

    Raises:
        QguiError: The package is missing, or the folder has no tokenizer.
    """
    what = say("Could not open the tokenizer")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        hint = how_to_install("transformers")
        raise QguiError(what, say("the package transformers is not installed"), hint) from error
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        hint = say("Put the tokenizer's files (vocab.txt or tokenizer.json) of the fine-tuned model there.")
        lines = str(error).strip().splitlines()
        why = say(
            "{folder} holds none that can be loaded ({line})",
            folder=folder,
            line=lines[0] if lines else type(error).__name__,
        )
        raise QguiError(what, why, hint, str(error)) from error


class TokenizedPairs:
    """Sentence pairs as BERT takes them, each filled up to a fixed number of tokens as in the published runs.

    Args:
        pairs: The pairs.
        tokens: Called as a tokenizer of the package transformers is.
        length: Tokens of a sample.
    """

    labelled = True
    classes: tuple[str, ...] = (say("no paraphrase"), say("paraphrase"))
    notes: tuple[str, ...] = ()

    def __init__(self, pairs: list[Pair], tokens: Any, length: int) -> None:
        self._pairs = pairs
        self._tokens = tokens
        self._length = length

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> Batch:
        """Return one pair as a batch of one: ids, mask and segments of shape `(1, length)`."""
        pair = self._pairs[index]
        encoded = self._tokens(
            pair.first, pair.second, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        )
        return Batch(dict(encoded), torch.tensor([pair.same]), [index])


def f1(outputs: torch.Tensor, target: torch.Tensor) -> float:
    """Return the harmonic mean of precision and recall of the paraphrases.

    Args:
        outputs: Scores, shape `(samples, 2)`.
        target: 1 for paraphrases, shape `(samples,)`.
    """
    found, wanted = outputs.argmax(1) == 1, target == 1
    both = int((found & wanted).sum())
    return 2 * both / max(int(found.sum()) + int(wanted.sum()), 1)
