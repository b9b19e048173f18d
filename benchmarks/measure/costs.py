"""The cost of the algorithm for any implementation: operations and bytes, derived from the network's shape.

With m samples and layers of width n_l behind layers of width n_{l-1}:

    z = w x + b          2 n_l n_{l-1} m    (a product and an addition each; the sum starts from b)
    dw = dz x^T          2 n_l n_{l-1} m
    da_prev = w^T dz     2 n_l n_{l-1} m    (every layer but the first, as no derivative by X is needed)
"""

from __future__ import annotations

from impls import OPTIMIZERS, Network, Training


def flops(network: Network, phase: str, m: int) -> int:
    """The multiplications and additions of the matrix products of one call."""
    n = network.widths
    connections = [n[k] * n[k + 1] for k in range(network.layers)]
    forward = 2 * m * sum(connections)
    if phase == "forward":
        return forward
    return 2 * forward + 2 * m * sum(connections[1:])


def traffic(network: Network, phase: str, m: int, itemsize: int, training: Training = Training()) -> int:
    """The fewest bytes that one call moves, if it reads every input once and writes every result once.

    forward reads X, w, b and writes the output; gradients reads Y, too, and writes dw and db; step writes
    w and b besides, and reads and writes the optimizer's own arrays.
    """
    n = network.widths
    values = n[0] * m + parameters(network) + n[-1] * m
    if phase != "forward":
        values += parameters(network)
    if phase == "step":
        values += parameters(network) * (1 + 2 * OPTIMIZERS[training.optimizer])
    return values * itemsize


def parameters(network: Network) -> int:
    """The number of weights and biases of the network."""
    n = network.widths
    return sum(n[k + 1] * (n[k] + 1) for k in range(network.layers))
