"""A small ensemble of feed-forward networks, trained together with Adam on the absolute error.

The predictor of BANANAS (White et al. 2019, arXiv 1910.11858) in NumPy: a few hundred points and
some twenty hidden units are too little work for a framework to pay off.

M networks, N points, F features, H hidden units, K outputs.
"""

from itertools import pairwise

import numpy as np

_RATE, _BETA_1, _BETA_2, _EPS = 0.01, 0.9, 0.999, 1e-8


class Ensemble:
    """Networks that differ by their initial weights and the order of their batches.

    Inputs and outputs are standardized inside.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        outputs: np.ndarray,
        *,
        num_networks: int,
        num_layers: int,
        hidden_size: int,
        num_steps: int,
        batch_size: int,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        self._in = _Scale(inputs)
        self._out = _Scale(outputs)
        sizes = [inputs.shape[1], *[hidden_size] * num_layers, outputs.shape[1]]
        shapes = [
            shape
            for size, following in pairwise(sizes)
            for shape in ((num_networks, size, following), (num_networks, 1, following))
        ]
        ends = np.cumsum([0, *[int(np.prod(shape)) for shape in shapes]])
        self._flat = np.zeros(ends[-1])
        self._weights = [
            self._flat[start:end].reshape(shape)
            for (start, end), shape in zip(pairwise(ends), shapes, strict=True)
        ]
        for weight in self._weights[::2]:
            weight[:] = rng.normal(0, np.sqrt(2 / weight.shape[1]), weight.shape)
        self._train(self._in.apply(inputs), self._out.apply(outputs), num_steps, batch_size, rng)

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Every network's prediction. inputs: [N, F] -> [M, N, K]"""
        scaled = self._in.apply(inputs)
        layers = self._forward(np.broadcast_to(scaled, (len(self._weights[0]), *scaled.shape)))
        return layers[-1] * self._out.std + self._out.mean

    def _train(
        self,
        x: np.ndarray,
        y: np.ndarray,
        num_steps: int,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        """x: [N, F], y: [N, K]."""
        networks, batch = len(self._weights[0]), min(batch_size, len(x))
        first, second = np.zeros_like(self._flat), np.zeros_like(self._flat)
        for step in range(1, num_steps + 1):
            drawn = rng.integers(len(x), size=(networks, batch))
            gradient = self._gradient(x[drawn], y[drawn])
            first += (1 - _BETA_1) * (gradient - first)
            second += (1 - _BETA_2) * (gradient * gradient - second)
            # the rate falls to nothing, so that the last batches do not decide
            rate = _RATE * (1 - (step - 1) / num_steps) / (1 - _BETA_1**step)
            self._flat -= rate * first / (np.sqrt(second / (1 - _BETA_2**step)) + _EPS)

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Activations before every layer, and the output. x: [M, N, F]"""
        layers = [x]
        last = len(self._weights) // 2 - 1
        for number in range(last + 1):
            weight, bias = self._weights[2 * number : 2 * number + 2]
            x = x @ weight + bias
            if number < last:
                np.maximum(x, 0, out=x)
            layers.append(x)
        return layers

    def _gradient(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Of the mean absolute error, by weight as they lie in memory. x: [M, N, F]"""
        layers = self._forward(x)
        back = np.sign(layers[-1] - y) / (y.shape[1] * y.shape[2])
        parts: list[np.ndarray] = []
        for number in range(len(self._weights) // 2 - 1, -1, -1):
            below = layers[number]
            parts += [back.sum(axis=1).ravel(), (below.transpose(0, 2, 1) @ back).ravel()]
            if number:
                back = (back @ self._weights[2 * number].transpose(0, 2, 1)) * (below > 0)
        return np.concatenate(parts[::-1])


class _Scale:
    def __init__(self, values: np.ndarray) -> None:
        self.mean = values.mean(axis=0)
        std = values.std(axis=0)
        self.std = np.where(std > 0, std, 1.0)

    def apply(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std
