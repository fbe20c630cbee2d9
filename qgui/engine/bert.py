"""BERT-base for measuring latency: from the package transformers, or a network of the same shape in plain PyTorch."""

from __future__ import annotations

import importlib.util

import torch
import torch.nn.functional as F
from torch import nn

from qgui.core.published import BERT_TOKENS

#: Sizes of BERT-base (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019).
LAYERS, WIDTH, HEADS, INNER, WORDS = 12, 768, 12, 3072, 30522
_SEQUENCES = 16


def has_transformers() -> bool:
    """Whether the package transformers is installed."""
    return importlib.util.find_spec("transformers") is not None


def base() -> nn.Module:
    """Return BERT-base with random weights and two classes, from transformers where it is installed."""
    return from_transformers() if has_transformers() else BertShaped()


def from_transformers() -> nn.Module:
    """Return BERT-base of the package transformers with random weights; nothing is downloaded."""
    from transformers import BertConfig, BertForSequenceClassification

    # A classifier of transformers has two classes where nothing else is said.
    model: nn.Module = BertForSequenceClassification(BertConfig())
    return model


def sequences() -> list[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Return sequences of random token ids, each `(1, 128)`, with their masks."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(1000, 30000, (_SEQUENCES, 1, BERT_TOKENS), generator=generator)
    return [
        ({"input_ids": row, "attention_mask": torch.ones_like(row)}, torch.zeros(1, dtype=torch.long)) for row in rows
    ]


class BertShaped(nn.Module):
    """An encoder with the shape of BERT-base and a head of two classes: the same layers, so the same time.

    Args:
        layers: Encoder layers.
        width: Size of a token's vector.
        heads: Attention heads.
        inner: Size of the hidden layer of the feed-forward part.
        words: Size of the vocabulary.
    """

    def __init__(
        self, layers: int = LAYERS, width: int = WIDTH, heads: int = HEADS, inner: int = INNER, words: int = WORDS
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.randn(1, BERT_TOKENS, width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([_EncoderLayer(width, heads, inner) for _ in range(layers)])
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, 2)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return class scores of shape `(batch, 2)` for token ids and mask of shape `(batch, 128)`."""
        hidden = self.norm(self.words(input_ids) + self.places)
        mask = attention_mask[:, None, None, :].to(hidden.dtype)
        bias = (1.0 - mask) * -1e4
        for layer in self.layers:
            hidden = layer(hidden, bias)
        scores: torch.Tensor = self.classifier(torch.tanh(self.pooler(hidden[:, 0])))
        return scores


class _EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width)

    def forward(self, hidden: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(hidden), self.key(hidden), self.value(hidden))
        )
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        hidden = self.attention_norm(hidden + self.output(context.transpose(1, 2).flatten(2)))
        result: torch.Tensor = self.output_norm(hidden + self.narrow(F.gelu(self.widen(hidden))))
        return result
