"""What the documentation says holds: links, flags, commands, examples and measured figures."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from declick import __version__
from declick.cli.flags import settings_of
from declick.cli.parser import build_parser
from declick.damage.apply import wear
from declick.damage.draw import Family, WearSettings, draw_wear
from declick.detect.spans import threshold
from declick.repair import decide
from declick.settings import METHODS, DetectSettings, RepairSettings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", without_code(path.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_resolve(path: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8")))
    targets += re.findall(r'(?:src|href)="([^"]+)"', path.read_text(encoding="utf-8"))
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.name}: {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{path.name}: {target}"


# --- settings and options ---------------------------------------------------------------------


def subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    return next(dict(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def test_every_setting_has_its_row() -> None:
    text = page("settings.md")
    for group in (DetectSettings, RepairSettings):
        for item in fields(group):
            flag = "--" + item.name.replace("_", "-")
            row = next((line for line in text.splitlines() if line.startswith(f"| `{flag}`")), None)
            assert row is not None, f"docs/settings.md has no row for {flag}"
            assert item.metadata["help"].split(",")[0] in row, f"docs/settings.md: {flag}"
            default = str(item.default)
            if isinstance(item.default, bool):
                default = "yes" if item.default else "no"
            assert default in row, f"docs/settings.md: the default of {flag} is {default}"


def test_every_method_has_its_row() -> None:
    for method in METHODS:
        assert f"\n| `{method}` |" in page("settings.md"), method


@pytest.mark.parametrize("name", subparsers())
def test_every_option_and_command_is_mentioned(name: str) -> None:
    text = page("settings.md")
    for action in subparsers()[name]._actions:
        for option in action.option_strings:
            assert f"`{option}`" in text, f"docs/settings.md: {option} of {name}"
    assert f"\n| `{name}` |" in page("using.md"), name


def test_the_settings_file_of_the_page_holds_all_settings() -> None:
    (block,) = code_blocks(page("settings.md"), "toml")
    groups: dict[str, Any] = {"detect": DetectSettings, "repair": RepairSettings}
    tables = tomllib.loads(block)
    assert set(tables) == set(groups)
    for name, group in groups.items():
        assert set(tables[name]) == {item.name for item in fields(group)}


def test_confidences_of_the_sensitivity_are_those_of_the_code() -> None:
    told = re.search(
        r"0 asks for a confidence of ([\d.]+), 0.25 for ([\d.]+), 0.5 for\s+([\d.]+),\s+"
        r"0.75 for ([\d.]+) and 1 for ([\d.]+\d)",
        page("settings.md"),
    )
    assert told is not None
    for text, sensitivity in zip(told.groups(), (0.0, 0.25, 0.5, 0.75, 1.0), strict=True):
        digits = len(text.partition(".")[2])
        assert f"{threshold(sensitivity):.{digits}f}" == text, sensitivity


# --- commands ---------------------------------------------------------------------------------


def shown_commands() -> Iterator[list[str]]:
    """Yield the arguments of every declick that docs/using.md shows."""
    for block in code_blocks(page("using.md"), "sh"):
        for line in block.splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars="|;>")
            words.whitespace_split = True
            commands: list[list[str]] = [[]]
            for word in words:
                if set(word) <= set("|;>"):
                    commands.append([])
                else:
                    commands[-1].append(word)
            yield from (command[1:] for command in commands if command[:1] == ["declick"])


def test_commands_of_the_page_parse(tmp_path: Path) -> None:
    settings = tmp_path / "my-records.toml"
    settings.write_text("[detect]\nsensitivity = 0.6\n")
    seen = set()
    for words in shown_commands():
        words = [str(settings) if word == settings.name else word for word in words]
        try:
            options = build_parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"docs/using.md: declick {shlex.join(words)}")
        if hasattr(options, "settings"):
            settings_of(options)
        seen.add(words[0])
    assert seen == set(subparsers()) - {"demo"}


def test_commands_of_the_page_can_be_typed_one_after_the_other() -> None:
    """Nothing that an earlier example has written is in the way."""
    written: set[str] = set()
    for words in shown_commands():
        options = vars(build_parser().parse_args(words))
        source = options.get("path") or (options.get("paths") or [""])[0]
        output = options.get("output")
        if output is None and words[0] in ("restore", "repair", "undo"):
            ending = ".undone" if words[0] == "undo" else ".declicked"
            path = Path(source)
            output = str(path.with_name(path.stem + ending + path.suffix))
        names = {str(options[name]) for name in ("removed", "report") if options.get(name)}
        if words[0] in ("restore", "detect") and options.get("labels"):
            names.add(str(options["labels"]))
        if output not in (None, "-", "restored/") and not str(source).startswith("-"):
            names.add(str(output))
        if not options.get("overwrite") and not options.get("append"):
            assert not names & written, f"declick {shlex.join(words)}"
        written |= names


def test_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    time = np.arange(44100) / 22050
    tone = 0.2 * np.sin(2 * np.pi * 220 * time)[:, None] * [1.0, 0.8]
    clean = tone + 1e-3 * rng.standard_normal((len(time), 2))
    settings = WearSettings(rates_hz={Family.TICK: 4.0})
    worn = wear(clean, 22050, draw_wear(rng, 2.0, settings)).worn
    soundfile.write(tmp_path / "rip.wav", worn, 22050, subtype="PCM_16")
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks(page("using.md"), "python")
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/using.md", "exec"), {"__name__": "example"})
    assert re.search(r"[1-9]\d* mended", capsys.readouterr().out)
    undone, _ = soundfile.read("rip.undone.wav")
    assert undone.shape == worn.shape


# --- figures ----------------------------------------------------------------------------------


def results(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((ROOT / "results" / name).read_text(encoding="utf-8"))
    return values


def figure(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def test_figures_of_gap_repair_are_the_measured_ones() -> None:
    columns = ("auto", "auto, mono", "ar", "copy", "stereo", "spectrum", "spline", "ar-64/512")
    for length, row in results("gap_sdr.json")["rows"].items():
        cells = " | ".join(figure(row[name]["median_db"]) for name in columns)
        expected = f"| {length} ms | {cells} |"
        assert expected in page("how-it-works.md"), f"docs/how-it-works.md needs: {expected}"


def test_figures_of_tails_are_the_measured_ones() -> None:
    values = results("tails.json")
    text = page("how-it-works.md")
    for kind, levels in (("ring", ("-6", "+0", "+6")), ("thump", ("+0", "+5", "+10", "+15"))):
        score, chain = ("chain_gone_db", ", chain estimated") if kind == "ring" else ("gone_db", "")
        for level in levels:
            gone = values["separation"][f"{kind} {level} dB"]["all"][score]["median"]
            found = values["detection"][f"recall of {kind} {level} dB{chain}"]["share"]
            told = level.replace("+0", "0").replace("-", "−")
            expected = f"| {told} dB | {figure(gone)} dB | {100 * found:.0f} % |"
            assert expected in text, f"docs/how-it-works.md needs ({kind}): {expected}"
    false = values["detection"]["false tails, chain estimated"]["share"]
    assert f"Behind {100 * false:.1f} % of the clicks" in text


def test_figures_of_confidence_are_the_measured_ones() -> None:
    rows = results("confidence.json")["held_out_rows"]
    for stereo, mono in zip(rows["stereo"], rows["mono"], strict=True):
        if stereo["threshold"] not in (0.5, 0.95, 0.99):
            continue
        kinds = ("tick", "pop", "crackle", "real")
        cells = [f"{100 * stereo[f'recall_{kind}']:.1f} %" for kind in kinds]
        cells += [f"{stereo['false_per_minute']:.0f}", f"{100 * mono['recall_tick']:.1f} %"]
        cells.append(f"{mono['false_per_minute']:.0f}")
        expected = f"| {stereo['threshold']} | {' | '.join(cells)} |"
        assert expected in page("how-it-works.md"), f"docs/how-it-works.md needs: {expected}"


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = text.partition(f"## [{__version__}]")[2].partition("\n## ")[0]
    assert "### Sound" in entry


def test_every_reason_to_leave_a_click_alone_is_told() -> None:
    names = ("LITTLE_TO_GAIN", "AS_EXPECTED", "A_NOTE", "A_BEAT", "IN_THE_COPY")
    for name in names:
        assert f"`{getattr(decide, name)}`" in page("report.md")
