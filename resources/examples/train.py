"""Trains the three example networks and writes their weights beside this file.

Run it as `python resources/examples/train.py`. With the same version of torch it writes the same weights again.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from digits_data import split
from digits_networks import digits_cnn, digits_lstm, digits_transformer
from safetensors.torch import save_file
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

SEED = 0
BATCH_SIZE = 64


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Move each image by up to one pixel in both directions and vary its brightness a little."""
    padded = F.pad(x, (1, 1, 1, 1))
    dy, dx = torch.randint(0, 3, (2, len(x), 1, 1), generator=generator)
    rows = torch.arange(8).view(1, 8, 1) + dy
    columns = torch.arange(8).view(1, 1, 8) + dx
    moved = padded[torch.arange(len(x)).view(-1, 1, 1), 0, rows, columns].unsqueeze(1)
    brightness = 0.8 + 0.4 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return (moved * brightness).clamp(0, 1)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Return the share of images named correctly, and the mean cross entropy."""
    model.eval()
    scores = model(x)
    return (scores.argmax(1) == y).double().mean().item(), F.cross_entropy(scores, y).item()


def train(build: Callable[[], nn.Module], epochs: int, learning_rate: float) -> tuple[nn.Module, float, float]:
    """Train one network and keep the state that does best on a validation part of the training images.

    Args:
        build: Builds the network, untrained.
        epochs: How often the training images are seen.
        learning_rate: The peak of the one-cycle schedule.

    Returns:
        The network, its accuracy on the validation part, and its accuracy on the held-out images, which nothing
        here was chosen by.
    """
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    x, y, x_test, y_test = split()
    parts = train_test_split(x, y, test_size=0.15, stratify=y, random_state=SEED)
    x_train, x_valid, y_train, y_valid = map(torch.from_numpy, parts)

    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.01)
    steps = -(-len(x_train) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, epochs=epochs, steps_per_epoch=steps)
    best, best_key = {}, (-1.0, 0.0)
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(len(x_train), generator=generator).split(BATCH_SIZE):
            scores = model(shifted(x_train[index], generator))
            loss = F.cross_entropy(scores, y_train[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        valid_accuracy, valid_loss = accuracy(model, x_valid, y_valid)
        if (valid_accuracy, -valid_loss) > best_key:
            best_key = (valid_accuracy, -valid_loss)
            best = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    held_out, _ = accuracy(model, torch.from_numpy(x_test), torch.from_numpy(y_test))
    return model, best_key[0], held_out


def main() -> None:
    """Train all three."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    for name, build, epochs, learning_rate in (
        ("digits-cnn", digits_cnn, 80, 3e-3),
        ("digits-lstm", digits_lstm, 80, 4e-3),
        ("digits-transformer", digits_transformer, 200, 3e-3),
    ):
        model, validation, held_out = train(build, epochs, learning_rate)
        path = Path(__file__).with_name(f"{name}.safetensors")
        save_file(model.state_dict(), path)
        parameters = sum(p.numel() for p in model.parameters())
        print(
            f"{name}: {parameters} parameters, {path.stat().st_size / 1000:.0f} kB, "
            f"validation {validation:.2%}, held out {held_out:.2%}"
        )


if __name__ == "__main__":
    main()
