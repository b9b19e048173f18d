import numpy as np
from scipy.special import expit

import impls


class Outside:
    idea, differs_from, fast_math = "the bias as the weight of an input that is always 1", "numpy", "none"
    dtypes, same_order, layout, compile_seconds = ("float64", "float32"), False, "samples in columns", 0.0

    def __init__(self, problem, dtype="float64", threads=1):
        asked = {*problem.network.activations, problem.network.loss, problem.training, threads}
        if asked - {"sigmoid", "mean_squared_error", impls.Training(), 1} or dtype not in self.dtypes:
            raise impls.Unsupported("sigmoid, mean_squared_error, plain descent, one thread only")
        self.w = [np.hstack(wb).astype(dtype) for wb in zip(problem.weights, problem.biases)]
        self.X, self.Y = (np.split(A.astype(dtype), problem.batches, axis=1) for A in (problem.X, problem.Y))
        self.gradients()
    def forward(self):
        self.a, self.y = [self.X[0]], self.Y[0]
        for w in self.w:  # every layer's input gets a row of ones
            self.a[-1:] = [x := np.vstack([self.a[-1], np.ones_like(self.y[:1])]), expit(w @ x)]
    def gradients(self):
        self.forward()
        da, self.dw = self.a[-1] - self.y, []
        for w, x, a in zip(self.w[::-1], self.a[-2::-1], self.a[:0:-1]):
            dz = (da * a * (1 - a))[: len(w)]  # (n_l, m), without the row of ones
            self.dw.insert(0, dz @ x.T / x.shape[1])  # (n_l, n_{l-1} + 1): dw and db
            da = w.T @ dz
    def step(self, learning_rate):
        self.train(1, learning_rate)
    def train(self, steps, learning_rate):
        for _ in range(steps):
            self.gradients()
            self.w = [w - learning_rate * dw for w, dw in zip(self.w, self.dw)]
            self.X, self.Y = self.X[1:] + self.X[:1], self.Y[1:] + self.Y[:1]
    def export(self):
        J = float(((self.a[-1] - self.y) ** 2).sum() / (2 * self.y.shape[1]))
        halves = ([np.split(w.astype(float), [-1], axis=1) for w in ws] for ws in (self.dw, self.w))
        return impls.Result(J, self.a[-1].astype(float), *(part for pairs in halves for part in zip(*pairs)))
