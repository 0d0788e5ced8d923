"""Tables of the results, in Markdown, and the pages that show them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from declick.bench.corpus import GIVEN, SIDE
from declick.bench.score import GAPS_MS, gap_class
from declick.damage.sets import SETS
from declick.errors import ReadError, WriteError
from declick.wording import count_of

Row = Mapping[str, Any]
OWN = "declick"
_MARKED = re.compile(r"(<!-- bench:(\w+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
_NOTHING = "–"


class Results:
    """Results as tables ask for them.

    Parameters
    ----------
    values : mapping
        As `declick.bench.results.read_results` returns them.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.tools: Mapping[str, Any] = values["tools"]
        self._rows = {(r["tool"], float(r["setting"]), r["set"]): r for r in values["rows"]}
        self._failures = {(f["tool"], float(f["setting"]), f["set"]) for f in values["failures"]}
        self.sets = [n for n in (*SETS, SIDE) if any(key[2] == n for key in self._rows)]

    def row(self, tool: str, name: str, setting: float | None = None) -> Row | None:
        """Return a tool's row for a set, at its default setting if none is given."""
        default = float(self.tools[tool]["default"])
        return self._rows.get((tool, default if setting is None else float(setting), name))

    def failed(self, tool: str, name: str) -> bool:
        """Return whether a tool failed on some of a set, at its default."""
        return (tool, float(self.tools[tool]["default"]), name) in self._failures

    def installed(self, tool: str) -> bool:
        """Return whether a tool was measured."""
        return self.tools[tool]["version"] is not None

    @property
    def measured(self) -> list[str]:
        """The tools that were measured."""
        return [tool for tool in self.tools if self.installed(tool)]


def is_ours(tool: str) -> bool:
    """Return whether a tool is declick, with whatever detector."""
    return tool.partition("-")[0] == OWN


def _number(digits: int, scale: float = 1.0) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if value is None:
            return _NOTHING
        text = f"{scale * value:.{digits}f}"
        # No "-0.0", and a minus as long as a plus.
        text = text.lstrip("-") if float(text) == 0.0 else text
        return text.replace("-", "−")

    return show


def _grouped(value: Any) -> str:
    return _NOTHING if value is None else f"{value:,.0f}".replace(",", " ")


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(lines)


def _absent(results: Results, tool: str, columns: int) -> list[str]:
    line = results.tools[tool]["install"]
    return [tool, f"not installed: `{line}`", *[""] * (columns - 1)]


def _by_set(
    results: Results,
    key: str,
    show: Callable[[Any], str],
    *,
    best: Callable[..., float] | None = max,
    without: Sequence[str] = ("control",),
) -> str:
    """Return a table of tools against sets; the best of a column in bold."""
    names = [name for name in results.sets if name not in without]
    missing = [n for n in results.values["missing"] if n not in names and n not in without]
    if not names and not missing:
        return "Not measured."
    winners: dict[str, str] = {}
    for name in names:
        found = [
            r[key] for t in results.measured if (r := results.row(t, name)) and r[key] is not None
        ]
        if best is not None and found:
            winners[name] = show(best(found))
    body = []
    for tool in results.tools:
        if not results.installed(tool):
            body.append(_absent(results, tool, len(names) + len(missing)))
            continue
        cells = [tool]
        for name in names:
            row = results.row(tool, name)
            text = _NOTHING if row is None else show(row[key])
            if row is None and results.failed(tool, name):
                text = "failed"
            elif results.failed(tool, name):
                text += "\\*"
            elif text != _NOTHING and text == winners.get(name):
                text = f"**{text}**"
            cells.append(text)
        cells += [results.values["missing"][name] for name in missing]
        body.append(cells)
    return _table(["", *names, *missing], body)


def gain_table(results: Results) -> str:
    """Return the SNR gain of every tool on every set: median over the music, dB."""
    return _by_set(results, "gain_db", _number(1))


def worst_table(results: Results) -> str:
    """Return the SNR gain on that music on which it was least, dB."""
    return _by_set(results, "gain_worst_db", _number(1))


def improved_table(results: Results) -> str:
    """Return the share of events whose error fell by 6 dB or more, in percent."""
    return _by_set(results, "improved", _number(0, 100))


