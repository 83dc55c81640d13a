"""The few pieces of HTML that the page is made of. Everything that is not :class:`Markup` yet is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Markup(str):
    """A string that is HTML already and is not escaped again."""

    __slots__ = ()


def text(content: str) -> Markup:
    """The string as HTML text or as the value of an attribute; what is markup already comes back as it is.

    >>> text("</script> & 'quotes'")
    '&lt;/script&gt; &amp; &#x27;quotes&#x27;'
    >>> text(Markup("<b>bold</b>"))
    '<b>bold</b>'
    """
    return content if isinstance(content, Markup) else Markup(html.escape(content, quote=True))


def tag(name: str, *children: str, **attributes: str | None) -> Markup:
    """An element with its children, which are escaped unless they are markup.

    Args:
        name: Of the element.
        children: In order.
        attributes: Underscores stand for hyphens, and one at the end is dropped; None leaves the attribute out.

    >>> tag("p", "1 < 2 ", tag("b", "so"), class_="note", data_number="1", id=None)
    '<p class="note" data-number="1">1 &lt; 2 <b>so</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str], separator: str = "") -> Markup:
    """The parts one after another, each escaped unless it is markup."""
    return Markup(separator.join(text(part) for part in parts))


def bullets(items: Sequence[str]) -> Markup:
    """A list with a bullet for each item."""
    return tag("ul", *(tag("li", item) for item in items))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    emphasized: int | None = None,
    ids: Sequence[str] = (),
    class_: str | None = None,
) -> Markup:
    """A table that a narrow screen shows as a list of cards, one for each row.

    The cells carry their column's name, which the cards show, and roles, which tables lose when they are laid out so.

    Args:
        columns: Their names.
        rows: As many cells each as there are columns.
        caption: For screen readers; empty leaves it out.
        emphasized: Index of a row that is set in bold.
        ids: Of the rows, as many as there are; none leaves them out.
        class_: Of the table.
    """
    head = tag("tr", *(tag("th", column, scope="col", role="columnheader") for column in columns), role="row")
    body = []
    for number, row in enumerate(rows):
        cells = (
            tag("td", _unbroken(cell), role="cell", data_label=column)
            for column, cell in zip(columns, row, strict=True)
        )
        marked = "emphasized" if number == emphasized else None
        body.append(tag("tr", *cells, role="row", id=ids[number] if ids else None, class_=marked))
    return tag(
        "table",
        tag("caption", caption) if caption else "",
        tag("thead", head, role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
        class_=class_,
    )


def _unbroken(cell: str) -> str:
    """The cell with spaces at which no line ends, if it is a short figure: that stays together with its unit."""
    is_figure = cell[:1] in "0123456789+\N{MINUS SIGN}" and len(cell) <= 16
    return cell.replace(" ", "\N{NO-BREAK SPACE}") if is_figure and not isinstance(cell, Markup) else cell


def facts(rows: Sequence[tuple[str, str]]) -> Markup:
    """Names and values, one below the other."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in rows), class_="facts")
