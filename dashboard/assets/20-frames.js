// Bytes and colours that canvases are painted from.
//
// Owns the cache of frames (/frame/<name>, whose content never changes under a name), which come
// over the live line before they are asked for, or else are fetched, and the palettes: 256 colours by code for each scale, taken from the style sheet of the current theme.
(() => {
  "use strict";

  const LEVELS = 200;
  const SIGHTLESS_BASE = 210;
  const NOT_TOLD = 250;
  const STATE_NAMES = [
    "busy", "idle", "ok", "degraded", "predicted", "failed", "lost", "stale", "unknown", "absent",
    "maintenance",
  ];
  const FRAMES_MAX = 60;

  const NAME_BYTES = 24; // before the content of a frame that comes over the live line

  const frames = new Map(); // address -> promise of bytes

  function keep(address, answer) {
    answer.catch(() => frames.delete(address));
    frames.set(address, answer);
    if (frames.size > FRAMES_MAX) frames.delete(frames.keys().next().value);
  }

  function fetchFrame(address) {
    if (!frames.has(address)) {
      const answer = fetch(address).then((response) => {
        if (!response.ok) throw new Error(`${address}: ${response.status}`);
        return response.arrayBuffer();
      });
      keep(address, answer);
    }
    return frames.get(address);
  }

  function takeFrame(message) {
    const name = new TextDecoder().decode(new Uint8Array(message, 0, NAME_BYTES));
    const packed = new Blob([new Uint8Array(message, NAME_BYTES)]).stream();
    keep(`/frame/${name}`, new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
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

  const palettes = new Map();
  document.addEventListener("fleetgauge-restyle", () => palettes.clear());

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

  Object.assign(window.fleetgauge, { fetchFrame, takeFrame, fetchLayout, palette, SIGHTLESS_BASE, STATE_NAMES });
})();
