// The map's two tools: the scrubber that goes back in time, and the brush that chooses racks.
//
// Owns the slider over the course of the load and what it asks for while it moves; a choice by
// either becomes part of the address once the pointer is let go.
(() => {
  "use strict";

  const STEP_S = 60;
  const BRUSH_PX_MIN = 6;
  const RACKS_CHARS_MAX = 158;

  // ---------------------------------------------------------------- the scrubber

  const SETTLE_MS = 700; // keys move the slider step by step: the address follows when they rest

  const scrub = { asked: 0, playing: null, settling: null, focused: false };

  function addScrubber(box) {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, step: 1, className: "scrub-slider" });
    slider.setAttribute("aria-label", "Time of the map");
    const course = () => document.querySelector(".scrub-course");
    slider.addEventListener("input", () => preview(course(), slider));
    slider.addEventListener("change", () => {
      clearTimeout(scrub.settling);
      scrub.settling = setTimeout(() => settle(course(), slider), SETTLE_MS);
    });
    const play = document.createElement("button");
    Object.assign(play, { className: "move scrub-play", textContent: "Play", title: "Play from here to now" });
    play.addEventListener("click", () => (scrub.playing ? stop(course(), slider) : start(course(), slider)));
    box.append(play, slider);
    if (scrub.focused) slider.focus();
    scrub.focused = false;
  }

  function place(course, slider) {
    const { start, until, at } = course.dataset;
    const last = Math.min(until, window.fleetgauge.serverNow_s() - STEP_S);
    slider.max = Math.max(1, Math.floor((last - start) / STEP_S));
    if (document.activeElement !== slider && !scrub.playing) slider.value = at ? (at - start) / STEP_S : slider.max;
    tell(course, slider);
  }

  function timeOf(course, slider) {
    return Math.floor((Number(course.dataset.start) + slider.value * STEP_S) / STEP_S) * STEP_S;
  }

  const isNow = (slider) => Number(slider.value) >= Number(slider.max);

  function tell(course, slider) {
    const { written } = window.fleetgauge;
    slider.setAttribute("aria-valuetext", isNow(slider) ? "now" : written(timeOf(course, slider)));
  }

  async function preview(course, slider) {
    tell(course, slider);
    if (isNow(slider)) return;
    scrub.asked += 1;
    const mine = scrub.asked;
    const query = new URLSearchParams(location.search);
    query.set("at", timeOf(course, slider));
    const answer = await fetch(`/map/at?${query}`);
    if (!answer.ok || mine !== scrub.asked) return;
    const spec = await answer.text();
    const canvas = document.querySelector("#map-cells canvas");
    if (canvas && mine === scrub.asked) canvas.dataset.spec = spec;
  }

  function settle(course, slider) {
    scrub.asked += 1;
    if (!course || !slider.isConnected) return;
    scrub.focused = document.activeElement === slider;
    const query = new URLSearchParams(location.search);
    if (isNow(slider)) query.delete("at");
    else query.set("at", timeOf(course, slider));
    const text = query.toString();
    window.fleetgauge.go(`/map${text ? `?${text}` : ""}`);
  }

  function start(course, slider) {
    if (isNow(slider)) slider.value = 0;
    document.querySelector(".scrub-play").textContent = "Stop";
    const stride = Math.max(1, Math.round(slider.max / 60));
    scrub.playing = setInterval(() => {
      if (!slider.isConnected) return void clearInterval(scrub.playing);
      slider.value = Number(slider.value) + stride;
      if (isNow(slider)) stop(course, slider);
      else preview(course, slider);
    }, 400);
  }

  function stop(course, slider) {
    clearInterval(scrub.playing);
    scrub.playing = null;
    document.querySelector(".scrub-play").textContent = "Play";
    settle(course, slider);
  }

  // ---------------------------------------------------------------- the brush

  const brush = { canvas: null, from: null, box: null };

  function drawBox(event) {
    const [left, right] = [brush.from.x, event.clientX].sort((a, b) => a - b);
    const [top, bottom] = [brush.from.y, event.clientY].sort((a, b) => a - b);
    if (!brush.box) {
      if (right - left < BRUSH_PX_MIN && bottom - top < BRUSH_PX_MIN) return;
      brush.box = document.createElement("div");
      brush.box.className = "brush";
      document.body.append(brush.box);
    }
    Object.assign(brush.box.style, {
      left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px`,
    });
  }

  function asRanges(ids) {
    const sorted = [...new Set(ids)].sort((a, b) => a - b);
    const ranges = [];
    for (const id of sorted) {
      const last = ranges.at(-1);
      if (last && id === last[1] + 1) last[1] = id;
      else ranges.push([id, id]);
    }
    const parts = ranges.map(([low, high]) => (low === high ? `${low}` : `${low}-${high}`));
    while (parts.join(",").length > RACKS_CHARS_MAX) parts.pop();
    return parts.join(",");
  }

  function endBrush(event) {
    const { canvas, box } = brush;
    Object.assign(brush, { canvas: null, box: null });
    if (!box) return;
    const area = box.getBoundingClientRect();
    box.remove();
    swallowClick();
    if (event.type === "pointercancel") return;
    const ids = window.fleetgauge.racksIn(canvas, area);
    if (!ids.length) return;
    const query = new URLSearchParams(location.search);
    query.set("racks", asRanges(ids));
    window.fleetgauge.go(`/map?${query}`);
  }

  // The click that ends a drawing is no click on a cell.
  function swallowClick() {
    const swallow = (event) => event.stopImmediatePropagation();
    window.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => window.removeEventListener("click", swallow, { capture: true }), 50);
  }

  document.addEventListener("pointerdown", (event) => {
    const canvas = event.target.closest?.("#map-cells canvas");
    if (!canvas || event.button !== 0 || event.pointerType === "touch") return;
    Object.assign(brush, { canvas, from: { x: event.clientX, y: event.clientY } });
  });
  document.addEventListener("pointermove", (event) => brush.canvas && drawBox(event));
  document.addEventListener("pointerup", endBrush);
  document.addEventListener("pointercancel", endBrush);

  new MutationObserver(() => {
    const course = document.querySelector(".scrub-course");
    const box = document.getElementById("scrub-box");
    if (!box) return;
    box.hidden = !course;
    if (!course) return;
    if (!box.firstChild) addScrubber(box);
    place(course, box.querySelector("input"));
  }).observe(document.documentElement, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-start", "data-until", "data-at"],
  });
})();
