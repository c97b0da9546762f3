"""The page of a cohort: one HTML file that opens without a server, with everything in it."""

from __future__ import annotations

import html
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nh2st.cohort.run import SlideRun
from napari_nh2st.cohort.tasks import DONE, FAILED

if TYPE_CHECKING:
    import pandas as pd

_LARGE = (300, 2000)  # slides beyond which fewer genes are drawn, so that the page stays a page
_COLUMNS = {
    "slide": "slide",
    "patient": "patient",
    "state": "state",
    "tissue_mm2": "tissue, mm²",
    "tiles": "tiles",
    "seconds": "s",
    "unlike_training": "unlike the training",
}


def page_of(slides: Sequence[SlideRun], table: pd.DataFrame, provenance: dict[str, Any]) -> str:
    """Write the page."""
    done = [slide for slide in slides if slide.state == DONE]
    failed = [slide for slide in slides if slide.state == FAILED]
    genes = _genes(done, len(slides))
    pictures = {slide.job.stem: _pictures(slide, genes) for slide in done}
    unit = done[0].answer["genes"]["unit"] if done else ""
    facts = [
        f"{len(done)} of {len(slides)} slides predicted",
        f"{len(failed)} failed",
        f"{np.nansum(table['tissue_mm2'].astype(float)):,.1f} mm² of tissue",
        f"model {provenance['model']}",
        *(f"{name} {provenance['versions'][name]}" for name in ("napari-nh2st",) if name in provenance["versions"]),
    ]
    return _PAGE.format(
        facts=" · ".join(map(html.escape, facts)),
        command=html.escape(str(provenance["command"])),
        failed=_failed(failed),
        choice="".join(f"<option>{html.escape(gene)}</option>" for gene in genes),
        hidden="" if genes else " hidden",
        unit=html.escape(unit),
        heads="".join(f'<th tabindex="0">{name}</th>' for name in ("", *_COLUMNS.values(), "warnings")),
        rows="\n".join(_row(values, slide) for values, slide in zip(table.to_dict("records"), slides, strict=True)),
        style=_STYLE,
        script=_SCRIPT,
        pictures=_json(pictures),
    )


def _genes(done: Sequence[SlideRun], slides: int) -> list[str]:
    """Choose the genes that can be looked at: of few slides all that were kept, of very many only the first."""
    kept = list(done[0].answer["pictures"]["maps"]) if done else []
    most = len(kept) if slides <= _LARGE[0] else 3 if slides <= _LARGE[1] else 1
    return kept[:most]


def _pictures(slide: SlideRun, genes: Sequence[str]) -> dict[str, Any]:
    pictures = slide.answer["pictures"]
    return {"thumbnail": pictures["thumbnail"], "maps": {g: pictures["maps"][g] for g in genes}}


def _failed(failed: Sequence[SlideRun]) -> str:
    if not failed:
        return ""
    rows = "".join(f"<li><b>{html.escape(slide.job.stem)}</b>: {html.escape(slide.error)}</li>" for slide in failed)
    return f"<section class=failed><h2>Failed</h2><ul>{rows}</ul></section>"


def _row(values: Mapping[Hashable, Any], slide: SlideRun) -> str:
    picture = '<canvas width="160" height="1" hidden></canvas>' if slide.state == DONE else ""
    cells = "".join(_cell(name, values[name]) for name in _COLUMNS)
    warnings = f"<td class=words>{html.escape(str(values['warnings'] or ''))}</td>"
    state = str(values["state"]).split()[0]
    return f'<tr class="{state}" data-slide="{html.escape(slide.job.stem)}"><td>{picture}</td>{cells}{warnings}</tr>'


