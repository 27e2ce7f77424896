"use strict";
/* The page's own script: the table, the heat map's readings, and light or dark charts. Every text is set as text, never as markup. */
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const exact = (n) => n.toLocaleString("en-US");

/* Bytes for people: decimal units, four digits, as on the command line. */
function size(n) {
  if (n < 1000) return n + " B";
  const units = ["kB", "MB", "GB", "TB", "PB", "EB"];
  let i = 0;
  while (i < 5 && n / 1000 ** (i + 1) >= 999.95) i++;
  const value = n / 1000 ** (i + 1);
  return value.toFixed(value < 9.9995 ? 3 : value < 99.995 ? 2 : 1) + " " + units[i];
}

/* ---- the table of models ---- */
const PAGE = 100;
const body = byId("table").tBodies[0];
const texts = ["name", "family", "format"];
const haystack = data.name.map((name, i) => (name + "\n" + data.family[i] + "\n" + data.format[i]).toLowerCase());
const collator = new Intl.Collator("en", { numeric: true });
let rows = [], limit = PAGE, key = "total", direction = -1;

function cell(row, text, kind, title) {
  const made = document.createElement(kind === "name" ? "th" : "td");
  if (kind === "name") made.scope = "row";
  if (kind) made.className = kind;
  made.textContent = text;
  if (title) made.title = title;
  row.append(made);
  return made;
}

function makeRow(i) {
  const row = document.createElement("tr");
  const name = cell(row, data.name[i], "name");
  if (data.missing[i]) {
    const note = document.createElement("span");
    note.className = "quiet";
    note.textContent = " (" + data.missing[i] + ")";
    name.append(note);
  }
  for (const column of ["total", "exclusive", "shared", "fair"]) cell(row, size(data[column][i]), "", exact(data[column][i]) + " bytes");
  cell(row, exact(data.blocks[i]));
  cell(row, data.family[i] || "–", "text name");
  cell(row, data.format[i], "text");
  return row;
}

function show() {
  body.replaceChildren(...rows.slice(0, limit).map(makeRow));
  const shown = Math.min(limit, rows.length);
  byId("count").textContent = exact(rows.length) + (rows.length === 1 ? " model" : " models")
    + (rows.length < data.name.length ? " of " + exact(data.name.length) : "") + (shown < rows.length ? ", the first " + exact(shown) + " shown" : "");
  byId("more").hidden = byId("everything").hidden = shown >= rows.length;
}

function update() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  rows = [];
  for (let i = 0; i < data.name.length; i++) if (words.every((word) => haystack[i].includes(word))) rows.push(i);
  const values = data[key];
  const compare = texts.includes(key) ? (a, b) => collator.compare(values[a], values[b]) : (a, b) => values[a] - values[b];
  rows.sort((a, b) => direction * compare(a, b) || a - b);
  for (const button of document.querySelectorAll("#table thead button")) {
    button.parentElement.setAttribute("aria-sort", button.dataset.key !== key ? "none" : direction > 0 ? "ascending" : "descending");
  }
  show();
}

for (const button of document.querySelectorAll("#table thead button")) {
  button.addEventListener("click", () => {
    direction = button.dataset.key === key ? -direction : texts.includes(button.dataset.key) ? 1 : -1;
    key = button.dataset.key;
    update();
  });
}
byId("search").addEventListener("input", () => { limit = PAGE; update(); });
byId("more").addEventListener("click", () => { limit += 5 * PAGE; show(); });
byId("everything").addEventListener("click", () => { limit = Infinity; show(); });
update();

/* ---- charts ---- */
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = {};

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

function paint(plot) {
  const ink = css("--ink"), quiet = css("--quiet"), line = css("--line");
  const sides = [...plot.below, ...plot.left, ...plot.right, ...plot.above, ...plot.center];
  const renderers = plot.renderers;
  plot.outline_line_color = plot.name === "heat" ? line : null;
  for (const item of [...sides, ...renderers]) {
    const names = item.properties ? Object.keys(item.properties) : [];
    const set = (property, value) => { if (names.includes(property)) item[property] = value; };
    set("major_label_text_color", quiet); set("axis_label_text_color", ink); set("label_text_color", ink); set("title_text_color", ink);
    set("axis_line_color", line); set("major_tick_line_color", item.major_tick_line_color === null ? null : line);
    set("minor_tick_line_color", null); set("grid_line_color", line);
    if (item.glyph && item.tags.includes("ink")) {
      for (const property of ["text_color", "line_color"]) {
        if (Object.keys(item.glyph.properties).includes(property)) item.glyph[property] = { value: ink };
      }
    }
  }
}

async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Float64Array(await new Response(stream).arrayBuffer());
}

function tip(frame) {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  frame.append(box);
  return {
    at(event, text) {
      box.textContent = text;
      box.hidden = false;
      const left = Math.min(event.sx + 14, frame.clientWidth - box.offsetWidth - 4);
      box.style.left = Math.max(left, 0) + "px";
      box.style.top = event.sy + 18 + "px";
    },
    hide() { box.hidden = true; },
  };
}

