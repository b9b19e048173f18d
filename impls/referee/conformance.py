"""The conformance test of an implementation: the requirements of the contract as laws.

Each case of a law passes, or fails with a reason. The code under test may be wrong in any way: an exception
that it raises is a finding.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from impls import referee, registry
from impls.interface import (
    DTYPES,
    OPTIMIZERS,
    Implementation,
    Network,
    Problem,
    Result,
    Training,
    Unsupported,
)
from impls.referee import honesty, structure, tampering
from impls.referee.judgement import QUANTITIES, same_bits

Class = type[Implementation]
Reals = NDArray[np.float64]

FindingStatus = Literal["passed", "failed", "not supported"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one case of a law; `reason` is empty if it passed."""

    law: str
    dtype: str
    case: str
    status: FindingStatus
    reason: str = ""


class BrokenLawError(Exception):
    """A law does not hold; the message says what was expected and what was got."""


Case = tuple[str, Callable[[Class, str], None]]

ENDS = (
    ("identity", "mean_squared_error"),
    ("sigmoid", "mean_squared_error"),
    ("tanh", "mean_squared_error"),
    ("relu", "mean_squared_error"),
    ("sigmoid", "binary_cross_entropy"),
    ("softmax", "softmax_cross_entropy"),
)
"""Every activation of the last layer with every cost that it may have."""

RATES = (0.1, 2.0, 0.003, 0.5, 0.02, 1.0, 0.3)
"""Learning rates of the steps that are judged one by one."""

UNUSUAL = Training(l2=0.05, seed=7, mu=0.8, rho=0.95, b1=0.85, b2=0.99, eps=1e-3)
"""L2, and constants that differ from all defaults."""

LONG = 150
"""Steps of a long training."""

HIDDEN = ("identity", "sigmoid", "tanh", "relu")


def examine(implementation: Class, laws: Iterable[str] | None = None) -> Iterator[Finding]:
    """Yield the findings of all laws, or of `laws`, in each dtype; those of one law follow each other."""
    for law in LAWS if laws is None else laws:
        cases = LAWS[law]
        for dtype in DTYPES:
            if dtype not in implementation.dtypes:
                yield Finding(
                    law, dtype, "", "not supported", f"it computes in {' and '.join(implementation.dtypes)}"
                )
                continue
            for case, holds in cases:
                try:
                    holds(implementation, dtype)
                except Unsupported as reason:
                    yield Finding(law, dtype, case, "not supported", str(reason))
                except BrokenLawError as reason:
                    yield Finding(law, dtype, case, "failed", str(reason))
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the code under test may raise anything
                    yield Finding(law, dtype, case, "failed", blame(implementation, error))
                else:
                    yield Finding(law, dtype, case, "passed")


def size() -> int:
    """The largest number of findings that `examine` yields."""
    return len(DTYPES) * sum(len(cases) for cases in LAWS.values())


def blame(implementation: Class, error: BaseException) -> str:
    """A sentence on an exception, with the last line of the implementation's file in its traceback."""
    own = inspect.getfile(implementation)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    place = f" (line {lines[-1]} of {own})" if lines else ""
    hint = "; it must not write to what it was given" if "read-only" in str(error) else ""
    return f"it raised {type(error).__name__}: {error}{place}{hint}"


def _network(activations: tuple[str, ...], loss: str, widths: tuple[int, ...] = (5, 7, 6, 3)) -> Network:
    return Network((*widths[: len(activations)], widths[-1]), activations, loss)


SIGMOID = _network(("sigmoid", "sigmoid", "sigmoid"), "mean_squared_error")
SOFTMAX = _network(("relu", "relu", "softmax"), "softmax_cross_entropy")
IDENTITY = _network(("tanh", "tanh", "identity"), "mean_squared_error")


def _judged(problem: Problem) -> Callable[[Class, str], None]:
    """A law: the implementation passes the referee's check on `problem`."""

    def holds(implementation: Class, dtype: str) -> None:
        verdict = referee.check(implementation(problem, dtype), problem, dtype)
        if not verdict.passed:
            raise BrokenLawError(verdict.message)

    return holds


