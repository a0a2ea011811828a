"""`embertrace top` on a terminal: three tables, a line of rates, a line of health. Textual; decides nothing.

Rules: an answer is waited for in a thread, and keys work meanwhile. Text of others enters as `Text`, never as markup.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Footer, Input, Static
from textual.worker import Worker, WorkerState

from embertrace.top.cells import clock, fit, shown, width
from embertrace.top.feed import Feed
from embertrace.top.model import (
    AS_ANSWERED,
    TABLES,
    TITLES,
    Reading,
    Sentence,
    health,
    next_sort,
    pace,
    rows,
    sort_by,
    title,
    wrapped,
)

MAX_CELL = 24
MAX_LAST_CELL = 160
"""Columns of a cell; the last of a row has nothing behind it to be pushed away."""
NEWS_KEPT = 2
"""Sentences about the connection that are on screen: the last say what holds."""
ARROWS = {True: " ▼", False: " ▲"}
GAP = "   "
HEAD_PADDING = 1
BAD = ("errors", "lost")
"""Columns whose numbers are bad news."""


class TopTable(DataTable[Text]):
    """One table of the model: how it is sorted, and what it shows of a reading."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name, cursor_type="row", cursor_foreground_priority="renderable")
        self.table = name
        self.view = AS_ANSWERED
        self.border_title = TITLES[name]

    def fill(self, reading: Reading, search: str) -> None:
        """Show the rows; the cursor and the place that was scrolled to stay."""
        row, scrolled = self.cursor_row, self.scroll_offset
        cells = rows(reading.snapshot, self.table, self.view, search)
        self.clear(columns=True)
        lines = [self._head(), *cells]
        for place, column in enumerate(TABLES[self.table]):
            widest = min(self._limit(place), max(width(line[place]) for line in lines))
            self.add_column(_text(lines[0][place], widest, column.number), key=column.name, width=widest)
        for line in cells:
            self.add_row(*(self._cell(place, text) for place, text in enumerate(line)))
        self.border_subtitle = f"{len(cells)}" if cells else "none"
        if cells:
            self.move_cursor(row=min(row, len(cells) - 1), scroll=False)
            self.scroll_to(*scrolled, animate=False, force=True)

    def _head(self) -> list[str]:
        arrow = {self.view.column: ARROWS[self.view.descending]}
        return [column.title + arrow.get(column.name, "") for column in TABLES[self.table]]

    def _limit(self, place: int) -> int:
        return MAX_LAST_CELL if place == len(TABLES[self.table]) - 1 else MAX_CELL

    def _cell(self, place: int, text: str) -> Text:
        column = TABLES[self.table][place]
        return _text(text, self._limit(place), column.number, "bold red" if column.name in BAD and text else "")


def _text(text: str, limit: int, number: bool, style: str = "") -> Text:
    return Text(
        fit(text, limit) if width(text) > limit else text, style, justify="right" if number else "left", no_wrap=True
    )


