// Starts Dash once the first picture is painted.
//
// Owns when its scripts run: they wait in a template, so that a megabyte of them does not stand
// before what the reader came for. They run one by one, and what comes over the live line between.
(() => {
  "use strict";

  const PICTURE_MS_MAX = 1500; // no picture came: Dash will show what there is

  const later = document.getElementById("later");
  let started = false;

  async function run(waiting) {
    const script = document.createElement("script");
    for (const { name, value } of waiting.attributes) script.setAttribute(name, value);
    script.async = false;
    if (!waiting.src) {
      script.textContent = waiting.textContent;
      document.body.append(script);
      return;
    }
    await new Promise((done) => {
      script.onload = script.onerror = done;
      document.body.append(script);
    });
  }

  // All at once: they run one after the other.
  function fetchAhead() {
    for (const { src } of later.content.querySelectorAll("script[src]")) {
      document.head.append(Object.assign(document.createElement("link"), { rel: "preload", as: "script", href: src }));
    }
  }

  async function start() {
    if (started || !later) return;
    started = true;
    fetchAhead();
    for (const waiting of later.content.querySelectorAll("script")) await run(waiting);
  }

  // Two frames on, what the first message brought is on the screen.
  document.addEventListener("fleetgauge-first", () => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(start, 0))), { once: true });
  setTimeout(start, PICTURE_MS_MAX);
  window.fleetgauge.showFirst();
})();