def _networks() -> Iterator[Case]:
    for last, loss in ENDS:
        for hidden in HIDDEN:
            network = _network((hidden, hidden, last), loss)
            yield f"{hidden}, {last}, {loss}", _judged(Problem.random(network, 10, 5, seed=1))
    network = _network(("relu", "tanh", "sigmoid", "softmax"), "softmax_cross_entropy", (5, 4, 7, 6, 3))
    yield "relu, tanh, sigmoid, softmax", _judged(Problem.random(network, 10, 5, seed=1))


def _large() -> Iterator[Case]:
    for k, (last, loss) in enumerate(ENDS):
        hidden = HIDDEN[k % len(HIDDEN)]
        network = _network((hidden, hidden, last), loss)
        yield f"{hidden}, {last}, {loss}", _judged(Problem.random(network, 10, 5, seed=2, scale=1000.0))


def _sizes() -> Iterator[Case]:
    for widths, m in (((1, 1), 1), ((3, 1, 2), 1), ((9, 13, 5), 7), ((33, 17, 10), 67)):
        for hidden, last, loss in (
            ("sigmoid", "sigmoid", "mean_squared_error"),
            ("relu", "softmax", "softmax_cross_entropy"),
        ):
            network = Network(widths, (*[hidden] * (len(widths) - 2), last), loss)
            problem = Problem.random(network, 2 * m, m, seed=3)
            yield f"{'-'.join(map(str, widths))}, m = {m}, {loss}", _judged(problem)


def _layouts() -> Iterator[Case]:
    layouts: dict[str, Callable[[Reals], Reals]] = {
        "Fortran order": np.asfortranarray,
        "every other element of a larger array": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
        "reversed strides": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        "a byte off its alignment": _unaligned,
    }
    for network in (SIGMOID, SOFTMAX):
        base = Problem.random(network, 10, 5, seed=4)
        for case, laid in layouts.items():
            weights, biases = tuple(map(laid, base.weights)), tuple(map(laid, base.biases))
            problem = Problem(network, weights, biases, laid(base.X), laid(base.Y), base.batch_size)
            yield f"{case}, {network.loss}", _judged(problem)


def _unaligned(array: Reals) -> Reals:
    memory = np.empty(array.nbytes + 1, np.uint8)[1:]
    copy = memory.view(np.float64).reshape(array.shape)
    copy[...] = array
    return copy


def _zeros() -> Iterator[Case]:
    """Relu units at exactly 0 (from samples and biases of zeros), in layers as wide as the one below."""
    for network in (
        Network((6, 6, 6, 6), ("relu", "relu", "softmax"), "softmax_cross_entropy"),
        Network((6, 6, 6, 6), ("relu", "relu", "relu"), "mean_squared_error"),
        Network((6, 6, 6, 6), ("sigmoid", "sigmoid", "sigmoid"), "mean_squared_error"),
    ):
        given = Problem.random(network, 24, 12, seed=8)
        X = given.X.copy()
        X[:, ::3] = 0.0
        biases = (np.zeros_like(given.biases[0]), *given.biases[1:])
        problem = Problem(network, given.weights, biases, X, given.Y, given.batch_size)
        yield f"{network.activations[-1]}, {network.loss}", _judged(problem)


def _on_each(law: Callable[[Class, str, Problem], None]) -> Iterator[Case]:
    """`law` on three problems, so that implementations of only some costs are examined, too."""
    for network in (SIGMOID, SOFTMAX, IDENTITY):
        problem = Problem.random(network, 15, 5, seed=5)

        def holds(implementation: Class, dtype: str, problem: Problem = problem) -> None:
            law(implementation, dtype, problem)

        yield f"{network.activations[-1]}, {network.loss}", holds


