"""What notebooks show of plans and timelines: small tables and drawings in HTML, without any library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Protocol

_WIDTH, _ROW, _LEFT = 720, 26, 90
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")


class DrawnSpan(Protocol):
    """What is drawn of a :class:`~hetsim.core.timeline.Span`, which this module does not import."""

    @property
    def kind(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def ops(self) -> tuple[str, ...]: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def tensor(self) -> str: ...
    @property
    def source(self) -> str: ...


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """A table; all cells are taken as text.

    >>> html_table(("device",), [("<cpu>",)])
    '<table><thead><tr><th>device</th></tr></thead><tbody><tr><td>&lt;cpu&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def timeline_svg(spans: Sequence[DrawnSpan], *, origin: str) -> str:
    """The spans of a timeline as a drawing: a row for each device, a bar for each segment, names and times on hover."""
    devices = list(dict.fromkeys(span.device for span in spans))
    end_s = max((span.end_s for span in spans), default=0.0) or 1.0
    scale = (_WIDTH - _LEFT - 10) / end_s
    parts = []
    for row, device in enumerate(devices):
        top = row * _ROW + 4
        parts.append(f'<text x="0" y="{top + 14}" font-size="12" fill="currentColor">{escape(device)}</text>')
        for span in spans:
            if span.device != device or span.kind == "wait":
                continue
            hand_over = span.kind == "hand-over"
            first, num_others = span.ops[0] if span.ops else "", len(span.ops) - 1
            name = f"{span.tensor} from {span.source}" if hand_over else first
            name += f" and {num_others} more" if num_others > 0 and not hand_over else ""
            title = f"{name}: {span.start_s * 1e3:.3f} to {span.end_s * 1e3:.3f} ms"
            height, colour = (6, "#888888") if hand_over else (18, _COLOURS[row % len(_COLOURS)])
            parts.append(
                f'<rect x="{_LEFT + span.start_s * scale:.2f}" y="{top + (18 - height)}" '
                f'width="{max(0.5, (span.end_s - span.start_s) * scale):.2f}" height="{height}" fill="{colour}" '
                f'stroke="white" stroke-width="0.5"><title>{escape(title)}</title></rect>'
            )
    bottom = len(devices) * _ROW + 16
    parts += [
        f'<text x="{_LEFT + fraction * end_s * scale:.1f}" y="{bottom}" font-size="11" text-anchor="middle" '
        f'fill="currentColor">{fraction * end_s * 1e3:.3g} ms</text>'
        for fraction in (0.0, 0.5, 1.0)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 6}" width="{_WIDTH}" role="img">'
        f"<title>{escape(origin)} timeline</title>{''.join(parts)}</svg>"
    )
