"""Small networks and data in the many ways in which people write them; opened as `networks.py:NAME`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLES = 24
CLASSES = 10


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def seen(model: nn.Module, *inputs: Tensor) -> nn.Module:
    """Return a model whose BatchNorm layers have seen some data, as trained ones have."""
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.3, 0.3)
    with torch.no_grad():
        model.train()(*inputs)
    return model.eval()


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs)
        self.shortcut = conv_bn(inputs, outputs, 1, stride) if stride > 1 else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.first(x)))
        y += x if self.shortcut is None else self.shortcut(x)
        return self.relu(y)


class Residual(nn.Module):
    """ResNet in small: one ReLU shared by two calls, additions in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.Sequential(ResidualBlock(8, 8, 1), ResidualBlock(8, 16, 2))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.pool(self.relu(self.stem(x))))
        return self.fc(self.dropout(torch.flatten(self.average(x), 1)))


class ShuffleUnit(nn.Module):
    def __init__(self, channels: int, by_split: bool) -> None:
        super().__init__()
        half = channels // 2
        self.half, self.by_split = half, by_split
        self.expand, self.depthwise = conv_bn(half, half, 1), conv_bn(half, half, groups=half)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.split(self.half, dim=1) if self.by_split else x.chunk(2, dim=1)
        right = F.relu(self.depthwise(F.relu(self.expand(right))))
        y = torch.cat((left, right), 1)
        batch, channels, height, width = y.shape
        return y.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class Shuffle(nn.Module):
    """ShuffleNet in small: chunk, split, cat and the shuffle, all of which only move elements."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 12)
        self.units = nn.Sequential(ShuffleUnit(12, by_split=False), ShuffleUnit(12, by_split=True))
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.units(F.relu(self.stem(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Functional(nn.Module):
    """Convolution, linear, padding and activations as functions and methods of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(8, 3, 3, 3) * 0.2)
        self.offset = nn.Parameter(torch.randn(8) * 0.1)
        self.padded = nn.Conv2d(8, 8, 3)
        self.head = nn.Parameter(torch.randn(CLASSES, 8) * 0.3)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel, self.offset, stride=2, padding=1))
        x = self.padded(F.pad(x, (1, 1, 1, 1))).relu()
        x = self.act(x.add(x)) + self.act(x.mul(0.5))
        return F.linear(x.mean((2, 3)), self.head)


class Clamped(nn.Module):
    """Convolutions followed by ReLU6, which torch.ao does not fuse."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.six = nn.ReLU6()
        self.fc = nn.Linear(8, CLASSES)
        with torch.no_grad():
            self.first.weight.mul_(8.0)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.second(self.six(self.first(x))))
        return self.fc(x.mean((2, 3)))


class Gated(nn.Module):
    """Operations whose int8 scale PyTorch prescribes, and a squeeze-and-excitation gate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.gate, self.squash = nn.Sigmoid(), nn.Tanh()
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squash(self.conv(x))
        x = x * self.gate(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return F.softmax(self.fc(x.mean((2, 3))), dim=1)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(12, 32), nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        x = F.relu(self.b(x))
        return self.d(F.relu(self.c(x)))


class Branching(nn.Module):
    """Takes another way for other values, so that torch.fx cannot trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 1e9:
            return x
        return self.inner(x)


class WithLeaf(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before, self.branch, self.after = nn.Linear(12, 32), Branching(), nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(F.relu(self.branch(F.relu(self.before(x)))))


class RootBranches(nn.Module):
    """Loops as long as its values say: nothing of it traces."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(12, 16, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        while x.abs().max() > 100.0:
            x = x / 2
        states, _ = self.lstm(x.unsqueeze(1))
        return self.head(states[:, -1])


class TinyBert(nn.Module):
    """Takes keyword tensors and returns a mapping, as the models of transformers do."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(50, width), nn.Embedding(16, width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm, self.mlp = nn.LayerNorm(width), nn.Linear(width, width)
        self.classifier = nn.Linear(width, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        x = self.words(input_ids)
        if position_ids is not None:
            x = x + self.places(position_ids)
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        if attention_mask is not None:
            scores = scores + (1.0 - attention_mask[:, None, :].float()) * -1e4
        x = self.norm(x + F.softmax(scores / 5.0, dim=-1) @ self.value(x))
        return {"hidden": x, "logits": self.classifier(F.gelu(self.mlp(x))[:, 0])}


class CalledTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared, self.head = nn.Linear(12, 12), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.shared(F.relu(self.shared(x)))))


class Upsampling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 8, 3, 2)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.up(F.relu(self.down(x)))).mean((2, 3)))


class MakesNan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.log(self.conv(x)).mean((2, 3)))


def residual() -> nn.Module:
    return seen(Residual(), images_tensor())


def shuffle() -> nn.Module:
    return seen(Shuffle(), images_tensor())


def functional() -> nn.Module:
    return Functional()


def clamped() -> nn.Module:
    return Clamped()


def gated() -> nn.Module:
    return Gated()


def perceptron() -> nn.Module:
    return Perceptron()


def with_leaf() -> nn.Module:
    return WithLeaf()


def root_branches() -> nn.Module:
    return RootBranches()


def tiny_bert() -> nn.Module:
    return TinyBert()


def called_twice() -> nn.Module:
    return CalledTwice()


def upsampling() -> nn.Module:
    return Upsampling()


def makes_nan() -> nn.Module:
    return MakesNan()


def images_tensor() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    scale = torch.linspace(0.5, 1.5, SAMPLES)[:, None, None, None]
    return torch.randn((SAMPLES, 3, 16, 16), generator=generator) * scale


def images() -> list[tuple[Tensor, Tensor]]:
    """Return batches of 6 images with labels."""
    x, y = images_tensor(), torch.arange(SAMPLES) % CLASSES
    return [(x[i : i + 6], y[i : i + 6]) for i in range(0, SAMPLES, 6)]


def vectors() -> list[tuple[Tensor, Tensor]]:
    """Return one batch of vectors with labels."""
    generator = torch.Generator().manual_seed(2)
    return [(torch.randn((SAMPLES, 12), generator=generator), torch.arange(SAMPLES) % CLASSES)]


def sentences() -> list[tuple[dict[str, Tensor], Tensor]]:
    """Return batches of keyword tensors; each third word of the second batch is masked."""
    generator = torch.Generator().manual_seed(3)
    batches = []
    for number in range(3):
        words = torch.randint(0, 50, (4, 9), generator=generator)
        mask = torch.ones((4, 9), dtype=torch.long)
        mask[:, 6:] = number % 2
        batches.append(({"input_ids": words, "attention_mask": mask}, torch.tensor([0, 1, 0, 1])))
    return batches
