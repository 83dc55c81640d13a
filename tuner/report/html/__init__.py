"""report.html: one self-contained page with the plans, their timelines and how the run came to them."""

from hetsim.tuner.report.html.page import write_html

__all__ = ["write_html"]
