// Taking away what is on the page: a chart or a map as PNG, a table or a chart's series as CSV.
//
// Owns the two buttons of each section. What is longer than the page has a download of its own
// from the server (export.py), by the same rules for text that a spreadsheet would calculate.
(() => {
  "use strict";

  const FORMULA_STARTS = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;
  const NUMBER = /^-?\d+(\.\d+)?$/;

  function cell(value) {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (NUMBER.test(text)) return text;
    if (FORMULA_STARTS.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function csv(rows) {
    return new Blob(rows.map((row) => `${row.map(cell).join(",")}\r\n`), { type: "text/csv" });
  }

  const iso = (epoch_s) => new Date(Number(epoch_s) * 1000).toISOString();

  // What a cell says: times as times, marks by their names, and numbers as machines write them.
  function said(node) {
    if (node.nodeType === Node.TEXT_NODE) return node.data;
    if (node.dataset?.since) return ` ${iso(node.dataset.since)} `;
    if (node.dataset?.time) return ` ${iso(node.dataset.time)} `;
    if (!node.childNodes.length) return node.title ? ` ${node.title} ` : "";
    return ` ${[...node.childNodes].map(said).join("")} `;
  }

  function plain(node) {
    return said(node).replace(/(\d)\u202f(?=\d)/g, "$1").replace(/\u2212(?=\d)/g, "-").replace(/\s+/g, " ").replace("—", "").trim();
  }

  // A text of a chart as it is shown: tags are ours, and entities stand for what came from outside.
  const LITERAL = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&#123;": "{" };

  function shown(text) {
    return String(text).replace(/<[^>]*>/g, " ").replace(/&(amp|lt|gt|#123);/g, (entity) => LITERAL[entity]).trim();
  }

  function fromTable(table) {
    const rows = [...table.querySelectorAll("tr")];
    return rows.map((row) => [...row.children].map(plain));
  }

  // State timelines: a line a stretch.
  function fromLanes(plot) {
    const { offset_ms } = window.fleetgauge;
    const { tickvals, ticktext } = plot._fullLayout.yaxis;
    const names = new Map(tickvals.map((at, n) => [at, ticktext[n]]));
    const time = (at) => iso((at - offset_ms(at)) / 1000);
    const stretches = plot._fullData.flatMap((trace) => trace.base.map((base, n) => [
      shown(names.get(trace.y[n])).replaceAll("​", ""), trace.name, time(base), time(base + trace.x[n]),
      shown(trace.customdata[n]),
    ]));
    return [["subject", "state", "from", "to", "told"], ...stretches.sort((a, b) => (a[2] < b[2] ? -1 : 1))];
  }

  // One column a line, one row a time.
  function fromChart(plot) {
    if (plot._fullData.some((trace) => trace.base)) return fromLanes(plot);
    const lines = plot._fullData.filter((trace) => trace.type === "scatter" && trace.name && trace.hoverinfo !== "skip" && trace.mode === "lines");
    const drawn = lines.length ? lines : plot._fullData;
    const columns = drawn.map((trace) => {
      const times = trace.x || trace.y.map((_, n) => Number(trace.x0) + n * Number(trace.dx));
      // A stacked line is drawn lifted and a mark stands for what happened: their own values are beside.
      const values = Array.isArray(trace.customdata) && !Array.isArray(trace.customdata[0]) ? trace.customdata : trace.y;
      const axis = plot._fullLayout.annotations.find((note) => note.yref === "paper" && Math.abs(note.y - plot._fullLayout[trace.yaxis.replace("y", "yaxis")].domain[1]) < 1e-6);
      const panel = axis ? shown(axis.text).split(/\s{3,}/)[0].trim() : "";
      return { name: [panel, shown(trace.name)].filter(Boolean).join(": "), at: new Map(times.map((time, n) => [+new Date(time), values[n]])) };
    });
    const times = [...new Set(columns.flatMap(({ at }) => [...at.keys()]))].sort((a, b) => a - b);
    const shift = window.fleetgauge.offset_ms;
    return [
      ["time", ...columns.map(({ name }) => name)],
      ...times.map((time) => [new Date(time - shift(time)).toISOString(), ...columns.map(({ at }) => at.get(time))]),
    ];
  }

  async function pictureOfChart(plot) {
    const { colour } = window.fleetgauge;
    const layout = { ...plot.layout, paper_bgcolor: colour("bg"), plot_bgcolor: colour("bg") };
    const size = { width: plot.clientWidth, height: plot.clientHeight, scale: 2 };
    const address = await window.Plotly.toImage({ data: plot.data, layout }, { format: "png", ...size });
    // Not `fetch`: the page may connect to its own server only.
    const bytes = Uint8Array.from(atob(address.split(",")[1]), (letter) => letter.charCodeAt(0));
    return new Blob([bytes], { type: "image/png" });
  }

  function pictureOfCanvas(canvas, title) {
    const { colour, written, zoneName, serverNow_s } = window.fleetgauge;
    const scale = window.devicePixelRatio || 1;
    const edge = 14 * scale;
    const head = 26 * scale;
    const copy = document.createElement("canvas");
    copy.width = canvas.width + 2 * edge;
    copy.height = canvas.height + 2 * edge + head;
    const context = copy.getContext("2d");
    context.fillStyle = colour("bg");
    context.fillRect(0, 0, copy.width, copy.height);
    context.fillStyle = colour("text");
    context.font = `600 ${13 * scale}px Inter, system-ui, sans-serif`;
    context.textBaseline = "top";
    const at = JSON.parse(canvas.dataset.spec).at || serverNow_s();
    context.fillText(`${title} · ${written(at)} ${zoneName(at * 1000)}`, edge, edge);
    context.drawImage(canvas, edge, edge + head);
    return new Promise((resolve) => copy.toBlob(resolve, "image/png"));
  }

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  async function take(section, kind) {
    const title = section.querySelector("h2").textContent;
    const stamp = new Date().toISOString().replace(/[-:]/g, "").replace(/\.\d+/, "");
    const name = `${location.pathname.slice(1) || "fleet"} ${title}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
    const plot = section.querySelector(".js-plotly-plot");
    const canvas = section.querySelector("canvas.mosaic");
    const table = section.querySelector("table:not(.in-words table)");
    const page = document.querySelector("h1")?.textContent || "";
    let blob = null;
    if (kind === "csv") blob = csv(table ? fromTable(table) : fromChart(plot));
    else if (plot) blob = await pictureOfChart(plot);
    else blob = await pictureOfCanvas(canvas, [page, canvas.getAttribute("aria-label")].filter(Boolean).join(" · "));
    save(blob, `fleetgauge-${name}-${stamp}.${kind}`);
  }

  Object.assign(window.fleetgauge, { cell, plain });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-take]");
    if (button) take(button.closest(".section"), button.dataset.take);
  });
})();