async function heat(plot, doc) {
  const order = data.heat.order, n = order.length;
  const upper = await unpack(data.heat.cells);
  const value = (i, j) => (i > j ? value(j, i) : upper[i * n - (i * (i - 1)) / 2 + (j - i)]);
  const image = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) image[i * n + j] = i !== j && value(i, j) > 0 ? value(i, j) : NaN;
  const colours = doc.get_model_by_name("heat-colours");
  const light = [...colours.palette].reverse(), bright = [...colours.palette];
  /* Little is near the ground's colour, much is far from it, in either mode. */
  const colour = () => { colours.palette = dark.matches ? bright : light; };
  colour();
  dark.addEventListener("change", colour);
  const cells = doc.get_model_by_name("heat-cells");
  /* The library's array type has no public name; the placeholder is one. */
  const Matrix = cells.get_array("image")[0].constructor;
  cells.data = { image: [new Matrix(image, [n, n])] };

  const frame = byId("heat-frame"), readout = byId("heat-readout"), pointer = tip(frame);
  const cursor = doc.get_model_by_name("heat-cursor");
  let at = [0, Math.min(1, n - 1)];
  function words(i, j) {
    const a = data.name[order[i]], b = data.name[order[j]];
    if (i === j) return a + "\nholds " + size(value(i, i)) + " (" + exact(value(i, i)) + " bytes)";
    const shared = value(i, j), least = Math.min(value(i, i), value(j, j));
    if (!shared) return a + "\n" + b + "\nshare nothing";
    return a + "\n" + b + "\nshare " + size(shared) + " (" + exact(shared) + " bytes), " + ((100 * shared) / least).toFixed(1) + " % of the smaller";
  }
  function inside(event) {
    const j = Math.floor(event.x), i = Math.floor(event.y);
    return i >= 0 && j >= 0 && i < n && j < n ? [i, j] : null;
  }
  function mark(i, j) {
    at = [i, j];
    cursor.data = { x: [j + 0.5], y: [i + 0.5] };
    readout.textContent = words(i, j).replaceAll("\n", " — ");
  }
  plot.on_event("mousemove", (event) => {
    const found = inside(event);
    if (!found) return pointer.hide();
    const text = words(...found);
    pointer.at(event, text);
  });
  plot.on_event("mouseleave", () => pointer.hide());
  plot.on_event("tap", (event) => { const found = inside(event); if (found) mark(...found); });

  function look(x0, x1, y0, y1) { plot.x_range.setv({ start: x0, end: x1 }); plot.y_range.setv({ start: y1, end: y0 }); }
  function zoom(factor, x, y) {
    const width = Math.min(n, Math.max(Math.min(4, n), (plot.x_range.end - plot.x_range.start) * factor));
    const place = (centre) => Math.min(Math.max(centre - width / 2, 0), n - width);
    look(place(x), place(x) + width, place(y), place(y) + width);
  }
  const middle = () => [(plot.x_range.start + plot.x_range.end) / 2, (plot.y_range.start + plot.y_range.end) / 2];
  const act = {
    in: () => zoom(0.5, ...(cursor.get_array("x").length ? [at[1], at[0]] : middle())),
    out: () => zoom(2, ...middle()),
    reset: () => look(0, n, 0, n),
  };
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => act[button.dataset.zoom]());
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (steps[event.key]) {
      const by = event.shiftKey ? 10 : 1, clamp = (k) => Math.min(Math.max(k, 0), n - 1);
      mark(clamp(at[0] + by * steps[event.key][0]), clamp(at[1] + by * steps[event.key][1]));
      const [x0, x1, y1, y0] = [plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end];
      if (at[1] < x0 || at[1] + 1 > x1 || at[0] < y0 || at[0] + 1 > y1) zoom(1, at[1] + 0.5, at[0] + 0.5);
    } else if (event.key === "+" || event.key === "=") act.in();
    else if (event.key === "-") act.out();
    else if (event.key === "0") act.reset();
    else return;
    event.preventDefault();
  });
}

function map(plot) {
  const frame = byId("map-frame"), pointer = tip(frame);
  function near(event) {
    let best = null, least = Infinity;
    for (const server of data.map) {
      const d = Math.hypot(server[0] - event.x, server[1] - event.y);
      if (d < least) [best, least] = [server, d];
    }
    const reach = (plot.x_range.end - plot.x_range.start) / 25;
    if (!best || least > reach) return pointer.hide();
    const [, , name, models, used, capacity, users] = best;
    pointer.at(event, name + "\n" + exact(models) + (models === 1 ? " model, " : " models, ") + used + " of " + capacity
      + (users === null ? "" : "\ncovers " + exact(users) + (users === 1 ? " user" : " users")));
  }
  plot.on_event("mousemove", near);
  plot.on_event("tap", near);
  plot.on_event("mouseleave", () => pointer.hide());
}

async function draw() {
  for (const [name, item] of Object.entries(data.charts)) {
    await Bokeh.embed.embed_item(item, "chart-" + name);
    const doc = Bokeh.documents[Bokeh.documents.length - 1], plot = doc.roots()[0];
    charts[name] = plot;
    paint(plot);
    if (matchMedia("(pointer: coarse)").matches) {
      /* A finger scrolls the page; two zoom. */
      for (const tool of plot.toolbar.tools) {
        if (tool.type === "WheelZoomTool") tool.modifiers = {};
        else tool.active = false;
      }
    }
    if (name === "heat") await heat(plot, doc);
    if (name === "map") map(plot);
  }
  document.documentElement.dataset.drawn = "true";
}
dark.addEventListener("change", () => Object.values(charts).forEach(paint));
draw();
})();
