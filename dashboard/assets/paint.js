// Paints sparklines and mosaics on canvases, from the specification in their `data-spec`.
//
// Owns pixels and what is under the pointer. Colours come from the style sheet, bytes from
// /frame/<name>, which never change under a name. States are told apart by lightness and texture
// as well as by hue: stale is hatched, absent hollow, lost a ring, unknown a dot.
(() => {
  "use strict";

  const LEVELS = 200;
  const SIGHTLESS_BASE = 210;
  const NOT_TOLD = 250;
  const NO_SEAT = 255;
  const STATE = { LOST: 6, STALE: 7, UNKNOWN: 8, ABSENT: 9 };
  const STATE_NAMES = [
    "busy", "idle", "ok", "degraded", "predicted", "failed", "lost", "stale", "unknown", "absent",
    "maintenance",
  ];
  const FRAMES_MAX = 60;

  const frames = new Map(); // address -> promise of bytes
  const shapes = new WeakMap(); // canvas -> geometry of what it shows
  const painted = new WeakMap(); // canvas -> specification last painted

  function fetchFrame(address) {
    if (!frames.has(address)) {
      const answer = fetch(address).then((response) => {
        if (!response.ok) throw new Error(`${address}: ${response.status}`);
        return response.arrayBuffer();
      });
      answer.catch(() => frames.delete(address));
      frames.set(address, answer);
      if (frames.size > FRAMES_MAX) frames.delete(frames.keys().next().value);
    }
    return frames.get(address);
  }

  const layouts = new Map();
  async function fetchLayout(address) {
    if (!layouts.has(address)) {
      const text = new TextDecoder().decode(await fetchFrame(address));
      layouts.set(address, JSON.parse(text));
      if (layouts.size > 8) layouts.delete(layouts.keys().next().value);
    }
    return layouts.get(address);
  }

  // ---------------------------------------------------------------- colours

  const palettes = new Map();
  document.addEventListener("fleetgauge-restyle", () => {
    palettes.clear();
    for (const canvas of document.querySelectorAll("canvas[data-paint]")) paint(canvas, true);
  });

  function rgba(text) {
    const probe = rgba.probe || (rgba.probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
    probe.clearRect(0, 0, 1, 1);
    probe.fillStyle = "#000";
    probe.fillStyle = text;
    probe.fillRect(0, 0, 1, 1);
    return probe.getImageData(0, 0, 1, 1).data;
  }

  function packed([red, green, blue, alpha]) {
    return ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  // 256 colours by code, for one ramp of the current theme.
  function palette(ramp) {
    if (palettes.has(ramp)) return palettes.get(ramp);
    const colours = new Uint32Array(256);
    STATE_NAMES.forEach((name, code) => {
      const own = packed(rgba(window.fleetgauge.colour(`cell-${name}`)));
      colours[SIGHTLESS_BASE + code] = own;
      if (ramp === "state") colours[code] = own;
    });
    if (ramp !== "state") {
      const stops = window.fleetgauge.colour(`ramp-${ramp}`).split(/\s*,\s*/).map(rgba);
      for (let level = 0; level <= LEVELS; level += 1) {
        const at = (level / LEVELS) * (stops.length - 1);
        const low = stops[Math.floor(at)];
        const high = stops[Math.min(stops.length - 1, Math.floor(at) + 1)];
        const part = at % 1;
        colours[level] = packed([0, 1, 2, 3].map((n) => Math.round(low[n] + (high[n] - low[n]) * part)));
      }
    }
    colours[NOT_TOLD] = packed(rgba(window.fleetgauge.colour("cell-nottold")));
    palettes.set(ramp, colours);
    return colours;
  }

  // ---------------------------------------------------------------- mosaic

  // Cut each rack into pieces no taller than `rows_max` hosts; absent accelerators come last.
  function pieces(group, start, rows_max) {
    const found = [];
    let cell = start;
    for (const [label, , hosts, width] of group.racks) {
      for (let row = 0; row < hosts; row += rows_max) {
        const rows = Math.min(rows_max, hosts - row);
        found.push({ label: row ? "" : label, cols: width, rows, start: cell, absent: false });
        cell += rows * width;
      }
    }
    const width = group.racks[0]?.[3] || 8;
    let missing = group.absent;
    const typical = Math.max(1, Math.min(rows_max, group.racks[0]?.[2] || 4));
    while (missing > 0) {
      const rows = Math.min(typical, Math.ceil(missing / width));
      found.push({ label: "", cols: width, rows, start: -1, absent: true, count: Math.min(missing, rows * width) });
      missing -= rows * width;
    }
    return { found, end: cell };
  }

  // Facilities side by side, each a run of columns of racks: fills a given height.
  function layBand(layout, width, height, size, scale) {
    const rackGap = size >= 3 * scale ? Math.round(2 * scale) : Math.max(1, Math.round(scale / 2));
    const groupGap = Math.round(14 * scale);
    const placed = [];
    const labels = [];
    let x = 0;
    let start = 0;
    let bottom = 0;
    for (const group of layout.groups) {
      const cut = pieces(group, start, Math.max(1, Math.floor(height / size)));
      start = cut.end;
      labels.push({ text: group.label, x });
      let y = 0;
      let columnWidth = 0;
      let left = x;
      for (const piece of cut.found) {
        const tall = piece.rows * size;
        if (y > 0 && y + tall > height) {
          left += columnWidth + rackGap;
          y = 0;
          columnWidth = 0;
        }
        placed.push({ ...piece, x: left, y, size });
        y += tall + rackGap;
        bottom = Math.max(bottom, y - rackGap);
        columnWidth = Math.max(columnWidth, piece.cols * size);
      }
      labels[labels.length - 1].width = left + columnWidth - x;
      x = left + columnWidth + groupGap;
    }
    return { placed, labels, width: x - groupGap, height: bottom };
  }

  // Racks in reading order, each with its name above: takes the height it needs.
  function layRacks(layout, width, size, scale) {
    const labelled = size >= 5 * scale;
    const gapX = Math.round((labelled ? 10 : 3) * scale);
    const gapY = Math.round((labelled ? 8 : 3) * scale);
    const head = labelled ? Math.round(15 * scale) : 0;
    const placed = [];
    const labels = [];
    let x = 0;
    let y = head;
    let lineHeight = 0;
    let start = 0;
    for (const group of layout.groups) {
      const cut = pieces(group, start, 24);
      start = cut.end;
      for (const piece of cut.found) {
        const wide = piece.cols * size;
        if (x > 0 && x + wide > width) {
          x = 0;
          y += lineHeight + gapY + head;
          lineHeight = 0;
        }
        if (labelled && piece.label) {
          const short = piece.label.split(" / ").pop();
          labels.push({ text: short, x, y: y - head, width: wide + gapX - 2 });
        }
        placed.push({ ...piece, x, y, size });
        x += wide + gapX;
        lineHeight = Math.max(lineHeight, piece.rows * size);
      }
    }
    return { placed, labels, width, height: y + lineHeight };
  }

  // The largest cells with which everything fits.
  function arrange(layout, spec, width, scale, cssHeight) {
    const head = Math.round(17 * scale);
    const sizes = [];
    for (let size = Math.round(15 * scale); size >= 1; size -= 1) sizes.push(size);
    if (spec.mode === "racks") {
      const height = Math.round((spec.height || 400) * scale);
      for (const size of sizes) {
        const shape = layRacks(layout, width, size, scale);
        if (shape.height <= height || size === 1) return { ...shape, head: 0 };
      }
    }
    for (let height = Math.round(cssHeight * scale) - head; ; height = Math.round(height * 1.25)) {
      for (const size of sizes) {
        const shape = layBand(layout, width, height, size, scale);
        if (shape.width <= width) return { ...shape, head };
      }
    }
  }

  async function paintMosaic(canvas, spec) {
    const [layout, buffer] = await Promise.all([fetchLayout(spec.layout), fetchFrame(spec.values)]);
    const scale = window.devicePixelRatio || 1;
    const width = Math.floor(canvas.parentElement.clientWidth * scale);
    if (width < 8 || !canvas.isConnected) return;
    const wanted = parseFloat(getComputedStyle(canvas).getPropertyValue("--mosaic-height")) || 150;
    const key = `${spec.layout} ${width} ${scale} ${spec.mode} ${wanted}`;
    let shape = shapes.get(canvas);
    if (!shape || shape.key !== key) {
      shape = { ...arrange(layout, spec, width, scale, wanted), key, scale };
      shapes.set(canvas, shape);
    }
    shape.spec = spec;
    const height = Math.max(1, shape.height + shape.head);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${width / scale}px`;
      canvas.style.height = `${height / scale}px`;
    }
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const values = new Uint8Array(buffer);
    const colours = palette(spec.ramp);
    const byState = spec.ramp === "state";
    for (const piece of shape.placed) fillPiece(pixels, width, shape.head, piece, values, colours, byState);
    context.putImageData(image, 0, 0);
    writeLabels(context, shape, scale);
    canvas.dataset.painted = String(values.length);
  }

  function fillPiece(pixels, stride, head, piece, values, colours, byState) {
    const size = piece.size;
    const solid = size - (size >= 4 ? 1 : 0);
    for (let row = 0; row < piece.rows; row += 1) {
      for (let col = 0; col < piece.cols; col += 1) {
        const n = row * piece.cols + col;
        if (piece.absent && n >= piece.count) continue;
        const code = piece.absent ? SIGHTLESS_BASE + STATE.ABSENT : values[piece.start + n];
        if (code === NO_SEAT || code === undefined) continue;
        const state = byState && code < SIGHTLESS_BASE ? code : code - SIGHTLESS_BASE;
        const textured = (byState || code >= SIGHTLESS_BASE) && size >= 4 && state >= STATE.LOST && state <= STATE.ABSENT;
        fillCell(pixels, stride, piece.x + col * size, head + piece.y + row * size, solid, colours[code], textured ? state : -1);
      }
    }
  }

  function fillCell(pixels, stride, left, top, size, colour, texture) {
    for (let y = 0; y < size; y += 1) {
      const base = (top + y) * stride + left;
      for (let x = 0; x < size; x += 1) {
        if (texture >= 0 && !isInked(texture, x, y, size, left + x + top + y)) continue;
        pixels[base + x] = colour;
      }
    }
  }

  function isInked(texture, x, y, size, diagonal) {
    const edge = x === 0 || y === 0 || x === size - 1 || y === size - 1;
    if (texture === STATE.STALE) return diagonal % 4 < 2;
    if (texture === STATE.ABSENT) return edge;
    if (texture === STATE.LOST) {
      const thick = Math.max(1, Math.floor(size / 4));
      return x < thick || y < thick || x >= size - thick || y >= size - thick;
    }
    const middle = (size - 1) / 2;
    return edge || (Math.abs(x - middle) <= size / 6 && Math.abs(y - middle) <= size / 6);
  }

  function writeLabels(context, shape, scale) {
    context.font = `500 ${11 * scale}px Inter, system-ui, sans-serif`;
    context.fillStyle = window.fleetgauge.colour("muted");
    context.textBaseline = "top";
    for (const { text, x, y = 0, width } of shape.labels) {
      let shown = text;
      while (shown.length > 2 && context.measureText(shown).width > width) {
        shown = `${shown.replace(/…$/, "").slice(0, -1)}…`;
      }
      if (shown.length > 2 || shown === text) context.fillText(shown, x, y);
    }
  }

  function cellAt(canvas, event) {
    const shape = shapes.get(canvas);
    if (!shape) return null;
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * shape.scale;
    const y = (event.clientY - box.top) * shape.scale - shape.head;
    for (const piece of shape.placed) {
      const col = Math.floor((x - piece.x) / piece.size);
      const row = Math.floor((y - piece.y) / piece.size);
      if (col >= 0 && row >= 0 && col < piece.cols && row < piece.rows) {
        if (piece.absent) return { absent: true };
        return { n: piece.start + row * piece.cols + col, facility: shape.spec.facility || "" };
      }
    }
    return null;
  }

  // ---------------------------------------------------------------- sparkline

  function paintSpark(canvas, spec) {
    const scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width || !height) return;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    const points = spec.v.length;
    const largest = Math.max(1e-9, ...spec.v.filter((v) => v !== null));
    const high = spec.hi || largest * 1.15;
    const x = (n) => (points < 2 ? 0 : (n / (points - 1)) * width);
    const y = (v) => height - 1.5 - (Math.max(0, Math.min(high, v)) / high) * (height - 4);
    const line = window.fleetgauge.colour(spec.tone);
    context.fillStyle = window.fleetgauge.colour("hair");
    context.fillRect(0, height - 1, width, 1);
    hatchGaps(context, spec, x, height, points);
    for (const [from, to] of runs(spec.v)) {
      context.beginPath();
      context.moveTo(x(from), height - 1);
      for (let n = from; n <= to; n += 1) context.lineTo(x(n), y(spec.v[n]));
      context.lineTo(x(to), height - 1);
      context.fillStyle = window.fleetgauge.colour(`${spec.tone}-soft`);
      context.fill();
      stroke(context, spec.v, from, to, x, y, line, 1.5, []);
    }
    for (const [from, to] of runs(spec.w)) {
      stroke(context, spec.w, from, to, x, y, window.fleetgauge.colour("second"), 1.2, [3, 2.5]);
    }
  }

  function stroke(context, values, from, to, x, y, colour, width, dash) {
    context.beginPath();
    for (let n = from; n <= to; n += 1) context.lineTo(x(n), y(values[n]));
    if (from === to) context.lineTo(x(from) + 1, y(values[from]));
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }

  function runs(values) {
    const found = [];
    let from = -1;
    for (let n = 0; n <= values.length; n += 1) {
      const known = n < values.length && values[n] !== null;
      if (known && from < 0) from = n;
      if (!known && from >= 0) {
        found.push([from, n - 1]);
        from = -1;
      }
    }
    return found;
  }

  // Time without data, once there was some: hatched, so that it is not taken for zero.
  function hatchGaps(context, spec, x, height, points) {
    const known = runs(spec.v);
    const first = known.length ? known[0][0] : points;
    const gaps = runs(spec.v.map((v, n) => (v === null && n > first ? 1 : null)));
    context.strokeStyle = window.fleetgauge.colour("hatch");
    context.lineWidth = 1;
    for (const [from, to] of gaps) {
      if (to - from < 1) continue;
      const left = x(from - 1);
      const right = to === points - 1 ? x(points - 1) : x(to + 1);
      context.save();
      context.beginPath();
      context.rect(left, 0, right - left, height);
      context.clip();
      context.beginPath();
      for (let at = left - height; at < right; at += 5) {
        context.moveTo(at, height);
        context.lineTo(at + height, 0);
      }
      context.stroke();
      context.restore();
    }
  }

  function sparkText(canvas, event) {
    const spec = JSON.parse(canvas.dataset.spec);
    const box = canvas.getBoundingClientRect();
    const n = Math.round(((event.clientX - box.left) / box.width) * (spec.v.length - 1));
    if (!(n >= 0 && n < spec.v.length)) return null;
    const clock = new Date((spec.t + n * spec.s) * 1000).toISOString().slice(11, 16);
    const say = (name, value) => `${name} ${value === null || value === undefined ? "no data" : `${value} ${spec.unit}`}`;
    const parts = [say(spec.names[0] || "", spec.v[n]).trim()];
    if (spec.w.length) parts.push(say(spec.names[1], spec.w[n]));
    return `<b>${clock} UTC</b> ${escape(parts.join(" · "))}`;
  }

  // ---------------------------------------------------------------- under the pointer

  const tip = { timer: null, asked: "", box: () => document.getElementById("tip") };

  function escape(text) {
    const holder = document.createElement("span");
    holder.textContent = String(text);
    return holder.innerHTML;
  }

  function showTip(html, event) {
    const box = tip.box();
    if (!box) return;
    box.innerHTML = html;
    box.style.display = "block";
    const left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 8);
    const below = event.clientY + 18 + box.offsetHeight < window.innerHeight;
    box.style.left = `${Math.max(8, left)}px`;
    box.style.top = `${below ? event.clientY + 18 : event.clientY - box.offsetHeight - 12}px`;
  }

  function hideTip() {
    clearTimeout(tip.timer);
    tip.asked = "";
    const box = tip.box();
    if (box) box.style.display = "none";
  }

  async function askCell(cell) {
    const query = new URLSearchParams({ n: cell.n, facility: cell.facility });
    const answer = await fetch(`/cell?${query}`);
    return answer.ok ? answer.json() : null;
  }

  function cellText(named) {
    const readings = Object.entries(named.readings).map(([name, value]) => `${escape(name)} <b>${escape(value)}</b>`);
    const age = named.time === null ? "never read" : `${window.fleetgauge.duration(Math.max(0, window.fleetgauge.serverNow_s() - named.time))} old`;
    return [
      `<b>${escape(named.host)}</b> · GPU ${escape(named.index)}`,
      `<span class="quiet">${escape([named.facility, named.rack].filter(Boolean).join(" · "))}</span>`,
      `<i class="swatch s-${STATE_NAMES[named.code] === "predicted" ? "predicted-failure" : STATE_NAMES[named.code]}"></i>${escape(named.state)} · ${escape(age)}`,
      readings.join("<br>"),
    ].filter(Boolean).join("<br>");
  }

  function onMove(event) {
    const canvas = event.target.closest?.("canvas[data-paint]");
    if (!canvas) {
      if (tip.asked) hideTip();
      return;
    }
    if (canvas.dataset.paint === "spark") {
      const text = sparkText(canvas, event);
      tip.asked = "spark";
      if (text) showTip(text, event);
      return;
    }
    const cell = cellAt(canvas, event);
    canvas.style.cursor = cell && !cell.absent ? "pointer" : "default";
    if (!cell) return hideTip();
    const key = cell.absent ? "absent" : `${cell.facility} ${cell.n}`;
    if (key === tip.asked) return;
    tip.asked = key;
    clearTimeout(tip.timer);
    if (cell.absent) return showTip("contracted, never delivered", event);
    tip.timer = setTimeout(async () => {
      const named = await askCell(cell);
      if (named && tip.asked === key) showTip(cellText(named), event);
    }, 50);
  }

  async function onClick(event) {
    const canvas = event.target.closest?.("canvas[data-paint=mosaic]");
    const cell = canvas && cellAt(canvas, event);
    if (!cell || cell.absent) return;
    const named = await askCell(cell);
    hideTip();
    if (!named) return;
    const query = new URLSearchParams({ facility: named.slug, host: named.host, gpu: named.index });
    window.fleetgauge.go(`/host?${query}`);
  }

  // ---------------------------------------------------------------- when to paint

  function paint(canvas, again = false) {
    const text = canvas.dataset.spec;
    if (!text || (!again && painted.get(canvas) === text)) return;
    painted.set(canvas, text);
    const spec = JSON.parse(text);
    if (canvas.dataset.paint === "spark") paintSpark(canvas, spec);
    else paintMosaic(canvas, spec).catch(() => painted.delete(canvas));
  }

  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      for (const canvas of target.querySelectorAll("canvas[data-paint]")) paint(canvas, true);
    }
  });
  const watched = new WeakSet();

  function adopt(canvas) {
    if (canvas.parentElement && !watched.has(canvas.parentElement)) {
      watched.add(canvas.parentElement);
      sizes.observe(canvas.parentElement);
    }
    paint(canvas);
  }

  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === "attributes") adopt(change.target);
      for (const node of change.addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        if (node.matches("canvas[data-paint]")) adopt(node);
        for (const canvas of node.querySelectorAll("canvas[data-paint]")) adopt(canvas);
      }
    }
  }).observe(document.documentElement, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-spec"],
  });

  document.addEventListener("pointermove", onMove, { passive: true });
  document.addEventListener("pointerleave", hideTip);
  document.addEventListener("scroll", hideTip, { passive: true });
  document.addEventListener("click", onClick);
  // The font comes after the first paint of labels.
  document.fonts?.ready.then(() => document.dispatchEvent(new CustomEvent("fleetgauge-restyle")));
})();