def recall_table(results: Results) -> str:
    """Return recall and precision, in percent."""
    names = [name for name in results.sets if name != "control"]
    percent = _number(0, 100)
    body = []
    for tool in results.tools:
        if not results.installed(tool):
            body.append(_absent(results, tool, len(names)))
            continue
        rows = [results.row(tool, name) for name in names]
        body.append(
            [
                tool,
                *(
                    f"{percent(r['recall'])} / {percent(r['precision'])}"
                    if r is not None and r["recall"] is not None
                    else _NOTHING
                    for r in rows
                ),
            ]
        )
    return _table(["", *names], body)


def spectral_table(results: Results) -> str:
    """Return the log-spectral distance around events, dB; first that of the worn sound."""
    return _with_worn(results, "lsd_db", _number(1), min)


def quality_table(results: Results) -> str:
    """Return ViSQOL's MOS-LQO around events; first that of the worn sound."""
    if results.values["versions"]["visqol-python"] is None:
        return "Not measured: `pip install visqol-python`."
    return _with_worn(results, "mos", _number(2), max)


def _with_worn(
    results: Results, key: str, show: Callable[[Any], str], best: Callable[..., float]
) -> str:
    stem, _, unit = key.partition("_")
    worn_key = f"{stem}_worn" + (f"_{unit}" if unit else "")
    text = _by_set(results, key, show, best=best, without=("control",))
    names = [name for name in results.sets if name != "control"]
    cells = []
    for name in names:
        rows = (results.row(tool, name) for tool in results.measured)
        known = (row[worn_key] for row in rows if row is not None)
        cells.append(show(next((value for value in known if value is not None), None)))
    if not names:
        return text
    head, rule, *rest = text.splitlines()
    return "\n".join([head, rule, "| *nothing done* | " + " | ".join(cells) + " |", *rest])


def harm_table(results: Results) -> str:
    """Return what tools do to sound that is not damaged, and what they cost."""
    off = [name for name in ("tick", "percussive", "worn") if name in results.sets]
    head = ["", "version", "control: frames touched a minute"]
    head += [f"off target, {name} (dB)" for name in off]
    head += ["× real time", "CPU s per s", "memory (MB)"]
    body = []
    for tool, about in results.tools.items():
        if not results.installed(tool):
            body.append(_absent(results, tool, len(head) - 1))
            continue
        control, side = results.row(tool, "control"), results.row(tool, SIDE)
        cells = [tool, about["version"]]
        cells.append(_NOTHING if control is None else _grouped(control["touched_per_min"]))
        for name in off:
            row = results.row(tool, name)
            if row is None:
                cells.append(_NOTHING)
            else:
                cells.append(
                    "none" if row["off_target_db"] is None else _number(0)(row["off_target_db"])
                )
        if side is None:
            cells += [_NOTHING] * 3
        else:
            cells += [
                _number(1)(side["times_real_time"]),
                _number(2)(side["cpu_s_per_s"]),
                _grouped(side["peak_mb"]),
            ]
        body.append(cells)
    return _table(head, body)


def gap_table(results: Results) -> str:
    """Return the signal-to-error ratio in lost cores by their length, median, dB."""
    pooled: dict[str, dict[str, tuple[float, int]]] = {}
    for tool in results.measured:
        for name in ("gouge", "dropout"):
            row = results.row(tool, name)
            for length, value in (row["gaps"] if row else {}).items():
                pooled.setdefault(f"{name} {length}", {})[tool] = value["median_db"], value["gaps"]
    lengths = [gap_class(top * 0.999 if top < 1e9 else 1e9) for top in GAPS_MS]
    tools = results.measured
    body = []
    for name in ("gouge", "dropout"):
        for length in lengths:
            cells = pooled.get(f"{name} {length}", {})
            if not cells:
                continue
            count = max(value[1] for value in cells.values())
            best = _number(1)(max(value[0] for value in cells.values()))
            shown = [_number(1)(cells[t][0]) if t in cells else _NOTHING for t in tools]
            shown = [f"**{text}**" if text == best else text for text in shown]
            body.append([f"{name}, {length} ms", str(count), *shown])
    return _table(["", "cores", *tools], body)


def given_table(results: Results) -> str:
    """Return how well short cores are filled by the tools that can be told where they are."""
    number, percent = _number(1), _number(0, 100)
    body = []
    for tool in results.measured:
        row = results.row(tool, GIVEN)
        if row is not None:
            gaps = [f"{number(g['median_db'])}" for g in row["gaps"].values()]
            body.append(
                [tool, str(row["events"]), number(row["gain_db"]), percent(row["improved"]), *gaps]
            )
    rows = [row for tool in results.measured if (row := results.row(tool, GIVEN)) is not None]
    if not rows:
        return "Not measured."
    lengths = [f"gap SDR, {length} ms (dB)" for length in rows[0]["gaps"]]
    return _table(["", "places", "gain (dB)", "improved (%)", *lengths], body)


