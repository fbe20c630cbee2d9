"""The handwritten digits of scikit-learn, split once and for all."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]


def split() -> tuple[FloatArray, LabelArray, FloatArray, LabelArray]:
    """Split the 1797 digits into 70 % for training and 30 % held out, each class in proportion.

    Returns:
        `x_train, y_train, x_test, y_test`. Images are N x 1 x 8 x 8 between 0 and 1, labels are 0 to 9.
    """
    images, labels = load_digits(return_X_y=True)
    x = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    y = labels.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    return x_train, y_train, x_test, y_test
