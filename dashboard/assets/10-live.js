// The live line: one socket a page, over which the page's slots come as they change.
//
// Owns connecting and reconnecting, handing slots to the page, the live indicator,
// and ages that count on. Theme and navigation are in 05-page.js, times in 06-time.js.
// The document shows its page before Dash does (`dashboard/first.py`): that is filled first, and what
// came is put into Dash's when it is there.
// Protocol: the page sends {path, search, ask, frames}; it gets frames as bytes, and then
// {slots, now, as_of, trouble, ask, build}.
(() => {
  "use strict";

  const SILENCE_MS_MAX = 10000; // the server says something every 2 s
  const CHART_MS_MIN = 1000;
  const RETRY_MS = [250, 500, 1000, 2000, 4000];

  const state = {
    socket: null,
    wanted: null, // the view of this page
    ask: 0,
    heard: 0, // performance.now() of the last message
    retries: 0,
    retryTimer: null,
    clockSkew_ms: 0, // server's clock minus ours
    asOf_s: null,
    trouble: "connecting",
    figures: window.fleetgauge.figures, // slot -> figure as sent, with named colours
    drawn: new Map(), // slot -> performance.now() when its figure was last drawn
    toDraw: new Map(), // slot -> timer of the next drawing
    early: new Map(), // slot -> what came before Dash's page was there
  };

  // ---------------------------------------------------------------- the socket

  function connect() {
    clearTimeout(state.retryTimer);
    if (state.socket) {
      state.socket.onclose = null;
      state.socket.close();
    }
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    listen(new WebSocket(`${scheme}://${location.host}/live`), ask);
  }

  function listen(socket, onOpen) {
    socket.binaryType = "arraybuffer";
    state.socket = socket;
    state.heard = performance.now();
    socket.onopen = () => {
      state.retries = 0;
      onOpen();
    };
    socket.onmessage = ({ data }) =>
      typeof data === "string" ? take(JSON.parse(data)) : window.fleetgauge.takeFrame(data);
    socket.onclose = (event) => retry(event.reason || "the dashboard does not answer");
  }

  function retry(reason) {
    state.trouble = reason;
    showLiveness();
    const wait = RETRY_MS[Math.min(state.retries, RETRY_MS.length - 1)];
    state.retries += 1;
    clearTimeout(state.retryTimer);
    state.retryTimer = setTimeout(connect, wait * (0.8 + 0.4 * Math.random()));
  }

  function ask() {
    if (!state.wanted || !state.socket || state.socket.readyState !== WebSocket.OPEN) return;
    state.ask += 1;
    const frames = "DecompressionStream" in window;
    state.socket.send(JSON.stringify({ ...state.wanted, ask: state.ask, frames }));
  }

  function take(message) {
    const build = document.documentElement.dataset.build;
    if (message.build && build && message.build !== build) {
      location.reload();
      return;
    }
    if (message.ask !== state.ask) return; // of the page that was here before
    state.heard = performance.now();
    state.clockSkew_ms = message.now * 1000 - Date.now();
    state.asOf_s = message.as_of;
    state.trouble = message.trouble;
    const fresh = Object.entries(message.slots);
    for (const [name, properties] of fresh) put(name, properties);
    if (fresh.length) hideBlanks();
    if (document.getElementById("first")) {
      for (const [name, properties] of fresh) state.early.set(name, properties);
      if (fresh.length) document.dispatchEvent(new CustomEvent("fleetgauge-first"));
    }
    showLiveness();
    countAges();
  }

  function put(name, properties) {
    const slot = document.getElementById(name);
    if (!slot) return;
    if ("children" in properties) {
      window.fleetgauge.morph(slot, properties.children);
    } else if (properties.figure) {
      state.figures.set(name, properties.figure);
      drawSoon(name);
    } else {
      state.figures.delete(name); // there is nothing to draw
      delete slot.dataset.drawn;
    }
  }

  // Figures move by the second, charts by the step: drawing one costs what a hundred figures do.
  function drawSoon(name) {
    const wait = (state.drawn.get(name) ?? -CHART_MS_MIN) + CHART_MS_MIN - performance.now();
    if (wait <= 0) draw(name);
    else if (!state.toDraw.has(name)) state.toDraw.set(name, setTimeout(draw, wait, name));
  }

  function draw(name) {
    state.toDraw.delete(name);
    const slot = document.getElementById(name);
    const sent = state.figures.get(name);
    if (!slot || !sent || slot.closest("#first")) return; // Dash does not know that one
    state.drawn.set(name, performance.now());
    const figure = window.fleetgauge.dressed(sent);
    // Its place must be as tall as the figure: Plotly alone would let it run over what follows.
    const style = { height: `${figure.layout.height}px` };
    slot.dataset.drawn = "";
    window.dash_clientside.set_props(name, { figure, style });
  }

  // A heading with nothing below it, or an empty chart, says less than nothing.
  function hideBlanks() {
    for (const section of document.querySelectorAll("main .section")) {
      const parts = [...section.querySelectorAll(":scope > .section-body :is(.slot, .timeline)")];
      const isBlank = (part) => (part.matches(".timeline")
        ? !state.figures.has(part.id)
        : part.matches(".filled") && !part.hasChildNodes());
      section.hidden = parts.length > 0 && parts.every(isBlank);
    }
  }

  // A machine that slept, a tab that was in the background, a network that changed: look at once.
  function wake() {
    if (document.visibilityState !== "visible" || !state.wanted) return;
    if (!state.socket || state.socket.readyState > WebSocket.OPEN) connect();
  }

  function watch() {
    const silent = performance.now() - state.heard > SILENCE_MS_MAX;
    if (silent && state.socket && state.socket.readyState === WebSocket.OPEN) {
      retry("nothing comes from the dashboard any more");
      state.socket.onclose = null;
      state.socket.close();
    }
    showLiveness();
    countAges();
  }

  // ---------------------------------------------------------------- what is said about it

  function serverNow_s() {
    return (Date.now() + state.clockSkew_ms) / 1000;
  }

  function showLiveness() {
    const box = document.getElementById("live");
    const text = document.getElementById("live-text");
    const banner = document.getElementById("banner");
    if (!box || !text || !banner) return;
    const { written, zoneName } = window.fleetgauge;
    const clock = state.asOf_s === null ? null : `${written(state.asOf_s, "clock")} ${zoneName(state.asOf_s * 1000)}`;
    const late = state.asOf_s !== null && serverNow_s() - state.asOf_s > 5;
    const first = state.asOf_s === null && (state.trouble === "connecting" || state.trouble === "starting");
    const bad = (state.trouble && !first) || late;
    box.className = `live ${bad ? "dead" : first ? "waiting" : "good"}`;
    const age = state.asOf_s === null ? 0 : Math.max(0, serverNow_s() - state.asOf_s);
    const words = bad ? "not live" : first ? "connecting" : `live · ${age.toFixed(1)} s`;
    if (text.textContent !== words) text.textContent = words;
    document.documentElement.classList.toggle("not-live", Boolean(bad));
    const reason = state.trouble || "no fresh data";
    const told = !bad
      ? ""
      : `Not live: ${reason}. ` + (clock ? `Data as of ${clock}.` : "Nothing was read yet.");
    if (banner.textContent !== told) banner.textContent = told;
  }

  function countAges() {
    const now = serverNow_s();
    window.fleetgauge.writeTimes();
    for (const element of document.querySelectorAll("[data-since]")) {
      const age = Math.max(0, now - Number(element.dataset.since));
      const words = duration(age);
      if (element.textContent !== words) element.textContent = words;
      if (element.dataset.limit) {
        element.classList.toggle("stale", age > Number(element.dataset.limit));
      }
    }
  }

  function duration(seconds) {
    if (seconds < 9.95) return `${seconds.toFixed(1)}\u202fs`;
    if (seconds < 60) return `${Math.round(seconds)}\u202fs`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes}\u202fm`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return `${hours}\u202fh ${minutes % 60}\u202fm`;
    return `${Math.floor(hours / 24)}\u202fd ${hours % 24}\u202fh`;
  }

  // ---------------------------------------------------------------- pages come

  function welcome(view) {
    state.wanted = view;
    window.fleetgauge.markNavigation(view);
    window.fleetgauge.addSearch();
  }

  // The page as it came with the document.
  function showFirst() {
    const first = document.getElementById("first");
    if (!first) return;
    welcome({ path: first.dataset.path, search: first.dataset.search });
    const { socket, heard } = window.fleetgauge.line; // `early.js` has asked already
    if (socket.readyState > WebSocket.OPEN) return void connect();
    state.ask = 1;
    const opened = socket.onopen;
    listen(socket, opened);
    for (const event of heard) socket.onmessage(event);
  }

  // Dash has made the page: it takes the first one's place, with all that had come for that.
  function replaceFirst(first, view) {
    const search = document.getElementById("search");
    const isTyping = document.activeElement === search;
    first.remove();
    welcome(view);
    document.getElementById("search-box")?.replaceChildren(search);
    if (isTyping) search.focus();
    const came = [...state.early];
    for (const [name, properties] of came) if ("children" in properties) put(name, properties);
    if (came.length) hideBlanks();
    state.early.clear();
    // Dash takes no properties while it is in the middle of this callback.
    setTimeout(() => [...state.figures.keys()].forEach(draw), 0);
    showLiveness();
    countAges();
  }

  Object.assign(window.dash_clientside.fleetgauge, {
    // Called by Dash when a page's marker is there, which is when its slots are.
    subscribe(view) {
      if (!view) return window.dash_clientside.no_update;
      const first = document.getElementById("first");
      if (first && first.dataset.path === view.path && first.dataset.search === view.search) {
        replaceFirst(first, view);
        return view;
      }
      first?.remove();
      state.figures.clear();
      state.drawn.clear();
      state.early.clear();
      welcome(view);
      if (state.socket) ask();
      else connect();
      return view;
    },
  });
  Object.assign(window.fleetgauge, { serverNow_s, duration, showFirst, state });

  document.addEventListener("visibilitychange", wake);
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", wake);
  setInterval(watch, 500);
})();
