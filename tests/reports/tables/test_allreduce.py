"""The model of data-parallel steps: its limits are those of the algorithms that it describes."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.analysis import Analysis
from reports.tables import allreduce as model
from reports.tables.allreduce import ETHERNET, INFINIBAND, MODELLED, NetworkLink, RankCompute
from tests.reports.records import cell, record

links = st.builds(
    NetworkLink,
    st.just("a link"),
    st.floats(1e-7, 1e-3),
    st.floats(1e-12, 1e-8),
    st.floats(0.0, 1e-9),
)
computes = st.builds(RankCompute, st.floats(0.0, 1e-3), st.floats(1e-9, 1e-3))
sizes = st.integers(1, 10**8)


@given(links, sizes)
def test_one_rank_has_nothing_to_tell_another(link: NetworkLink, size: int) -> None:
    assert model.allreduce(link, 1, size) == 0.0


@given(links, sizes)
def test_two_ranks_exchange_one_message_each(link: NetworkLink, size: int) -> None:
    expected = link.alpha + size * (link.beta + link.gamma)
    scattered = 2 * link.alpha + size * (link.beta + link.gamma / 2)
    assert model.allreduce(link, 2, size) == pytest.approx(min(expected, scattered))


@given(links, sizes, st.sampled_from(MODELLED[1:-1]))
def test_more_ranks_and_longer_messages_take_no_less(link: NetworkLink, size: int, ranks: int) -> None:
    now = model.allreduce(link, ranks, size)
    assert model.allreduce(link, 2 * ranks, size) >= now
    assert model.allreduce(link, ranks, 2 * size) >= now


@given(links, st.sampled_from(MODELLED[1:]))
def test_short_messages_cost_their_starts_and_long_ones_their_bytes(link: NetworkLink, ranks: int) -> None:
    assert model.allreduce(link, ranks, 0) == pytest.approx(math.log2(ranks) * link.alpha)
    byte = model.allreduce(link, ranks, 1e15) / 1e15
    share = (ranks - 1) / ranks
    least = min(math.log2(ranks) * (link.beta + link.gamma), share * (2 * link.beta + link.gamma))
    assert byte == pytest.approx(least, rel=1e-3)


@given(links, sizes, st.integers(2, 5000))
def test_no_number_of_ranks_is_faster_than_the_power_of_two_below(
    link: NetworkLink, size: int, ranks: int
) -> None:
    power = 2 ** int(math.log2(ranks))
    assert model.allreduce(link, ranks, size) >= model.allreduce(link, power, size)


@given(computes, links, sizes, st.sampled_from([64, 4096, 10**6]))
def test_strong_scaling_ends_where_it_is_best_and_never_beyond_a_sample_each(
    compute: RankCompute, link: NetworkLink, size: int, samples: int
) -> None:
    best = model.best_ranks(compute, link, samples, size)
    assert best <= samples
    least = model.step(compute, link, best, samples, size)
    assert all(model.step(compute, link, p, samples, size) >= least for p in MODELLED if p <= samples)


@given(computes, links, sizes, st.sampled_from(MODELLED[1:]))
def test_from_where_it_is_hidden_computing_takes_as_long(
    compute: RankCompute, link: NetworkLink, size: int, ranks: int
) -> None:
    samples = model.hidden_from(compute, link, ranks, size)
    told = model.allreduce(link, ranks, size)
    assert compute.seconds(samples) >= told * (1 - 1e-9)
    assert samples == 0 or compute.seconds(samples) == pytest.approx(told)


@given(st.floats(1e-7, 1e-3), st.floats(1e-12, 1e-8))
def test_a_link_is_found_again_from_its_allreduces(alpha: float, beta: float) -> None:
    link = NetworkLink("a link", alpha, beta, 0.0)
    pings = [(size, model.allreduce(link, 2, size)) for size in (8, 1000, 10**5, 10**7)]
    found = NetworkLink("again", *model.fitted(pings), 0.0)
    for size, seconds in pings:
        assert model.allreduce(found, 2, size) == pytest.approx(seconds, rel=1e-6)


def test_a_faster_network_hides_smaller_batches() -> None:
    compute = RankCompute(1e-6, 1e-7)
    for ranks in MODELLED[1:]:
        one, other = (model.hidden_from(compute, link, ranks, 20_000) for link in (INFINIBAND, ETHERNET))
        assert one < other


def modelled(noise: float = 0.0, pings: bool = True) -> Analysis:
    """A race on one and two ranks with the times of a model, except for a share of `noise`."""
    compute, link = RankCompute(4e-6, 2e-7), NetworkLink("here", 3e-6, 1e-9, 0.0)
    size = 8 * (64 * 32 + 32 + 32 * 10 + 10)
    told = tuple((length, model.allreduce(link, 2, length)) for length in (1000, 10**4, 10**6))
    cells = []
    for m in (16, 256, 4096):
        cells.append(cell("numba-mpi", m, 0, (compute.seconds(m),)))
        shared = cell("numba-mpi", m, 1, (model.step(compute, link, 2, m, size) * (1 + noise),))
        cells.append(dataclasses.replace(shared, ranks=2, allreduces=told if pings else ()))
    return Analysis(record(cells, names=()))


def test_a_record_that_follows_the_model_is_predicted() -> None:
    made = modelled()
    (found,) = model.models(made, made.panel())
    assert found.within(1e-6) == len(found.measured) == 3
    (off,) = model.models(modelled(noise=0.5), made.panel())
    assert off.within(0.25) == 0
    assert off.within(0.6) == 3


def test_without_allreduces_on_record_there_is_no_model() -> None:
    made = modelled(pings=False)
    assert model.models(made, made.panel()) == []
