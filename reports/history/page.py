"""The trend page: one HTML file that needs nothing else, from the trends of one lane."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from reports.charts.canvas import settings
from reports.history.changes import MIN_SEGMENT, MINIMUM_EFFECT, PENALTY
from reports.history.charts import trend_chart
from reports.history.trends import Lane, Point, Step, Trend, by_commit, changed_versions
from reports.style import duration, plain

MOST_CHARTS = 12
"""Charts on a page: each takes a third of a second. The others are had by naming their implementation or
phase.
"""

STEPS_OF_A_COMMIT = 12
"""Rows of one commit in the table of steps; a commit that changes all of them needs no more to say so."""

SHEET = Path(__file__).parents[1] / "page" / "assets" / "page.css"
"""The look of every page of ours."""

STYLE = """
svg { max-width: 100%; height: auto; display: block; background: #fff; }
h3 { margin: 1.5rem 0 0; }
.slower { color: var(--warn); }
.faster { color: var(--accent); }
"""
"""What this page needs beside it; the pictures are drawn for white paper, whatever the page is on."""


def page(lane: Lane, points: Sequence[Point], trends: Sequence[Trend], place: str) -> str:
    """The page, as text: the steps by commit, pictures of the series that stepped last, a table of all."""
    drawn = choose_drawn(trends)
    body = [
        "<h1>gradrace: trends</h1>",
        f'<p class="answer">{_answer(lane, points, trends)}</p>',
        f"<p class=faint>{_scope(lane, points, trends, place)}</p>",
        "<h2>Steps, by the commit where they began</h2>",
        *_steps(points, trends),
        "<h2>Pictures</h2>",
        f"<p>{_pictured(drawn, trends)}</p>",
        *(_picture(one, points) for one in drawn),
        "<h2>Every series</h2>",
        *_table(points, trends),
        f'<p class="faint">{_method()}</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>gradrace: trends on {_text(lane.branch, 60)}</title>"
        f"<style>{SHEET.read_text(encoding='utf-8')}{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def choose_drawn(trends: Sequence[Trend]) -> list[Trend]:
    """The series worth a picture: those that stepped last, then those that never did; not too many."""

    def last_step(trend: Trend) -> int:
        return max((step.began for step in trend.steps), default=-1)

    return sorted(trends, key=last_step, reverse=True)[:MOST_CHARTS]


def svg(figure: Figure) -> str:
    """A figure as an element of a page: the same bytes for the same figure, and no XML declaration."""
    buffer = io.StringIO()
    with settings():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "gradrace"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _picture(trend: Trend, points: Sequence[Point]) -> str:
    words = html.escape(f"{plain(str(trend.track.series), 200)}, from commit to commit", quote=True)
    return f'<figure role="img" aria-label="{words}">{svg(trend_chart(trend, points))}</figure>'


def _answer(lane: Lane, points: Sequence[Point], trends: Sequence[Trend]) -> str:
    branch, many = _text(lane.branch, 60), len(points)
    stepped = sum(bool(one.steps) for one in trends)
    if not stepped:
        return f"On {branch} none of {len(trends)} series changed its level in {many} commits."
    began, steps = by_commit(trends)[0]
    return (
        f"On {branch} {stepped} of {len(trends)} series changed their level in {many} commits; last at "
        f"<code>{points[began].sha[:10]}</code>: {_change(steps[0])} for "
        f"{_text(str(steps[0].track.series), 100)}."
    )


def _scope(lane: Lane, points: Sequence[Point], trends: Sequence[Trend], place: str) -> str:
    processes = sum(int(one.track.processes.sum()) for one in trends)
    first, last = points[0].dated, points[-1].dated
    return (
        f"{len(points):,} commits from {first:%Y-%m-%d} to {last:%Y-%m-%d}, {len(trends):,} series, "
        f"{processes:,} measurements, one a process, on {_text(str(lane), 200)}; from {_text(place, 200)}. "
        "Runs of other machines and branches are not mixed in."
    )


def _steps(points: Sequence[Point], trends: Sequence[Trend]) -> Iterable[str]:
    found = by_commit(trends)
    if not found:
        yield f"<p>None of the {len(trends)} series changed its level.</p>"
        return
    for began, steps in found:
        point = points[began]
        slower = sum(step.change > 0 for step in steps)
        yield (
            f"<h3><code>{point.sha[:10]}</code> {_text(point.subject, 100)}</h3>"
            f"<p>{point.dated:%Y-%m-%d}: {slower} slower, {len(steps) - slower} faster; "
            f"before it <code>{points[_last(steps)].sha[:10]}</code> was measured."
        )
        new = changed_versions(points[_last(steps)], point)
        if new:
            yield f"With it changed: {_text('; '.join(new), 300)}."
        yield '</p><div class="scroll"><table><thead><tr><th>series<th class="number">before'
        yield '<th class="number">after<th class="number">change</tr></thead>'
        for step in steps[:STEPS_OF_A_COMMIT]:
            yield (
                f"<tr><td>{_text(str(step.track.series), 200)}<td class=number>{duration(step.before)}"
                f"<td class=number>{duration(step.after)}<td class=number>{_change(step)}</tr>"
            )
        yield "</table></div>"
        if len(steps) > STEPS_OF_A_COMMIT:
            yield f"<p>and {len(steps) - STEPS_OF_A_COMMIT} smaller ones</p>"


def _last(steps: Sequence[Step]) -> int:
    """The newest commit that still showed all of the levels before: series may lack some commits."""
    return min(step.last for step in steps)


def _change(step: Step) -> str:
    return f'<span class="{"slower" if step.change > 0 else "faster"}">{step.change:+.1%}</span>'


def _pictured(drawn: Sequence[Trend], trends: Sequence[Trend]) -> str:
    if len(drawn) == len(trends):
        return "Every series, those that stepped last first."
    return (
        f"{len(drawn)} of {len(trends)} series, those that stepped last first. Others: "
        "<code>python -m reports history trend --implementation NAME --page FILE</code>"
    )


def _table(points: Sequence[Point], trends: Sequence[Trend]) -> Iterable[str]:
    yield '<div class="scroll"><table><thead><tr><th>series<th class="number">commits'
    yield '<th class="number">time now<th class="number">since the first'
    yield '<th class="number">noise<th>last step</tr></thead>'
    for one in trends:
        now, first = one.levels[-1][2], one.levels[0][2]
        step = one.steps[-1] if one.steps else None
        words = f"{_change(step)} at <code>{points[step.began].sha[:10]}</code>" if step else ""
        noise = f"{one.noise:.1%}" if np.isfinite(one.noise) else ""
        yield (
            f"<tr><td>{_text(str(one.track.series), 200)}<td class=number>{len(one.track.at)}"
            f"<td class=number>{duration(now)}<td class=number>{now / first - 1:+.1%}"
            f"<td class=number>{noise}<td>{words}</tr>"
        )
    yield "</table></div>"


def _method() -> str:
    return (
        "A process counts by the first quartile of its rounds, a commit by the median of its processes. "
        "Levels are fitted to the logarithms of these by PELT (ruptures), where a step costs "
        f"{PENALTY:g} ln(commits) times the square of the noise; a level lasts {MIN_SEGMENT} commits at "
        f"least, and a step is of {MINIMUM_EFFECT:.0%} or more. Noise: the spread of a commit's value. "
        "A step says that something changed at that commit, in the code or around it; it informs, and "
        "blocks nothing."
    )


def _text(words: str, longest: int) -> str:
    return html.escape(plain(words, longest))
