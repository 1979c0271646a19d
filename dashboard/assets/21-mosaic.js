// Paints mosaics: every accelerator a cell, at the place that 21-arrange.js gives it.
//
// Owns their pixels, and which cell is under the pointer. States are told apart by lightness and
// texture as well as by hue: stale is hatched, absent hollow, lost a ring, unknown a dot.
(() => {
  "use strict";

  const NO_SEAT = 255;
  const LEVELS = 200;
  const STATE = { DEGRADED: 3, LOST: 6, STALE: 7, UNKNOWN: 8, ABSENT: 9 };
  const { arrange, fetchFrame, fetchLayout, palette, SIGHTLESS_BASE } = window.fleetgauge;

  const shapes = new WeakMap(); // canvas -> geometry of what it shows

  async function paintMosaic(canvas, spec) {
    const [layout, buffer] = await Promise.all([fetchLayout(spec.layout), fetchFrame(spec.values)]);
    const scale = window.devicePixelRatio || 1;
    const width = Math.floor(canvas.parentElement.clientWidth * scale);
    if (width < 8 || !canvas.isConnected) return;
    const style = getComputedStyle(canvas);
    const wanted = parseFloat(style.getPropertyValue("--mosaic-height")) || 150;
    const growth = parseFloat(style.getPropertyValue("--mosaic-growth")) || undefined;
    const label = parseFloat(style.getPropertyValue("--mosaic-label")) || 11;
    const key = `${spec.layout} ${width} ${scale} ${spec.mode} ${wanted}`;
    let shape = shapes.get(canvas);
    if (!shape || shape.key !== key) {
      const tall = (spec.mode === "racks" && spec.height) || wanted;
      const room = {
        mode: spec.mode, width, height: Math.round(tall * scale), head: Math.round((label + 6) * scale), scale, growth,
      };
      shape = { ...arrange(layout, room), key, scale, label };
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
    if (byState) raiseTroubled(pixels, width, shape, values, colours);
    context.putImageData(image, 0, 0);
    writeLabels(context, shape, scale);
    frameChosen(context, shape, spec.racks, scale);
    canvas.dataset.painted = String(values.length);
  }

  function fillPiece(pixels, stride, head, piece, values, colours, byState) {
    const { wide, high } = piece;
    const gap = high >= 4 ? 1 : 0;
    for (let row = 0; row < piece.rows; row += 1) {
      for (let col = 0; col < piece.cols; col += 1) {
        const n = row * piece.cols + col;
        if (piece.absent && n >= piece.count) continue;
        const code = piece.absent ? SIGHTLESS_BASE + STATE.ABSENT : values[piece.start + n];
        if (code === NO_SEAT || code === undefined) continue;
        const state = byState && code < SIGHTLESS_BASE ? code : code - SIGHTLESS_BASE;
        const textured = (byState || code >= SIGHTLESS_BASE) && gap && state >= STATE.LOST && state <= STATE.ABSENT;
        const left = piece.x + col * wide;
        const top = head + piece.y + row * high;
        if (textured) inkCell(pixels, stride, left, top, high - gap, colours[code], state);
        else fillCell(pixels, stride, left, top, wide - gap, high - gap, colours[code]);
      }
    }
  }

  // One pixel in a quarter of a million is not seen: a fault is drawn larger than its neighbours.
  function raiseTroubled(pixels, stride, shape, values, colours) {
    const seen = Math.round(3 * shape.scale);
    for (const { x, y, cols, rows, wide, high, start, absent } of shape.placed) {
      if (high >= seen || absent) continue;
      const [across, down] = [Math.min(seen, cols * wide), Math.min(seen, rows * high)];
      for (let n = 0; n < rows * cols; n += 1) {
        const code = values[start + n];
        if (code < STATE.DEGRADED || code > STATE.LOST) continue;
        const left = x + Math.min((n % cols) * wide, cols * wide - across);
        const top = y + Math.min(Math.floor(n / cols) * high, rows * high - down);
        fillCell(pixels, stride, left, shape.head + top, across, down, colours[code]);
      }
    }
  }

  function fillCell(pixels, stride, left, top, wide, high, colour) {
    for (let y = 0; y < high; y += 1) {
      const base = (top + y) * stride + left;
      for (let x = 0; x < wide; x += 1) pixels[base + x] = colour;
    }
  }

  function inkCell(pixels, stride, left, top, size, colour, texture) {
    for (let y = 0; y < size; y += 1) {
      const base = (top + y) * stride + left;
      for (let x = 0; x < size; x += 1) {
        if (isInked(texture, x, y, size, left + x + top + y)) pixels[base + x] = colour;
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
    context.font = `500 ${shape.label * scale}px Inter, system-ui, sans-serif`;
    context.fillStyle = window.fleetgauge.colour("muted");
    context.textBaseline = "top";
    for (const { text, x, y = 0, width } of shape.labels) {
      const room = Math.min(width, context.canvas.width - x);
      let shown = text;
      while (shown.length > 2 && context.measureText(shown).width > room) {
        shown = `${shown.replace(/…$/, "").slice(0, -1)}…`;
      }
      if (shown.length > 2 || shown === text) context.fillText(shown, x, y);
    }
  }

  // The racks that an address chooses stand in a frame; the others step back.
  function frameChosen(context, shape, racks, scale) {
    if (!racks) return;
    const spans = racks.split(",").map((part) => part.split("-").map(Number));
    const isChosen = ({ rack }) => spans.some(([low, high]) => rack >= low && rack <= (high ?? low));
    const box = ({ x, y, cols, rows, wide, high }) => [x, shape.head + y, cols * wide, rows * high];
    context.fillStyle = window.fleetgauge.colour("veil");
    for (const piece of shape.placed.filter((each) => !isChosen(each))) context.fillRect(...box(piece));
    context.strokeStyle = window.fleetgauge.colour("focus");
    context.lineWidth = Math.max(1, scale);
    for (const piece of shape.placed.filter(isChosen)) context.strokeRect(...box(piece));
  }

  // The racks that lie in a rectangle of the window.
  function racksIn(canvas, area) {
    const shape = shapes.get(canvas);
    const edge = canvas.getBoundingClientRect();
    const left = (area.left - edge.left) * shape.scale;
    const right = (area.right - edge.left) * shape.scale;
    const top = (area.top - edge.top) * shape.scale - shape.head;
    const bottom = (area.bottom - edge.top) * shape.scale - shape.head;
    return shape.placed
      .filter((piece) => piece.rack !== undefined
        && piece.x < right && piece.x + piece.cols * piece.wide > left
        && piece.y < bottom && piece.y + piece.rows * piece.high > top)
      .map((piece) => piece.rack);
  }

  // What a map of a time past says of a cell; nothing where that is not known.
  async function pastValue(spec, n) {
    const level = new Uint8Array(await fetchFrame(spec.values))[n];
    if (level > LEVELS) return "not known";
    return `${Math.round(spec.low + (level / LEVELS) * (spec.high - spec.low))} ${spec.unit}`;
  }

  function cellAt(canvas, event) {
    const shape = shapes.get(canvas);
    if (!shape) return null;
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * shape.scale;
    const y = (event.clientY - box.top) * shape.scale - shape.head;
    for (const piece of shape.placed) {
      const col = Math.floor((x - piece.x) / piece.wide);
      const row = Math.floor((y - piece.y) / piece.high);
      if (col >= 0 && row >= 0 && col < piece.cols && row < piece.rows) {
        if (piece.absent) return { absent: true };
        return { n: piece.start + row * piece.cols + col, facility: shape.spec.facility || "" };
      }
    }
    return null;
  }

  Object.assign(window.fleetgauge, { cellAt, paintMosaic, pastValue, racksIn });
})();
