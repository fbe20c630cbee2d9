"""Three small networks that read 8 x 8 pixel digits: convolutional, recurrent and transformer.

Each takes a batch of N x 1 x 8 x 8 images with values between 0 and 1 and returns N x 10 class scores. They are
written as networks usually are, with nothing in them that prepares them for quantization.
"""

import torch
from torch import Tensor, nn


def _conv_bn_relu6(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """The block of MobileNet v2: expand, convolve each channel alone, project back."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _conv_bn_relu6(inputs, hidden, kernel=1)
        self.depthwise = _conv_bn_relu6(hidden, hidden, kernel=3, stride=stride, groups=hidden)
        self.project = nn.Sequential(nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        if self.residual:
            return x + y
        return y


class DigitsCNN(nn.Module):
    """A MobileNet v2 in small."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv_bn_relu6(1, 24, kernel=3)
        self.blocks = nn.Sequential(
            InvertedResidual(24, 24, stride=1, expansion=4),
            InvertedResidual(24, 40, stride=2, expansion=4),
            InvertedResidual(40, 40, stride=1, expansion=4),
            InvertedResidual(40, 64, stride=2, expansion=4),
            InvertedResidual(64, 64, stride=1, expansion=4),
            InvertedResidual(64, 64, stride=1, expansion=4),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.classifier(self.dropout(torch.flatten(self.pool(x), 1)))


class DigitsLSTM(nn.Module):
    """Reads a digit as a sequence of eight rows, from the top down."""

    def __init__(self, hidden: int = 104) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size=8, hidden_size=hidden, num_layers=2, batch_first=True, dropout=0.2)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x.squeeze(1))
        return self.classifier(self.dropout(states[:, -1]))


class SelfAttention(nn.Module):
    """Multi-head self-attention in plain operations, so that each of them can be seen and quantized."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self._split(self.query(x)), self._split(self.key(x)), self._split(self.value(x))
        weights = torch.softmax(torch.matmul(query, key.transpose(-2, -1)) * self.scale, dim=-1)
        return self.output(torch.matmul(weights, value).transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each normalized first and added to its input."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(0.1), nn.Linear(hidden, width), nn.Dropout(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class DigitsTransformer(nn.Module):
    """An encoder over sixteen patches of 2 x 2 pixels."""

    def __init__(self, width: int = 64, heads: int = 4, depth: int = 3) -> None:
        super().__init__()
        self.patches = nn.PixelUnshuffle(2)
        self.embedding = nn.Linear(4, width)
        self.positions = nn.Parameter(torch.randn(16, width) * 0.02)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, 4 * width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embedding(self.patches(x).flatten(2).transpose(1, 2)) + self.positions
        return self.classifier(self.norm(self.blocks(tokens)).mean(dim=1))


def digits_cnn() -> nn.Module:
    """Build the convolutional network, untrained."""
    return DigitsCNN()


def digits_lstm() -> nn.Module:
    """Build the recurrent network, untrained."""
    return DigitsLSTM()


def digits_transformer() -> nn.Module:
    """Build the transformer, untrained."""
    return DigitsTransformer()
