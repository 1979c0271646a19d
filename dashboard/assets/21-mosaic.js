// Paints mosaics: every accelerator a cell, racks as rectangles, facilities as runs of racks.
//
// Owns their geometry and pixels, and which cell is under the pointer. States are told apart by
// lightness and texture as well as by hue: stale is hatched, absent hollow, lost a ring, unknown
// a dot.
(() => {
  "use strict";

  const NO_SEAT = 255;
  const LEVELS = 200;
  const STATE = { DEGRADED: 3, LOST: 6, STALE: 7, UNKNOWN: 8, ABSENT: 9 };
  const { fetchFrame, fetchLayout, palette, SIGHTLESS_BASE } = window.fleetgauge;

  const shapes = new WeakMap(); // canvas -> geometry of what it shows

  // Cut each rack into pieces no taller than `rows_max` hosts; absent accelerators come last.
  function pieces(group, start, rows_max) {
    const found = [];
    let cell = start;
    for (const [label, rack, hosts, width] of group.racks) {
      for (let row = 0; row < hosts; row += rows_max) {
        const rows = Math.min(rows_max, hosts - row);
        found.push({ label: row ? "" : label, rack, cols: width, rows, start: cell, absent: false });
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

  const SIZE_MAX = 15;
  const SIZE_MAX_FEW = 44; // where there are so few that each may be a tile
  const FEW = 24;
  const GROWTH_MAX = 1.4; // a mosaic may be so much taller than asked for, if its cells grow by it

  // The largest cells with which everything fits.
  function arrange(layout, spec, width, scale, cssHeight, label) {
    const head = Math.round((label + 6) * scale);
    const cells = layout.groups.reduce((sum, group) => group.racks.reduce(
      (inner, [, , hosts, wide]) => inner + hosts * wide, sum + group.absent), 0);
    const largest = Math.round((cells <= FEW ? SIZE_MAX_FEW : SIZE_MAX) * scale);
    const sizes = [];
    for (let size = largest; size >= 1; size -= 1) sizes.push(size);
    if (spec.mode === "racks") {
      const height = Math.round((spec.height || cssHeight) * scale);
      for (const size of sizes) {
        const shape = layRacks(layout, width, size, scale);
        if (shape.height <= height || size === 1) return { ...shape, head: 0 };
      }
    }
    const wanted = Math.round(cssHeight * scale) - head;
    for (let height = wanted; ; height = Math.round(height * 1.25)) {
      const least = sizes.find((size) => layBand(layout, width, height, size, scale).width <= width);
      if (!least) continue;
      // One size more takes a little more height, and may fill the width that was left.
      for (let taller = height; taller <= wanted * GROWTH_MAX && least < largest; taller = Math.round(taller * 1.05)) {
        const shape = layBand(layout, width, taller, least + 1, scale);
        if (shape.width <= width) return { ...shape, head };
      }
      return { ...layBand(layout, width, height, least, scale), head };
    }
  }

  async function paintMosaic(canvas, spec) {
    const [layout, buffer] = await Promise.all([fetchLayout(spec.layout), fetchFrame(spec.values)]);
    const scale = window.devicePixelRatio || 1;
    const width = Math.floor(canvas.parentElement.clientWidth * scale);
    if (width < 8 || !canvas.isConnected) return;
    const style = getComputedStyle(canvas);
    const wanted = parseFloat(style.getPropertyValue("--mosaic-height")) || 150;
    const label = parseFloat(style.getPropertyValue("--mosaic-label")) || 11;
    const key = `${spec.layout} ${width} ${scale} ${spec.mode} ${wanted}`;
    let shape = shapes.get(canvas);
    if (!shape || shape.key !== key) {
      shape = { ...arrange(layout, spec, width, scale, wanted, label), key, scale, label };
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

  // One pixel in a quarter of a million is not seen: a fault is drawn larger than its neighbours.
  function raiseTroubled(pixels, stride, shape, values, colours) {
    const seen = Math.round(3 * shape.scale);
    for (const { x, y, cols, rows, size, start, absent } of shape.placed) {
      if (size >= seen || absent) continue;
      const side = Math.min(seen, cols * size, rows * size);
      for (let n = 0; n < rows * cols; n += 1) {
        const code = values[start + n];
        if (code < STATE.DEGRADED || code > STATE.LOST) continue;
        const left = Math.min(x + (n % cols) * size, x + cols * size - side);
        const top = Math.min(y + Math.floor(n / cols) * size, y + rows * size - side);
        fillCell(pixels, stride, left, shape.head + top, side, colours[code], -1);
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
    context.font = `500 ${shape.label * scale}px Inter, system-ui, sans-serif`;
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

  // The racks that an address chooses stand in a frame; the others step back.
  function frameChosen(context, shape, racks, scale) {
    if (!racks) return;
    const spans = racks.split(",").map((part) => part.split("-").map(Number));
    const isChosen = ({ rack }) => spans.some(([low, high]) => rack >= low && rack <= (high ?? low));
    const box = ({ x, y, cols, rows, size }) => [x, shape.head + y, cols * size, rows * size];
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
        && piece.x < right && piece.x + piece.cols * piece.size > left
        && piece.y < bottom && piece.y + piece.rows * piece.size > top)
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
      const col = Math.floor((x - piece.x) / piece.size);
      const row = Math.floor((y - piece.y) / piece.size);
      if (col >= 0 && row >= 0 && col < piece.cols && row < piece.rows) {
        if (piece.absent) return { absent: true };
        return { n: piece.start + row * piece.cols + col, facility: shape.spec.facility || "" };
      }
    }
    return null;
  }

  Object.assign(window.fleetgauge, { cellAt, paintMosaic, pastValue, racksIn });
})();
