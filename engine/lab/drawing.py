"""What all pictures have in common: the figure, colours, a legend beside it, durations on a logarithmic scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
DEFAULT, FALLBACK, ACCEPTED, PENDING, TROUBLE = "#2a7f62", "#e09f3e", "#1d3557", "#6d597a", "#c1121f"
GREY = "#9aa5b1"
# Of the processors, in their order.
PROCESSORS = (DEFAULT, FALLBACK, "#457b9d", "#b5838d", "#8ab17d", "#e76f51", "#a8dadc", "#606c38")


def new_figure(width: float, height: float, title: str = "", title_size: float = 12) -> Figure:
    """An empty figure, its size in inches, with ``title`` at the top left."""
    # Without pyplot there is no display to look for and no state that is kept.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=title_size, x=0.01, ha="left", fontweight="bold")
    return figure


def legend_beside(axes: Axes) -> None:
    """A legend at the right of ``axes``, if anything in it has a label."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5, frameon=False, handlelength=1.4)


def line_below(figure: Figure, text: str) -> None:
    """A line of small words at the bottom of ``figure``, below everything else."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure.text(0.01, 0.003, text, fontsize=8, ha="left", va="bottom")
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine), "new_figure has it"
    engine.set(rect=(0, 0.02, 1, 0.98))


def logarithmic(axes: Axes) -> None:
    """A logarithmic scale whose marks are read without counting zeros: 0.5, 1, 2, 5, 10."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
