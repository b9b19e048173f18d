"""The page's interactive charts: written in Vega-Altair, compiled to Vega, fed by the page's own script."""

from __future__ import annotations

from typing import Any

import altair as alt
import vl_convert

HEIGHT = 400
LABELS = 120
"""Pixels at most for the names at the ends of lines."""

TIME_LABEL, FACTOR_LABEL = "duration_tick(datum.value)", "factor_tick(datum.value)"
"""The page's script defines these functions."""

TICKS = ("xticks", "yticks")
"""The ticks of the axes, which the script sets with the data."""


def _axis(name: str, **more: Any) -> alt.Axis:
    return alt.Axis(values=alt.ExprRef(name), labelOverlap="greedy", labelSeparation=4, **more)


def _layered(*layers: Any, **properties: Any) -> Any:
    """A chart as wide as its place, whose ticks the script sets."""
    ticks = (alt.param(name=name, value=[]) for name in TICKS)
    return alt.layer(*layers).add_params(*ticks).properties(width="container", **properties)


def _data(name: str) -> alt.Chart:
    """A chart of a dataset that the script fills."""
    return alt.Chart(alt.NamedData(name=name))


def _tooltip(*fields: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{field}:N") for field in fields]


CELL = _tooltip("implementation", "batch size", "time", "speedup", "interval", "error", "note")
COLOUR = alt.Color("colour:N", scale=None, legend=None)
FILL = alt.Fill("colour:N", scale=None)
SHAPE = alt.Shape("shape:N", scale=None)


def against_batch_size(title: str, label: str, unit_line: bool) -> Any:
    """Lines with whiskers and names, of datasets `rows`, `names`, `frame` (the corners) and `unit`."""
    scale = alt.Scale(type="log", base=2, nice=False)
    axis = _axis("xticks", format="d", grid=False)
    x = alt.X("m:Q", title="batch size m (samples)", scale=scale, axis=axis)
    log = alt.Scale(type="log", nice=False)
    y = alt.Y("value:Q", scale=log, title=title, axis=_axis("yticks", labelExpr=label))
    rows = _data("rows")
    measured = rows.transform_filter("!datum.guess")
    corners = _data("frame").mark_point(opacity=0, tooltip=None).encode(x, y)
    unit = _data("unit").mark_rule(opacity=0.6, color="currentColor").encode(y=y)
    guesses = rows.mark_line(strokeWidth=1, strokeDash=[2, 3]).encode(x, y, COLOUR, detail="implementation:N")
    dash = alt.StrokeDash("dash:N", scale=None)
    lines = measured.mark_line(strokeWidth=2).encode(x, y, COLOUR, dash, detail="implementation:N")
    bars = measured.mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), COLOUR)
    fill = alt.condition("datum.guess", alt.value("transparent"), FILL)
    points = rows.mark_point(size=60, opacity=1).encode(x, y, COLOUR, SHAPE, fill=fill, tooltip=CELL)
    ends = _data("names")
    at = (alt.X("m:Q"), alt.Y("value:Q"))
    signs = ends.mark_point(xOffset=10, size=60, opacity=1).encode(*at, COLOUR, SHAPE, fill=FILL)
    texts = ends.mark_text(align="left", dx=18, fontSize=12, limit=LABELS - 20, color="currentColor").encode(
        *at, text="implementation:N"
    )
    layers = [corners, *([unit] if unit_line else []), guesses, bars, lines, points, signs, texts]
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return _layered(*layers, height=HEIGHT, autosize=fit, description=f"{title} against batch size")


