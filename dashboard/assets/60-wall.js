// Wall mode: turns its views, keeps the screen awake, and shows its controls to whoever comes.
(() => {
  "use strict";

  const CONTROLS_MS = 4000;
  let shown_s = 0; // for how long the present view has been on the wall
  let address = "";
  let pointed = null;
  let lock = null;

  function turn() {
    const wall = document.querySelector(".wall");
    if (location.href !== address) {
      address = location.href;
      shown_s = 0;
    }
    if (!wall) return;
    keepAwake();
    shown_s += 1;
    const cycle_s = Math.max(5, Number(wall.dataset.cycle));
    if (!(cycle_s <= shown_s) || document.documentElement.classList.contains("pointed")) return;
    const links = [...wall.querySelectorAll(".wall-controls .choice")];
    const at = links.findIndex((link) => link.classList.contains("chosen"));
    window.fleetgauge.go(links[(at + 1) % links.length].getAttribute("href"));
  }

  async function keepAwake() {
    if (lock || document.visibilityState !== "visible" || !navigator.wakeLock) return;
    lock = "asked";
    try {
      lock = await navigator.wakeLock.request("screen");
      lock.addEventListener("release", () => { lock = null; });
    } catch {
      lock = "refused"; // The screen's own settings then decide.
    }
  }

  document.addEventListener("pointermove", () => {
    if (!document.querySelector(".wall")) return;
    document.documentElement.classList.add("pointed");
    clearTimeout(pointed);
    pointed = setTimeout(() => document.documentElement.classList.remove("pointed"), CONTROLS_MS);
  }, { passive: true });
  setInterval(turn, 1000);
})();