class TopApp(App[None]):
    """The screen. `first` is a reading that was taken already; `feed` gives the next, every `interval_s` seconds."""

    TITLE = "embertrace top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { layout: vertical; }
    #head { height: auto; padding: 0 1; }
    #head Static { height: auto; }
    #title { text-style: bold; }
    #news { color: $text-warning; display: none; }
    #news.told { display: block; }
    #search { display: none; }
    #search.open { display: block; }
    #search { border: none; height: 1; padding: 0 1; }
    TopTable { border: round $foreground 25%; border-title-color: $text-muted; padding: 0 1; background: $background;
        border-subtitle-color: $text-muted; scrollbar-size: 1 1; }
    TopTable > .datatable--header { background: $background; color: $text-muted; text-style: none; }
    TopTable > .datatable--cursor { background: $background; }
    TopTable:focus { border: round $primary; border-title-color: $primary; background-tint: $background 0%; }
    TopTable:focus > .datatable--cursor { background: $primary 25%; text-style: none; }
    #stages { height: 3fr; min-height: 5; }
    #slowest, #errors { height: 2fr; min-height: 4; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("p", "pause", "pause"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "search", "filter", key_display="/"),
        Binding("z", "zoom", "zoom"),
        Binding("d", "toggle_dark", "dark/light"),
        Binding("escape", "leave", "all", key_display="esc"),
    ]

    def __init__(self, feed: Feed, first: Reading, interval_s: float) -> None:
        super().__init__()
        self._feed, self._interval_s = feed, interval_s
        self._reading = first
        self._news = first.news
        self._search = ""
        self._paused = False
        self._asking: Worker[Reading] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="head"):
            for name in ("title", "pace", "health", "news"):
                yield Static(id=name, markup=False)
        for name in TABLES:
            yield TopTable(name)
        yield Input(placeholder="show rows with this text; Enter keeps it, Escape drops it", id="search")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#stages", TopTable).focus()
        self._show()
        self.set_interval(self._interval_s, self.tick)

    def on_resize(self) -> None:
        self._show()

    # Readings.

    def tick(self) -> None:
        """Take the next reading, unless one is being waited for or nobody wants any."""
        if not self._paused and self._asking is None:
            self._asking = self.run_worker(self._feed.read, thread=True, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker is not self._asking or event.state not in (WorkerState.SUCCESS, WorkerState.ERROR):
            return
        self._asking = None
        if event.state == WorkerState.ERROR:
            self.exit(return_code=1, message=Text(f"embertrace: {shown(event.worker.error)}"))
            return
        reading = event.worker.result
        assert isinstance(reading, Reading)
        self._reading = reading
        self._news = (*self._news, *self._reading.news)[-NEWS_KEPT:]
        self._show()

    def _show(self) -> None:
        reading = self._reading
        self.query_one("#title", Static).update(self._title())
        found = reading.snapshot
        stale = reading.trouble is not None
        self.query_one("#pace", Static).update(self._line(pace(found), stale) if found else Text(""))
        self.query_one("#health", Static).update(self._line(health(found), stale) if found else Text(""))
        news = self.query_one("#news", Static)
        news.update(Text("\n".join(self._news)))
        news.set_class(bool(self._news), "told")
        self._show_tables()

    def _show_tables(self) -> None:
        for table in self.query(TopTable):
            table.fill(self._reading, self._search)

    def _title(self) -> Text:
        text = Text(title(self._reading))
        if self._reading.trouble is not None:
            text.append("  NO ANSWER", "bold red")
        if self._paused:
            text.append(f"  paused at {clock(self._reading.at)}", "bold yellow")
        if self._search:
            text.append(f"  rows with {shown(self._search)!r}", "bold")
        return text

    def _line(self, sentences: list[Sentence], stale: bool) -> Text:
        styles = {
            "ok": "",
            "warn": "bold yellow" if self.current_theme.dark else "bold dark_orange3",
            "bad": "bold red",
        }
        lines = wrapped(sentences, max(1, self.size.width - 2 * HEAD_PADDING), len(GAP))
        line = Text("\n").join(
            Text(GAP).join(Text(sentence.text, styles[sentence.level]) for sentence in part) for part in lines
        )
        if stale:
            line.stylize("dim")
        return line

    # Keys.

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._show()
        self.tick()

    def action_sort(self) -> None:
        """By the next column of the table that has the focus."""
        if (table := self._focused_table()) is not None:
            table.view = next_sort(table.table, table.view)
            self._show_tables()

    def action_reverse(self) -> None:
        if (table := self._focused_table()) is not None and table.view.column is not None:
            table.view = sort_by(table.table, table.view, table.view.column)
            self._show_tables()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A click on a column's name."""
        table: Any = event.data_table
        table.view = sort_by(table.table, table.view, str(event.column_key.value))
        self._show_tables()

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.add_class("open")
        search.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search = event.value
        self._show()

    def on_input_submitted(self) -> None:
        self._close_search()

    def action_leave(self) -> None:
        """Escape: all rows, all tables."""
        self.screen.minimize()
        self.query_one("#search", Input).value = ""
        self._close_search()

    def _close_search(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self.query_one("#stages", TopTable).focus()

    def action_zoom(self) -> None:
        """The table that has the focus alone, or all again."""
        table = self._focused_table()
        if self.screen.maximized is not None or table is None:
            self.screen.minimize()
        else:
            self.screen.maximize(table, container=False)

    def action_toggle_dark(self) -> None:
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"
        self._show()

    def _focused_table(self) -> TopTable | None:
        return self.focused if isinstance(self.focused, TopTable) else None