def bars(title: str, label: str) -> Any:
    """A bar for each implementation at one batch size, of datasets `rows` and `frame` (the far corner)."""
    rows = _data("rows")
    y = alt.Y("implementation:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    x = alt.X("value:Q", title=title, axis=_axis("xticks", labelExpr=label))
    corner = _data("frame").mark_point(opacity=0, tooltip=None).encode(x)
    shares = alt.condition("datum.guess", alt.value(0.3), alt.value(1))
    drawn = rows.mark_bar(height={"band": 0.7}).encode(y, x, FILL, opacity=shares, tooltip=CELL)
    whiskers = rows.mark_rule(color="currentColor").encode(y, alt.X("low:Q"), alt.X2("high:Q"))
    words = rows.mark_text(align="left", dx=6, fontSize=12, color="currentColor").encode(
        y, alt.X("end:Q"), text="words:N"
    )
    layers = (corner, drawn, whiskers, words)
    return _layered(*layers, height=alt.Step(26), description=f"{title} at one batch size")


def ladder() -> Any:
    """Each implementation's factor over the one that it stands on, at a small, a middle and a large batch."""
    rows = _data("rungs")
    y = alt.Y("rung:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, grid=True))
    scale = alt.Scale(type="log", nice=True)
    x = alt.X("factor:Q", scale=scale, title="times as fast", axis=_axis("xticks", labelExpr=FACTOR_LABEL))
    shape = alt.Shape("size:N", title="m", sort=None, legend=alt.Legend(orient="top", symbolFillColor="gray"))
    one = _data("unit").mark_rule(color="currentColor").encode(x=x)
    bars = rows.mark_rule().encode(y, alt.X("low:Q"), alt.X2("high:Q"), COLOUR)
    fields = _tooltip("rung", "idea", "batch size", "speedup", "interval")
    points = rows.mark_point(size=80, filled=True, opacity=1).encode(x, y, COLOUR, shape, tooltip=fields)
    return _layered(one, bars, points, height=alt.Step(26), description="What each idea multiplies")


def accuracy() -> Any:
    """Largest error in ulp against speedup, at the largest batch size."""
    rows = _data("rows")
    across, up = (alt.Scale(type="log", padding=padding) for padding in (40, 20))
    axis = _axis("xticks", labelExpr=FACTOR_LABEL)
    x = alt.X("factor:Q", scale=across, title="times as fast as the baseline", axis=axis)
    y = alt.Y("ulp:Q", scale=up, title="largest error (ulp)", axis=_axis("yticks"))
    points = rows.mark_point(size=80, filled=True, opacity=1).encode(x, y, COLOUR, SHAPE, tooltip=CELL)
    texts = rows.mark_text(fontSize=11, limit=110).encode(text="implementation:N")
    return _layered(points, texts, height=300, description="Error against speed")


def _labelled(vega: dict[str, Any]) -> dict[str, Any]:
    """The texts of a chart put near its points by Vega's label transform, which Vega-Lite does not reach."""
    points, texts = (
        next(mark for mark in vega["marks"] if mark["type"] == kind) for kind in ("symbol", "text")
    )
    texts["from"] = {"data": points["name"]}
    texts["encode"] = {
        "enter": {
            "text": {"field": "datum.implementation"},
            "fill": {"value": "currentColor"},
            "fontSize": {"value": 11},
            "limit": {"value": 110},
        }
    }
    texts["transform"] = [
        {"type": "label", "size": {"signal": "[max(width, 1), max(height, 1)]"}, "offset": [4]}
    ]
    return vega


PARTS = ("labelColor", "titleColor", "domainColor", "tickColor", "gridColor")
CONFIG = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **dict.fromkeys(PARTS, "currentColor"),
        "gridOpacity": 0.15,
        "domainOpacity": 0.5,
        "tickOpacity": 0.5,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12},
}
"""Text and lines in the page's own colour, so that light, dark and print follow its style sheet."""


def specifications() -> dict[str, Any]:
    """The Vega specification of each chart, by the id of its place in the page."""
    charts = {
        "time": against_batch_size("time of one call", TIME_LABEL, unit_line=False),
        "speedup": against_batch_size("times as fast", FACTOR_LABEL, unit_line=True),
        "threads": against_batch_size("times as fast as on one thread", FACTOR_LABEL, unit_line=True),
        "time-bars": bars("time of one call", TIME_LABEL),
        "speedup-bars": bars("times as fast", FACTOR_LABEL),
        "ladder": ladder(),
        "accuracy": accuracy(),
    }
    compiled = {
        name: vl_convert.vegalite_to_vega({**chart.to_dict(), "config": CONFIG}, vl_version=VEGA_LITE)
        for name, chart in charts.items()
    }
    return {**compiled, "accuracy": _labelled(compiled["accuracy"])}


VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def library() -> str:
    """Vega and vega-embed as one script, which defines `vegaEmbed`."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE))
