// Times: in UTC or in the zone of this browser, on the page and on charts; and moving in time.
//
// Owns the switch between the two, how a time is written, and what is drawn on a chart becoming
// the page's range. The server sends seconds since 1970; charts are drawn as if in UTC, so that
// in local time they are moved by the offset of their own end.
(() => {
  "use strict";

  const root = document.documentElement;
  const two = (number) => String(number).padStart(2, "0");

  function isLocal() {
    return root.dataset.zone === "local";
  }

  // What to add to UTC at a time, in milliseconds; none while UTC is shown.
  function offset_ms(epoch_ms) {
    return isLocal() ? -60000 * new Date(epoch_ms).getTimezoneOffset() : 0;
  }

  function zoneName(epoch_ms) {
    if (!isLocal()) return "UTC";
    const minutes = offset_ms(epoch_ms) / 60000;
    const rest = Math.abs(minutes) % 60;
    return `UTC${minutes < 0 ? "−" : "+"}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${two(rest)}` : ""}`;
  }

  function written(epoch_s, style = "moment") {
    const moved = new Date(epoch_s * 1000 + offset_ms(epoch_s * 1000));
    const day = `${moved.getUTCFullYear()}-${two(moved.getUTCMonth() + 1)}-${two(moved.getUTCDate())}`;
    const minutes = `${two(moved.getUTCHours())}:${two(moved.getUTCMinutes())}`;
    const clock = `${minutes}:${two(moved.getUTCSeconds())}`;
    return { clock, minutes, day, short: `${day.slice(5)} ${minutes}`, moment: `${day} ${clock}` }[style];
  }

  // Replaces `@t1732712345;` in the texts of a figure.
  function timed(text) {
    return text.replace(/@t(\d+);/g, (_, seconds) => written(Number(seconds), "moment"));
  }

  function zoned(figure) {
    const axis = figure.layout?.xaxis;
    if (!axis || axis.type !== "date" || !axis.range) return figure;
    const by = offset_ms(axis.range[1]);
    const name = zoneName(axis.range[1]);
    if (axis.hoverformat) axis.hoverformat = `${axis.hoverformat.replace(/ UTC$/, "")} ${name}`;
    if (!by) return figure;
    const move = (value) => (typeof value === "number" ? value + by : value);
    axis.range = axis.range.map(move);
    const data = figure.data.map((trace) => {
      const moved = { ...trace };
      if (trace.base) moved.base = trace.base.map(move);
      else if (trace.x) moved.x = trace.x.map(move);
      if (trace.x0 !== undefined) moved.x0 = move(trace.x0);
      return moved;
    });
    const inTime = (part) => (part.xref === "x" ? Object.fromEntries(
      Object.entries(part).map(([key, value]) => [key, ["x", "x0", "x1"].includes(key) ? move(value) : value]),
    ) : part);
    const { shapes = [], annotations = [] } = figure.layout;
    return { data, layout: { ...figure.layout, shapes: shapes.map(inTime), annotations: annotations.map(inTime) } };
  }

  function writeTimes() {
    for (const element of document.querySelectorAll("[data-time]")) {
      const words = written(Number(element.dataset.time), element.dataset.style);
      if (element.textContent !== words) element.textContent = words;
    }
    const button = document.getElementById("zone");
    const name = zoneName(Date.now());
    if (button && button.textContent !== name) {
      button.textContent = name;
      button.title = isLocal() ? "Times are local; show them in UTC" : "Times are in UTC; show them in local time";
    }
  }

  function nextZone() {
    const zone = isLocal() ? "utc" : "local";
    window.fleetgauge.settle(root.dataset.chosen, zone);
    window.fleetgauge.remember("zone", zone);
    document.dispatchEvent(new CustomEvent("fleetgauge-restyle"));
  }

  // ---------------------------------------------------------------- moving in time

  function show(from_s, to_s) {
    const query = new URLSearchParams(location.search);
    query.delete("range");
    query.delete("at");
    query.set("from", String(Math.round(from_s)));
    query.set("to", String(Math.round(to_s)));
    window.fleetgauge.go(`${location.pathname}?${query}`);
  }

  // The span that the page shows, from its own control of time; null where it has none.
  function span() {
    const control = document.querySelector("[data-span]");
    if (!control) return null;
    const seconds = Number(control.dataset.span);
    const end = control.dataset.end ? Number(control.dataset.end) : window.fleetgauge.serverNow_s();
    return { from: end - seconds, to: end, seconds, live: !control.dataset.end };
  }

  const moves = {
    pause: ({ from, to }) => show(from, to),
    earlier: ({ from, to, seconds }) => show(from - seconds / 2, to - seconds / 2),
    later({ from, to, seconds }) {
      const now = window.fleetgauge.serverNow_s();
      if (to + seconds / 2 < now) show(from + seconds / 2, to + seconds / 2);
      else live();
    },
    out: ({ from, to, seconds }) => show(from - seconds / 2, Math.min(to + seconds / 2, window.fleetgauge.serverNow_s())),
  };

  function live() {
    const query = new URLSearchParams(location.search);
    for (const key of ["from", "to", "at"]) query.delete(key);
    const text = query.toString();
    window.fleetgauge.go(location.pathname + (text ? `?${text}` : ""));
  }

  function move(how) {
    const shown = span();
    if (!shown) return;
    if (how === "pause" && !shown.live) live();
    else if (!(how === "later" && shown.live)) moves[how](shown);
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.fleetgauge = {
    // A range drawn on a time chart becomes the page's range, and so part of its address.
    zoom(moved) {
      const ends = [moved?.["xaxis.range[0]"], moved?.["xaxis.range[1]"]];
      if (ends.every(Boolean)) {
        const [from, to] = ends.map((text) => {
          const shown_ms = Date.parse(`${String(text).replace(" ", "T")}Z`);
          return (shown_ms - offset_ms(shown_ms)) / 1000;
        });
        show(from, to);
      }
      return window.dash_clientside.no_update;
    },
  };
  Object.assign(window.fleetgauge, { move, nextZone, offset_ms, timed, writeTimes, written, zoned, zoneName });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-move]");
    if (button) move(button.dataset.move);
  });
  document.addEventListener("fleetgauge-restyle", writeTimes);
})();
