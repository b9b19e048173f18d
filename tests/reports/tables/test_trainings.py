"""Trainings side by side, from records that are made up."""

from __future__ import annotations

import dataclasses
import math

import pytest

from benchmarks.record.race_file import Measurement, Process, Record, RecordedTraining, RecordedWorkload
from reports.analysis import Analysis
from reports.tables import trainings
from tests.reports.records import cell, record

PLAIN = RecordedWorkload((64, 32, 10), ("sigmoid", "sigmoid"), "mean_squared_error", "digits")
ADAM = dataclasses.replace(PLAIN, training=RecordedTraining("adam"))
KNOWN = {"digits": PLAIN, "digits+adam": ADAM}


def raced() -> Record:
    """Gradients take 1 ms everywhere; a plain step 1.1 ms, one of adam 2.2 ms; `numpy` takes a tenth."""
    found = []
    for process, luck in enumerate((1.0, 1.2, 0.9)):
        for workload, step in (("digits", 1.1e-3), ("digits+adam", 2.2e-3)):
            for name, share in (("loops", 1.0), ("numpy", 0.1)):
                for phase, seconds in (("gradients", 1e-3), ("step", step)):
                    time = (luck * share * seconds,)
                    found.append(cell(name, 64, process, time, workload=workload, phase=phase))
    return dataclasses.replace(record(found), workloads=KNOWN)


def trained(*, reached: tuple[int, ...] = (3, 4, 5), whole: tuple[str, ...] = ("numpy", "loops")) -> Record:
    """Seeds that read 95 % after `reached` rounds of ten steps; only those in `whole` took all steps."""
    found: list[Measurement] = []
    for process, rounds in enumerate(reached):
        for name, seconds in (("numpy", 1e-4), ("loops", 1e-2)):
            count = 6 if name in whole else 1
            accuracies = tuple(0.96 if k + 1 >= rounds else 0.5 for k in range(count))
            found.append(
                cell(
                    name,
                    16,
                    process,
                    (seconds,) * count,
                    phase="train",
                    iterations=10,
                    losses=(0.5,) * count,
                    accuracies=accuracies,
                )
            )
    processes = tuple(Process(seed, "2025-01-02T03:04:05+00:00", 1.0) for seed in range(len(reached)))
    return record(found, processes=processes, settings={"steps": 60, "accuracy": 0.95})


def of(made: Record) -> tuple[Analysis, list[trainings.TimeToTarget]]:
    analysis = Analysis(made)
    return analysis, trainings.reached(analysis, analysis.panel())


def test_a_step_costs_what_it_takes_beyond_its_gradients_and_beyond_a_plain_one() -> None:
    analysis = Analysis(raced())
    found = {(one.workload, one.implementation): one for one in trainings.steps(analysis, analysis.panel())}
    adam = found["digits+adam", "numpy"]
    assert adam.beyond is not None
    assert adam.over_gradients is not None
    assert adam.over_plain is not None
    assert adam.beyond.mean == pytest.approx(1.2e-4 * (1.0 + 1.2 + 0.9) / 3)
    assert adam.beyond.low < adam.beyond.mean < adam.beyond.high
    assert adam.over_gradients[:3] == pytest.approx((2.2, 2.2, 2.2))
    assert adam.over_plain[:3] == pytest.approx((2.0, 2.0, 2.0))
    assert found["digits", "numpy"].over_plain is None


def test_what_was_not_raced_is_left_open() -> None:
    made = raced()
    steps = tuple(m for m in made.measurements if m.phase == "step" and m.workload == "digits+adam")
    analysis = Analysis(dataclasses.replace(made, measurements=steps))
    (one, *_) = trainings.steps(analysis, analysis.panel())
    assert (one.beyond, one.over_gradients, one.over_plain) == (None, None, None)
    head, rows = trainings.steps_grid(analysis, [one])
    assert rows[0][2:] == ["-", "-", "-"]
    assert len(rows[0]) == len(head)


def test_factors_stand_beside_each_other_training_by_training() -> None:
    analysis = Analysis(raced())
    head, rows = trainings.factors_grid(analysis, analysis.panel(), "loops")
    assert head == ["", "numpy, m = 64", "fastest, m = 64"]
    assert rows == [
        ["gradient_descent", "10.0x ±0.0 %", "numpy 10.0x ±0.0 %"],
        ["adam", "10.0x ±0.0 %", "numpy 10.0x ±0.0 %"],
    ]


def test_the_time_to_an_accuracy_is_steps_times_the_time_of_a_step() -> None:
    _, (numpy, loops) = of(trained())
    assert numpy.implementation == "numpy"
    for one, step in ((numpy, 1e-4), (loops, 1e-2)):
        assert (one.seeds, one.reached) == (3, 3)
        assert one.steps.mean == pytest.approx((30 * 40 * 50) ** (1 / 3))
        assert one.step.mean == pytest.approx(step)
        assert one.seconds.mean == pytest.approx(one.steps.mean * step)
        assert one.seconds.low < one.seconds.mean < one.seconds.high
        assert one.accuracy.mean == pytest.approx(0.96)


