// The page around the live parts: theme, colours by name, navigation, zoom, keyboard.
//
// Owns `window.fleetgauge`, to which the other files add what they offer to each other.
(() => {
  "use strict";

  window.fleetgauge = { figures: new Map() };

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  }

  // Figures name their colours (`@busy`); the style sheet has the values for both themes.
  function tinted(part) {
    if (typeof part === "string") {
      if (part[0] === "@") return colour(part.slice(1)) || part;
      return part.includes("color:@") ? part.replace(/@([a-z-]+)/g, (_, name) => colour(name)) : part;
    }
    if (Array.isArray(part)) return part.length && typeof part[0] === "number" ? part : part.map(tinted);
    if (part && typeof part === "object") {
      return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, tinted(value)]));
    }
    return part;
  }

  function restyle() {
    for (const [name, figure] of window.fleetgauge.figures) {
      if (document.getElementById(name)) {
        window.dash_clientside.set_props(name, { figure: tinted(figure) });
      }
    }
    document.dispatchEvent(new CustomEvent("fleetgauge-restyle"));
  }

  function nextTheme() {
    const root = document.documentElement;
    const order = [undefined, "light", "dark"];
    const next = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("fleetgauge-theme", next);
      else localStorage.removeItem("fleetgauge-theme");
    } catch {
      // Forbidden storage: the choice then lasts as long as the page.
    }
    document.getElementById("theme").title = `Theme: ${next || "automatic"}`;
    restyle();
  }

  function go(href) {
    history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  // Links of the navigation keep the time range, and say which page this is.
  function markNavigation(view) {
    const kept = new URLSearchParams();
    for (const [key, value] of new URLSearchParams(view.search)) {
      if (["range", "from", "to", "facility"].includes(key)) kept.set(key, value);
    }
    for (const link of document.querySelectorAll("#nav a")) {
      const path = new URL(link.href).pathname;
      if (path === view.path) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      const own = new URLSearchParams(kept);
      if (path === "/") own.delete("facility");
      const query = own.toString();
      window.dash_clientside.set_props(link.id, { href: path + (query ? `?${query}` : "") });
    }
  }

  // The search box is ours alone: a framework's echo of what was typed a moment ago disturbs typing.
  const searching = { timer: null, asked: 0 };

  function addSearch() {
    const box = document.getElementById("search-box");
    if (!box || box.firstChild) return;
    const input = document.createElement("input");
    Object.assign(input, { id: "search", type: "search", autocomplete: "off", maxLength: 80 });
    input.placeholder = "host, GPU UUID, serial, rack …";
    input.setAttribute("aria-label", "Search");
    input.addEventListener("input", () => {
      clearTimeout(searching.timer);
      searching.timer = setTimeout(() => find(input.value), 120);
    });
    box.append(input);
  }

  async function find(words) {
    searching.asked += 1;
    const mine = searching.asked;
    const answer = await fetch(`/find?${new URLSearchParams({ q: words })}`);
    if (!answer.ok || mine !== searching.asked) return;
    window.fleetgauge.morph(document.getElementById("found"), (await answer.json()).children);
  }

  function onKey(event) {
    const search = document.getElementById("search");
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName || "");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      search?.focus();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.blur();
    } else if (event.key === "Enter" && document.activeElement === search) {
      const first = document.querySelector("#found a");
      if (first) {
        event.preventDefault();
        first.click();
        search.blur();
      }
    } else if (event.key === "ArrowDown" && document.activeElement === search) {
      event.preventDefault();
      document.querySelector("#found a")?.focus();
    }
  }

  function onClick(event) {
    if (event.target.closest?.("#theme")) nextTheme();
    const link = event.target.closest?.(".slot a[href^='/']");
    const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
    if (link && plain && !event.defaultPrevented && !link.target && !link.hasAttribute("download")) {
      event.preventDefault();
      go(link.getAttribute("href"));
    }
    if (event.target.closest?.("#found a")) document.activeElement.blur();
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.fleetgauge = {
    // A range drawn on a time chart becomes the page's range, and so part of its address.
    zoom(moved) {
      const from = moved && moved["xaxis.range[0]"];
      const to = moved && moved["xaxis.range[1]"];
      if (!from || !to) return window.dash_clientside.no_update;
      const query = new URLSearchParams(location.search);
      const seconds = (text) => String(Math.round(Date.parse(`${String(text).replace(" ", "T")}Z`) / 1000));
      query.delete("range");
      query.set("from", seconds(from));
      query.set("to", seconds(to));
      go(`${location.pathname}?${query}`);
      return window.dash_clientside.no_update;
    },
  };
  Object.assign(window.fleetgauge, { addSearch, colour, tinted, go, markNavigation });

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
})();
