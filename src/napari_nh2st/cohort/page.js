"use strict";
const pictures = JSON.parse(document.getElementById("pictures").textContent);
// Colours of viridis at nine places; between them, straight lines.
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
  const {width, height} = context.canvas, [x, y, wide, tall] = map.place;
  context.drawImage(small, x * width, y * height, wide * width, tall * height);
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