def test_steps_are_the_trainings_and_serve_whoever_took_a_sample() -> None:
    _, found = of(trained(whole=("numpy",)))
    numpy, loops = found
    assert loops.steps == numpy.steps
    assert loops.seconds.mean == pytest.approx(100 * numpy.seconds.mean)
    assert math.isnan(loops.accuracy.mean)


def test_a_seed_that_never_got_there_leaves_no_time() -> None:
    analysis, found = of(trained(reached=(3, 4, 99)))
    for one in found:
        assert (one.seeds, one.reached) == (3, 2)
        assert math.isnan(one.seconds.mean)
    _, rows = trainings.reached_grid(analysis, found)
    assert rows[0][1] == "2 of 3 seeds"
    assert rows[0][3] == "-"


def test_nobody_who_trained_for_all_the_steps_leaves_it_open() -> None:
    _, found = of(trained(whole=()))
    assert [one.reached for one in found] == [0, 0]


def test_trainings_are_called_by_what_tells_them_apart() -> None:
    made = dataclasses.replace(record([]), workloads={**KNOWN, "digits-softmax": PLAIN})
    assert trainings.labels(made, ["digits", "digits+adam"]) == {
        "digits": "gradient_descent",
        "digits+adam": "adam",
    }
    assert trainings.labels(made, made.workloads) == {name: name for name in made.workloads}


def test_the_soonest_training_is_the_answer() -> None:
    analysis = Analysis(trained())
    found = trainings.story(analysis, analysis.panel(), analysis.baseline())
    assert found.answer.startswith(
        "numpy with gradient_descent reads 95 % of the held-out digits after 3.91 ms: 39.1 steps of 16 "
        "samples, 100 µs each; loops with gradient_descent after 391 ms "
        "(digits 64-32-10, train, float64, 1 thread)"
    )
    assert [row[0] for row in found.rows] == ["gradient_descent, numpy", "gradient_descent, loops"]
    assert "means over 3 seeds" in found.remarks[0]


def test_an_answer_that_was_not_found_says_so() -> None:
    analysis = Analysis(trained(reached=(99, 99)))
    found = trainings.story(analysis, analysis.panel(), analysis.baseline())
    assert found.answer.startswith(
        "No training read 95 % of the held-out digits within 60 steps from every seed"
    )


def test_a_headline_of_several_trainings_has_all_of_them() -> None:
    found = [
        cell(name, 16, 0, (seconds,), workload=workload, phase="headline", losses=(0.5,))
        for workload in KNOWN
        for name, seconds in (("loops", 1.0), ("numpy", 0.1))
    ]
    made = dataclasses.replace(record(found, settings={"steps": 1}), workloads=KNOWN)
    shown = trainings.story(Analysis(made), Analysis(made).panel(), "loops")
    assert [row[0] for row in shown.rows] == [
        *("gradient_descent, loops", "gradient_descent, numpy", "adam, loops", "adam, numpy"),
    ]
    assert shown.answer.count("10.0x") == 2
    one = trainings.story(Analysis(record(found[:2], settings={"steps": 1})), Analysis(made).panel(), "loops")
    assert [row[0] for row in one.rows] == ["loops", "numpy"]


def test_a_headline_on_several_ranks_has_all_of_them_beside_the_slowest_on_one() -> None:
    on_one = [
        cell(name, 16, 0, (seconds,), phase="headline", losses=(0.5,))
        for name, seconds in (("loops", 1.0), ("numpy-mpi", 0.2))
    ]
    found = [*on_one, dataclasses.replace(on_one[1], ranks=2, seconds=(0.1,))]
    analysis = Analysis(record(found, settings={"steps": 1}))
    shown = trainings.story(analysis, analysis.panel(), "loops")
    assert [(row[0], row[2]) for row in shown.rows] == [
        ("gradient_descent, loops", "1.00x"),
        ("gradient_descent, numpy-mpi", "5.00x"),
        ("gradient_descent, numpy-mpi on 2 ranks", "10.0x"),
    ]
    assert "numpy-mpi 100 ms and loops on one rank 1.00 s: 10.0x" in shown.answer


def test_a_training_on_several_ranks_has_all_of_them() -> None:
    made = trained()
    more = tuple(dataclasses.replace(m, ranks=2) for m in made.measurements if m.implementation == "numpy")
    analysis = Analysis(dataclasses.replace(made, measurements=(*made.measurements, *more)))
    found = trainings.story(analysis, analysis.panel(), analysis.baseline())
    assert sorted(row[0] for row in found.rows) == [
        "gradient_descent, loops",
        "gradient_descent, numpy",
        "gradient_descent, numpy on 2 ranks",
    ]


def test_another_network_is_no_training_of_this_one() -> None:
    made = raced()
    wider = dataclasses.replace(PLAIN, widths=(64, 128, 10))
    more = cell("numpy", 64, 0, (1e-3,), workload="wider", phase="step")
    other = dataclasses.replace(
        made, workloads={**KNOWN, "wider": wider}, measurements=(*made.measurements, more)
    )
    analysis = Analysis(other)
    assert [each.workload for each in trainings.alike(analysis, analysis.panel())] == list(KNOWN)
    assert "wider" not in {one.workload for one in trainings.steps(analysis, analysis.panel())}