def losses(results: Results) -> str:
    """Say in which columns of the gain table another tool is better than we are."""
    lines = []
    for name in results.sets:
        own = results.row(OWN, name) if OWN in results.tools else None
        if name == "control" or own is None or own["gain_db"] is None:
            continue
        others = [
            (row["gain_db"], tool)
            for tool in results.measured
            if not is_ours(tool) and (row := results.row(tool, name)) and row["gain_db"] is not None
        ]
        show = _number(1)
        if others and max(others)[0] > own["gain_db"]:
            gain, tool = max(others)
            lines.append(
                f"- **{name}**: {tool} gains {show(gain)} dB, declick {show(own['gain_db'])}."
            )
    return "\n".join(lines) or "- In no column of the table does another tool gain more."


def about(results: Results) -> str:
    """Say how the tables were made."""
    values, corpus, machine = results.values, results.values["corpus"], results.values["machine"]
    memory = "" if machine["memory_gb"] is None else f", {machine['memory_gb']} GB"
    visqol = values["versions"]["visqol-python"]
    clips = corpus["real_clicks"]
    real = (
        f"; {clips['clicks']} real clicks from {len(clips['records'])} recordings" if clips else ""
    )
    took = count_of(round(values["minutes"]), "minute")
    return (
        f"`{values['command']}`, {took} on {machine['cores']} cores "
        f"({machine['processor']}{memory}), {values['date']}; declick {values['declick']}, "
        f"Python {values['versions']['python']}, NumPy {values['versions']['numpy']}, SciPy "
        f"{values['versions']['scipy']}{f', ViSQOL {visqol}' if visqol else ''}. "
        f"{len(corpus['music'])} pieces of music of the {corpus['split']} split, "
        f"{corpus['seconds']:g} s of each{real}."
    )


def gain_picture(results: Results) -> str:
    """Return the picture of the gain table, for a page in docs/."""
    return "![What each tool gains on each kind of damage](pictures/bench-gain.png)"


def sweep_picture(results: Results) -> str:
    """Return the picture of all settings, for a page in docs/; nothing if none were run."""
    swept = any(
        float(row["setting"]) != float(results.tools[row["tool"]]["default"])
        for row in results.values["rows"]
        if row["tool"] in results.tools
    )
    return "![What each setting gains, and costs](pictures/bench-sweep.png)" if swept else _NOTHING


TABLES: Mapping[str, Callable[[Results], str]] = {
    "about": about,
    "gain": gain_table,
    "worst": worst_table,
    "improved": improved_table,
    "recall": recall_table,
    "spectral": spectral_table,
    "quality": quality_table,
    "harm": harm_table,
    "gaps": gap_table,
    "given": given_table,
    "losses": losses,
    "picture": gain_picture,
    "sweep": sweep_picture,
}


def all_tables(results: Results) -> str:
    """Return every table, each under its name."""
    return "".join(f"## {name}\n\n{table(results)}\n\n" for name, table in TABLES.items())


def fill(text: str, results: Results) -> str:
    """Return a page with each ``<!-- bench:NAME -->`` ... ``<!-- /bench -->`` block made anew.

    Raises
    ------
    ReadError
        If a block has a name that is no table.
    """

    def block(match: re.Match[str]) -> str:
        table = TABLES.get(match[2])
        if table is None:
            raise ReadError(f"bench:{match[2]}: is no table; choose from {', '.join(TABLES)}")
        return f"{match[1]}{table(results)}\n{match[3]}"

    return _MARKED.sub(block, text)


def fill_pages(pages: Sequence[Path], results: Results) -> None:
    """Bring the tables of pages up to date.

    Raises
    ------
    ReadError, WriteError
        If a page cannot be read or written, or holds no block.
    """
    for page in pages:
        try:
            text = page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ReadError(f"{page}: cannot be read ({reason})") from None
        if not _MARKED.search(text):
            raise ReadError(f"{page}: has no <!-- bench:NAME --> ... <!-- /bench --> block to fill")
        new = fill(text, results)
        try:
            page.write_text(new, encoding="utf-8")
        except OSError as error:
            raise WriteError(f"{page}: cannot be written ({error.strerror})") from None