def _same(what: str, want: Result, got: Result, among: Sequence[str] = QUANTITIES) -> None:
    """Raise BrokenLawError if two results differ in any bit, or are not finite."""
    for name, array in _named(got).items():
        if name.partition("[")[0] in among and not np.isfinite(array).all():
            raise BrokenLawError(
                f"{what}: {name}: expected finite numbers, got {array[~np.isfinite(array)][0]}"
            )
    if "loss" in among and not np.isfinite(got.loss):
        raise BrokenLawError(f"{what}: loss: expected a finite number, got {got.loss}")
    try:
        same_bits(got, want, "to the bit", among)
    except structure.FoulError as difference:
        raise BrokenLawError(f"{what}: {difference}") from None


def _named(result: Result) -> dict[str, Reals]:
    return dict(referee.quantities(result))


def _two_calls(implementation: Class, dtype: str, problem: Problem) -> None:
    race = implementation(problem, dtype)
    first = race.export()
    race.gradients()
    _same("two calls of gradients", first, race.export())
    race.forward()
    race.forward()
    _same("forward after gradients", first, race.export(), ("output", "weights", "biases"))


def _two_constructions(implementation: Class, dtype: str, problem: Problem) -> None:
    one, other = implementation(problem, dtype), implementation(problem, dtype)
    one.train(4, 0.1)
    other.train(4, 0.1)
    _same("two constructions", one.export(), other.export())


def _apart(implementation: Class, dtype: str, problem: Problem) -> None:
    race = implementation(problem, dtype)
    before = race.export()
    another = Problem.random(problem.network, problem.samples, problem.batch_size, seed=6)
    implementation(another, dtype).train(2, 0.1)
    _same("after another problem's race was built and trained", before, race.export())
    race.gradients()
    _same("gradients after another problem's race", before, race.export())


def _train_is_steps(implementation: Class, dtype: str, problem: Problem) -> None:
    trained, stepped = implementation(problem, dtype), implementation(problem, dtype)
    for steps, rate in ((5, 0.1), (1, 0.1), (LONG, 0.01)):  # the later rounds start within an epoch
        trained.train(steps, rate)
        for _ in range(steps):
            stepped.step(rate)
        _same(f"train({steps}) and {steps} steps", stepped.export(), trained.export())
    trained.train(0, 0.1)
    _same("train(0)", stepped.export(), trained.export())


def _repeat_is_calls(implementation: Class, dtype: str, problem: Problem) -> None:
    one, other = implementation(problem, dtype), implementation(problem, dtype)
    repeat = getattr(one, "repeat", None)
    if repeat is None:  # a round makes every call itself
        return
    for method, times, arguments in (
        ("forward", 2, ()),
        ("gradients", 3, ()),
        ("step", 4, (0.1,)),
        ("train", 2, (3, 0.1)),
    ):
        repeat(method, times, *arguments)
        for _ in range(times):
            getattr(other, method)(*arguments)
        _same(f"{method} repeated {times} times and {times} calls", other.export(), one.export())


def _every_phase(implementation: Class, dtype: str, problem: Problem) -> None:
    """Judge each call from the state before it: two epochs of steps and one more, at different rates,
    followed in turn by gradients, a forward pass, or the next step; then calls after a long training.
    """
    race = implementation(problem, dtype)
    state = referee.first_state(problem, dtype)
    _passes("gradients after construction", referee.judge_gradients(state, race.export()))
    race.forward()
    _passes("forward right after gradients", referee.judge_forward(state, race.export()))
    for k, rate in zip(range(2 * problem.batches + 1), itertools.cycle(RATES), strict=False):
        race.step(rate)
        result = race.export()
        _passes(f"step {k + 1}, at a rate of {rate}", referee.judge_step(state, result, rate))
        state = state.after_step(result)
        if k % 3 == 0:
            race.gradients()
            _passes(f"gradients right after step {k + 1}", referee.judge_gradients(state, race.export()))
            race.forward()
            _passes(f"forward after that, step {k + 1}", referee.judge_forward(state, race.export()))
        elif k % 3 == 1:
            race.forward()
            _passes(f"forward right after step {k + 1}", referee.judge_forward(state, race.export()))
    race.train(LONG, RATES[0])
    batch, t = (state.batch + LONG - 1) % problem.batches, state.t + LONG - 1
    state = dataclasses.replace(state, batch=batch, t=t).after_step(race.export())
    race.gradients()
    _passes(f"gradients after {LONG} further steps", referee.judge_gradients(state, race.export()))
    race.step(RATES[0])
    _passes("the step after that", referee.judge_step(state, race.export(), RATES[0]))


