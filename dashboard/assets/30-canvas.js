// Canvases: painted when their `data-spec` changes, when they change size, and with the theme.
//
// Owns when to paint, and what is told about the place under the pointer.
(() => {
  "use strict";

  const { cellAt, paintMosaic, paintSpark, sparkText, STATE_NAMES } = window.fleetgauge;

  const painted = new WeakMap(); // canvas -> specification last painted
  const tones = { predicted: "predicted-failure" };

  function escape(text) {
    const holder = document.createElement("span");
    holder.textContent = String(text);
    return holder.innerHTML;
  }
  window.fleetgauge.escape = escape;

  const tip = { timer: null, asked: "", box: () => document.getElementById("tip") };

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

  async function pastText(named, spec, cell) {
    const { pastValue, written, zoneName } = window.fleetgauge;
    return [
      `<b>${escape(named.host)}</b> · GPU ${escape(named.index)}`,
      `<span class="quiet">${escape([named.facility, named.rack].filter(Boolean).join(" · "))}</span>`,
      `${escape(spec.told)} <b>${escape(await pastValue(spec, cell.n))}</b>`,
      `<span class="quiet">${written(spec.at, "short")} ${zoneName(spec.at * 1000)}</span>`,
    ].join("<br>");
  }

  function cellText(named) {
    const readings = Object.entries(named.readings).map(([name, value]) => `${escape(name)} <b>${escape(value)}</b>`);
    const age = named.time === null ? "never read" : `${window.fleetgauge.duration(Math.max(0, window.fleetgauge.serverNow_s() - named.time))} old`;
    return [
      `<b>${escape(named.host)}</b> · GPU ${escape(named.index)}`,
      `<span class="quiet">${escape([named.facility, named.rack].filter(Boolean).join(" · "))}</span>`,
      `<i class="swatch s-${tones[STATE_NAMES[named.code]] || STATE_NAMES[named.code]}"></i>${escape(named.state)} · ${escape(age)}`,
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
      const spec = JSON.parse(canvas.dataset.spec);
      const text = named && (spec.at ? await pastText(named, spec, cell) : cellText(named));
      if (text && tip.asked === key) showTip(text, event);
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

  document.addEventListener("fleetgauge-restyle", () => {
    for (const canvas of document.querySelectorAll("canvas[data-paint]")) paint(canvas, true);
  });
  document.addEventListener("pointermove", onMove, { passive: true });
  document.addEventListener("pointerleave", hideTip);
  document.addEventListener("scroll", hideTip, { passive: true });
  document.addEventListener("click", onClick);
  // The font comes after the first paint of labels.
  document.fonts?.ready.then(() => document.dispatchEvent(new CustomEvent("fleetgauge-restyle")));
})();