def _cell(name: str, value: Any) -> str:
    """Write a cell; numbers carry their full value, by which they are sorted."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    text = f"{value:.1%}" if name == "unlike_training" else f"{value:,.0f}" if name == "tiles" else f"{value:,.1f}"
    return f'<td class=number data-value="{float(value)}">{text}</td>'


def _json(document: Any) -> str:
    """Write JSON that nothing in a script's element can end."""
    return json.dumps(document).replace("<", "\\u003c").replace("&", "\\u0026")


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Cohort</title><style>{style}</style></head><body>
<h1>Predicted expression of a cohort</h1>
<p>{facts}</p>
<p class=small>Predictions, not measurements; for research use. <code>{command}</code></p>
{failed}
<p{hidden}><label>Gene <select id=gene>{choice}</select></label>
<span class=key><span id=low></span><canvas id=bar width="120" height="10"></canvas><span id=high></span> {unit}</span>
<label><input type=checkbox id=over checked> map over the slide</label></p>
<p><input id=find type=search placeholder="slide, patient or warning" aria-label="Find slides"></p>
<table><thead><tr>{heads}</tr></thead><tbody>
{rows}
</tbody></table>
<script type="application/json" id=pictures>{pictures}</script>
<script>{script}</script></body></html>
"""

_STYLE = """
:root{color-scheme:light dark}
body{font:14px/1.45 system-ui,sans-serif;margin:1.5em auto;max-width:78em;padding:0 1em}
h1{font-size:1.4em}h2{font-size:1.1em;margin:.2em 0}
.small{font-size:.85em;opacity:.75}code{overflow-wrap:anywhere}
.failed{border-left:4px solid #b00020;padding:.1em 1em;margin:1em 0}
table{border-collapse:collapse;width:100%}
th,td{padding:.35em .6em;text-align:left;vertical-align:middle;border-bottom:1px solid #8885}
thead th{position:sticky;top:0;background:Canvas;cursor:pointer;white-space:nowrap}
th[aria-sort=ascending]::after{content:" ▲"}th[aria-sort=descending]::after{content:" ▼"}
.number{text-align:right;font-variant-numeric:tabular-nums}
.words{font-size:.85em;max-width:32em}
tr.failed td:nth-child(4){color:#b00020;font-weight:600}
.key{margin:0 1em;font-variant-numeric:tabular-nums}.key canvas{margin:0 .4em}
input[type=search]{width:18em;padding:.25em .5em}
"""

# Colours of viridis at nine places; between them, straight lines.
_SCRIPT = """
"use strict";
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const VIRIDIS = [[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],
  [253,231,37]];
const gene = document.getElementById("gene"), over = document.getElementById("over");
const body = document.querySelector("tbody"), find = document.getElementById("find");
function colour(share) {
  const at = Math.min(Math.max(share, 0), 1) * 8, i = Math.min(Math.floor(at), 7), f = at - i;
  return VIRIDIS[i].map((v, k) => v + (VIRIDIS[i + 1][k] - v) * f);
}
function limits() {
  let low = Infinity, high = -Infinity;
  for (const name in pictures) {
    const map = pictures[name].maps[gene.value];
    if (map) { low = Math.min(low, map.low); high = Math.max(high, map.high); }
  }
  return [low, high];
}
function drawMap(context, map, low, high) {
  const bytes = Uint8Array.from(atob(map.cells), c => c.charCodeAt(0));
  const small = document.createElement("canvas");
  small.width = map.columns; small.height = map.rows;
  const pixels = new ImageData(map.columns, map.rows);
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === 255) continue;
    const value = map.low + bytes[i] / 254 * (map.high - map.low);
    pixels.data.set([...colour((value - low) / (high - low || 1)), 255], 4 * i);
  }
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.globalAlpha = 0.7; context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, context.canvas.width, context.canvas.height);
  context.globalAlpha = 1;
}
function drawRow(row, low, high) {
  const own = pictures[row.dataset.slide], canvas = row.querySelector("canvas");
  if (!own || !canvas) return;
  const map = own.maps[gene.value], image = new Image();
  const paint = () => {
    const context = canvas.getContext("2d");
    if (image.width) { canvas.width = image.width; canvas.height = image.height; context.drawImage(image, 0, 0); }
    else if (map) { canvas.width = 160; canvas.height = Math.max(1, 160 * map.rows / map.columns); }
    canvas.hidden = false;
    if (map && over.checked) drawMap(context, map, low, high);
  };
  if (own.thumbnail) { image.onload = paint; image.src = "data:image/jpeg;base64," + own.thumbnail; } else paint();
}
let seen = null;
function drawAll() {
  const [low, high] = limits();
  if (gene.value) {
    document.getElementById("low").textContent = low.toPrecision(3);
    document.getElementById("high").textContent = high.toPrecision(3);
  }
  if (seen) seen.disconnect();
  seen = new IntersectionObserver(entries => entries.forEach(entry => {
    if (entry.isIntersecting) { drawRow(entry.target, low, high); seen.unobserve(entry.target); }
  }), {rootMargin: "300px"});
  [...body.rows].forEach(row => seen.observe(row));
}
function value(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}
document.querySelectorAll("thead th").forEach((head, column) => {
  const sort = () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    document.querySelectorAll("thead th").forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (x === "" || y === "") return x === y ? 0 : x === "" ? 1 : -1;
      const order = typeof x === "number" && typeof y === "number" ? x - y
        : String(x).localeCompare(String(y), undefined, {numeric: true});
      return down ? -order : order;
    });
    body.append(...rows);
  };
  if (column) {
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  }
});
find.addEventListener("input", () => {
  const words = find.value.toLowerCase();
  for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(words);
});
const bar = document.getElementById("bar").getContext("2d");
for (let x = 0; x < 120; x++) { bar.fillStyle = `rgb(${colour(x / 119)})`; bar.fillRect(x, 0, 1, 10); }
gene.addEventListener("change", drawAll);
over.addEventListener("change", drawAll);
drawAll();
"""
