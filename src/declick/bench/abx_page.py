"""The page of a listening pack: one file, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from declick.inspect.page import in_script


def page(pack: str, schema: str, files: Sequence[dict[str, str]]) -> str:
    """Return the page.

    Parameters
    ----------
    pack : str
        Which pack it is; saved with the answers.
    schema : str
        Of the answers.
    files : sequence of dict
        For each trial, in order, the names of A, B and X.
    """
    values = {"pack": pack, "schema": schema, "trials": list(files)}
    return _PAGE.replace("@VALUES@", in_script(values))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Blind listening</title>
<style>
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 38rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fafafa; }
button { font: inherit; padding: .5em 1.1em; margin: .2em; border: 1px solid #888;
  border-radius: .4em; background: #fff; cursor: pointer; }
button.on { background: #235; color: #fff; }
button:disabled { opacity: .4; cursor: default; }
fieldset { border: 0; padding: 0; margin: 1.2em 0; }
progress { width: 100%; }
small { color: #555; }
</style>
</head>
<body>
<h1>Blind listening</h1>
<p>A and B differ, perhaps: one may have been mended. X is one of the two. Use headphones; listen as
often as you like. The sound goes on where it is when you change over.
<small>Keys: a, b, x to listen, space to stop.</small></p>
<p id="where"></p><progress id="done" value="0"></progress>
<fieldset id="listen"><legend>Listen</legend></fieldset>
<fieldset id="told"><legend>X is</legend></fieldset>
<fieldset id="better"><legend>Better is</legend></fieldset>
<p><button id="back">Back</button><button id="next">Next</button>
<button id="save">Save answers</button></p>
<p id="note"></p>
<script>
"use strict";
const pack = @VALUES@;
const store = "declick-abx " + pack.pack;
let answers = {};
try { answers = JSON.parse(localStorage.getItem(store)) || {}; } catch (error) { answers = {}; }
let trial = 0, sounds = {}, playing = null;
const at = id => document.getElementById(id);

function stop() {
  if (playing) sounds[playing].pause();
  playing = null;
  show();
}
function play(letter) {
  const time = playing ? sounds[playing].currentTime : 0;
  if (playing) sounds[playing].pause();
  playing = letter;
  sounds[letter].currentTime = time;
  sounds[letter].play();
  show();
}
function answer(question, value) {
  answers[trial + 1] = Object.assign({}, answers[trial + 1], {[question]: value});
  try { localStorage.setItem(store, JSON.stringify(answers)); } catch (error) { /* private mode */ }
  show();
}
function button(parent, text, value, action) {
  const made = document.createElement("button");
  made.textContent = text;
  made.dataset.value = value;
  made.onclick = () => action(value);
  at(parent).append(made);
}
for (const letter of "ABX") button("listen", letter, letter, play);
button("listen", "Stop", "", stop);
for (const letter of "AB") button("told", letter, letter, value => answer("X", value));
for (const letter of "AB") button("better", letter, letter, value => answer("better", value));
button("better", "no difference", "same", value => answer("better", value));

function mark(parent, value) {
  for (const made of at(parent).querySelectorAll("button"))
    made.classList.toggle("on", Boolean(made.dataset.value) && made.dataset.value === value);
}
function show() {
  const given = answers[trial + 1] || {}, count = told().length;
  at("where").textContent = `Trial ${trial + 1} of ${pack.trials.length}`;
  at("done").max = pack.trials.length;
  at("done").value = count;
  mark("listen", playing);
  mark("told", given.X);
  mark("better", given.better);
  at("back").disabled = trial === 0;
  at("next").disabled = trial === pack.trials.length - 1;
  at("note").textContent = `${count} answered`;
}
function told() { return Object.keys(answers).filter(number => answers[number].X); }
function open(number) {
  stop();
  trial = number;
  sounds = {};
  for (const letter of "ABX") {
    sounds[letter] = new Audio(pack.trials[trial][letter]);
    sounds[letter].preload = "auto";
    sounds[letter].loop = true;
  }
  show();
}
at("back").onclick = () => open(trial - 1);
at("next").onclick = () => open(trial + 1);
at("save").onclick = () => {
  const given = Object.fromEntries(told().map(number => [number, answers[number]]));
  const values = {schema: pack.schema, pack: pack.pack, answers: given};
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(values, null, 1)]));
  link.download = "answers.json";
  link.click();
};
document.onkeydown = event => {
  const letter = event.key.toUpperCase();
  if (letter.length === 1 && "ABX".includes(letter)) play(letter);
  if (event.key === " ") { event.preventDefault(); stop(); }
};
open(0);
</script>
</body>
</html>
"""