def trainings() -> Iterator[Training]:
    """Every optimizer with and without dropout and L2, except plain descent; with L2, unusual constants."""
    for optimizer in OPTIMIZERS:
        usual = Training(optimizer)
        decay = 0.1 if optimizer == "adamw" else usual.weight_decay
        for training in (
            usual,
            dataclasses.replace(usual, dropout=(0.5, 0.25)),
            dataclasses.replace(UNUSUAL, optimizer=optimizer, weight_decay=decay),
            dataclasses.replace(UNUSUAL, optimizer=optimizer, weight_decay=decay, dropout=(0.3, 0.6)),
        ):
            if structure.asked(training):
                yield training


def _trainings() -> Iterator[Case]:
    for training, network in zip(trainings(), itertools.cycle((SIGMOID, SOFTMAX, IDENTITY)), strict=False):
        problem = Problem.random(network, 10, 5, seed=10, training=training)

        def holds(implementation: Class, dtype: str, problem: Problem = problem) -> None:
            _every_phase(implementation, dtype, problem)

        yield f"{structure.asked(training)}, {network.activations[-1]}, {network.loss}", holds


def _long_trainings() -> Iterator[Case]:
    for optimizer, dropout in (*((optimizer, 0.0) for optimizer in OPTIMIZERS), ("adam", 0.5)):
        training = Training(optimizer, l2=0.01, dropout=dropout)
        problem = Problem.random(SOFTMAX, 15, 5, seed=11, training=training)

        def holds(implementation: Class, dtype: str, problem: Problem = problem) -> None:
            _train_is_steps(implementation, dtype, problem)

        yield structure.asked(training), holds


def _passes(what: str, verdict: referee.Verdict) -> None:
    if not verdict.passed:
        raise BrokenLawError(f"{what}: {verdict.message}")


def _honest() -> Iterator[Case]:
    for network in honesty.NETWORKS:

        def holds(implementation: Class, dtype: str, network: Network = network) -> None:
            for law, how in honesty.broken(implementation, network, dtype).items():
                raise BrokenLawError(f"expected that {law}: {how}")

        yield f"{network.activations[-1]}, {network.loss}", holds


def _rate_zero(implementation: Class, dtype: str, problem: Problem) -> None:
    race = implementation(problem, dtype)
    before = race.export()
    race.train(problem.batches, 0.0)
    race.gradients()
    _same("one round of steps of rate 0, back at the first batch", before, race.export())


def _inputs_survive(implementation: Class, dtype: str, problem: Problem) -> None:
    weights, biases = ([np.array(a) for a in arrays] for arrays in (problem.weights, problem.biases))
    X, Y = np.array(problem.X), np.array(problem.Y)
    arrays = [*weights, *biases, X, Y]  # writable: an implementation that means to can
    L = problem.network.layers
    names = [f"weights[{k}]" for k in range(L)] + [f"biases[{k}]" for k in range(L)] + ["X", "Y"]
    before = [a.tobytes() for a in arrays]
    race = implementation(
        Problem(problem.network, tuple(weights), tuple(biases), X, Y, problem.batch_size), dtype
    )
    race.step(0.1)
    race.train(3, 0.1)
    race.export()
    for name, a, bits in zip(names, arrays, before, strict=True):
        if a.tobytes() != bits:
            raise BrokenLawError(f"it writes to {name}, which belongs to the caller")
    race.gradients()
    result = race.export()
    for array in arrays:
        array += 1.0
    race.gradients()
    _same("after the caller changed its own arrays", result, race.export())


