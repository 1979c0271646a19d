// Paints sparklines: an area, a dashed second line, and hatching where there was no data.
//
// Owns their pixels and what they say under the pointer.
(() => {
  "use strict";

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
    const at_s = spec.t + n * spec.s;
    const clock = `${window.fleetgauge.written(at_s, spec.s < 86400 ? "short" : "day")} ${window.fleetgauge.zoneName(at_s * 1000)}`;
    const say = (name, value) => `${name} ${value === null || value === undefined ? "no data" : `${value} ${spec.unit}`}`;
    const parts = [say(spec.names[0] || "", spec.v[n]).trim()];
    if (spec.w.length) parts.push(say(spec.names[1], spec.w[n]));
    return `<b>${clock}</b> ${window.fleetgauge.escape(parts.join(" · "))}`;
  }

  Object.assign(window.fleetgauge, { paintSpark, sparkText });
})();
