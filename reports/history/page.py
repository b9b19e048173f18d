"""The trend page: one HTML file that needs nothing else, from the trends of one kind of machine."""

from __future__ import annotations

from reports.history.changes import MIN_SEGMENT, MINIMUM_EFFECT, PENALTY
from reports.history.charts import trend_chart
from reports.history.kinds import KindOfMachine
from reports.page import markup

MOST_CHARTS = 12
"""The largest number of charts on a page, as each takes a third of a second. Others are drawn for an
implementation or phase.
"""

STEPS_OF_A_COMMIT = 12
"""The largest number of rows of one commit in the table of steps."""


def page(kind: KindOfMachine, place: str) -> str:
    """The page, as text: the steps by commit, pictures of the series that stepped last, a table of all.

    `place` is the name of the history.
    """
    points, trends = kind.points, kind.shown
    # Those that stepped last, then those that never did.
    drawn = sorted(trends, key=lambda one: one.steps[-1].began if one.steps else -1, reverse=True)
    return markup.render(
        "trends.html",
        title=f"trends on {kind.timeline.branch}",
        timeline=kind.timeline,
        place=place,
        points=points,
        trends=trends,
        stepped=sum(bool(one.steps) for one in trends),
        measurements=sum(int(one.track.processes.sum()) for one in trends),
        found=[(steps, "; ".join(kind.changed_versions(steps))) for steps in kind.steps],
        most_steps=STEPS_OF_A_COMMIT,
        pictures=[(one.track.series, markup.svg(trend_chart(one, points))) for one in drawn[:MOST_CHARTS]],
        penalty=PENALTY,
        shortest=MIN_SEGMENT,
        smallest=MINIMUM_EFFECT,
    )