def _exports_are_copies(implementation: Class, dtype: str, problem: Problem) -> None:
    race = implementation(problem, dtype)
    first = race.export()
    kept = {name: array.copy() for name, array in _named(first).items()}
    race.step(0.1)
    for name, array in _named(first).items():
        if not np.array_equal(array, kept[name]):
            raise BrokenLawError(f"{name} of an earlier export changes with a later step: expected a copy")
    second = race.export()
    for array in _named(race.export()).values():
        array += 1.0
    _same("after an export was written to", second, race.export())


def _same_order(implementation: Class, dtype: str, problem: Problem) -> None:
    if not implementation.same_order:
        raise Unsupported("it does not claim to sum in the order of loops")
    if dtype != "float64":
        raise Unsupported("the claim is for float64, in which loops computes")
    race, loops = implementation(problem, dtype), registry.load("loops")(problem, dtype)
    race.train(4, 0.1)
    loops.train(4, 0.1)
    one, other = race.export(), loops.export()
    _same("bit for bit beside loops", other, one, ("dw", "db", "weights", "biases"))


def _refusals(implementation: Class, dtype: str, problem: Problem) -> None:
    # As races construct it; an implementation that cannot run the problem refuses here, for another reason.
    implementation(problem, dtype=dtype, threads=1)
    for asked, threads in (("float16", 1), (dtype, 0)):
        try:
            implementation(problem, asked, threads)
        except (ValueError, TypeError):
            continue
        raise BrokenLawError(
            f"expected ValueError or Unsupported for dtype={asked!r}, threads={threads}, got an object"
        )


def _compile_time(implementation: Class, dtype: str, problem: Problem) -> None:
    seconds: object = implementation(problem, dtype).compile_seconds
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e6:
        raise BrokenLawError(f"compile_seconds: expected seconds of 0 and up, got {seconds!r}")


_BEFORE = tampering.snapshot()


def _leaves_alone(implementation: Class, dtype: str, problem: Problem) -> None:
    implementation(problem, dtype).train(2, 0.1)
    if found := tampering.changed(_BEFORE):
        raise BrokenLawError(f"it changed {', '.join(found[:5])}: expected it not to change what judges it")


LAWS: dict[str, tuple[Case, ...]] = {
    "every activation and cost": tuple(_networks()),
    "pre-activations of +-1000": tuple(_large()),
    "sizes that are multiples of nothing": tuple(_sizes()),
    "exact zeros, square layers": tuple(_zeros()),
    "inputs of any memory layout": tuple(_layouts()),
    "inputs are never written to": tuple(_on_each(_inputs_survive)),
    "two calls agree": tuple(_on_each(_two_calls)),
    "two constructions agree": tuple(_on_each(_two_constructions)),
    "implementations are independent": tuple(_on_each(_apart)),
    "train(n) is n steps": tuple(_on_each(_train_is_steps)),
    "repeat(n) is n calls": tuple(_on_each(_repeat_is_calls)),
    "every call is right, from the state before it": tuple(_on_each(_every_phase)),
    "every optimizer, L2 and dropout": tuple(_trainings()),
    "train(n) is n steps, with every optimizer": tuple(_long_trainings()),
    "rate 0 changes nothing": tuple(_on_each(_rate_zero)),
    "exports are copies": tuple(_on_each(_exports_are_copies)),
    "bit for bit, where claimed": tuple(_on_each(_same_order)),
    "wrong arguments are refused": tuple(_on_each(_refusals)),
    "compile time is reported": tuple(_on_each(_compile_time)),
    "nothing is owed to a later call, nothing kept from an earlier one": tuple(_honest()),
    "clocks, NumPy and the referee are left alone": tuple(_on_each(_leaves_alone)),
}
"""Every law with its cases, in the order in which they are examined."""
