"""Table rows as text that can stand alone: every value with the header it belongs to."""

from __future__ import annotations

MAX_COLUMNS = 200
MAX_SPAN_ROWS = 200


class Table:
    """Rows of a data table, given cell by cell in document order.

    Spans are bounded, because a page may claim 9007199254740991 columns: a cell covers at most MAX_COLUMNS columns and
    MAX_SPAN_ROWS rows, and columns beyond MAX_COLUMNS have no header.
    """

    def __init__(self) -> None:
        self._headers: dict[int, str] = {}
        self._unused_headers = ""
        self._carried: dict[int, tuple[str, int]] = {}
        self._row: list[tuple[int, str, bool]] = []
        self._column = 0

    def add_cell(self, text: str, *, header: bool, columns: str | None = None, rows: str | None = None) -> None:
        """Put a cell into the open row. `columns` and `rows` are its colspan and rowspan as they are written."""
        self._take_carried()
        width, height = _bounded(columns, MAX_COLUMNS), _bounded(rows, MAX_SPAN_ROWS)
        self._row.append((self._column, text, header))
        if height > 1 and not header:
            for column in range(self._column, min(self._column + width, MAX_COLUMNS)):
                self._carried[column] = (text if column == self._column else "", height)
        if header and width > 1:
            self._row += [(self._column + further, text, header) for further in range(1, width)]
        self._column += width

    def end_row(self) -> str:
        """Close the row and give its text: "header: value; header: value". "" for a row of headers, which label later rows."""
        self._take_carried()
        row, self._row, self._column = self._row, [], 0
        self._carried = {column: (text, left - 1) for column, (text, left) in self._carried.items() if left > 1}
        if row and all(header for _, _, header in row):
            titles = {column: text for column, text, _ in row if text}
            if len(set(titles.values())) < 2:  # one title over the whole table heads no column
                return " | ".join(dict.fromkeys(titles.values()))
            waiting = self.end()
            self._headers = titles
            self._unused_headers = " | ".join(dict.fromkeys(titles.values()))
            return waiting
        return self._labelled([cell for cell in row if cell[1]])

    def end(self) -> str:
        """The headers that no row has used, so that nothing on the page is lost."""
        unused, self._unused_headers = self._unused_headers, ""
        return unused

    def _labelled(self, cells: list[tuple[int, str, bool]]) -> str:
        values = [text for _, text, header in cells if not header]
        if not values:
            return " | ".join(dict.fromkeys(text for _, text, _ in cells))
        if not any(column in self._headers for column, _, header in cells if not header):
            names = list(dict.fromkeys(text for _, text, header in cells if header))
            return ": ".join(filter(None, (" | ".join(names).rstrip(":"), " | ".join(values))))
        self._unused_headers = ""
        labels = ((self._headers.get(column, "").rstrip(": "), text) for column, text, _ in cells)
        return "; ".join(f"{label}: {text}" if label else text for label, text in labels)

    def _take_carried(self) -> None:
        while self._column in self._carried:
            self._row.append((self._column, self._carried[self._column][0], False))
            self._column += 1


def _bounded(span: str | None, most: int) -> int:
    return (
        min(max(int(span), 1), most) if span and span.isdecimal() and len(span) < 6 else most if span and len(span) > 5 else 1
    )
