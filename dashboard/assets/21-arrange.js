// Where each cell of a mosaic lies: racks as rectangles, facilities as runs of racks.
//
// Owns this geometry, in pixels of the screen; what is painted there is 21-mosaic.js's. The larger a
// cell the better, so the width is to be filled: small cells may be a pixel wider than high, and
// what width is still left goes between racks and between facilities.
(() => {
  "use strict";

  const SIZE_MAX = 15;
  const SIZE_MAX_FEW = 44; // where there are so few that each may be a tile
  const FEW = 24;
  const GROWTH_MAX = 1.4; // a mosaic may be so much taller than asked for, if its cells grow by it
  const TALLER_MAX = 16; // then no height makes it fit
  const SQUARE_FROM = 4; // textures, which tell states apart, are drawn in squares

  // Cut each rack into pieces no taller than `rows_max` hosts; absent accelerators come last. Calls
  // `each` with columns, rows, first cell, and the rack; returns the cell after the last.
  function cut(group, start, rows_max, each) {
    let cell = start;
    for (const rack of group.racks) {
      const [, , hosts, width] = rack;
      for (let row = 0; row < hosts; row += rows_max) {
        const rows = Math.min(rows_max, hosts - row);
        each(width, rows, cell, rack, row);
        cell += rows * width;
      }
    }
    const width = group.racks[0]?.[3] || 8;
    const typical = Math.max(1, Math.min(rows_max, group.racks[0]?.[2] || 4));
    for (let missing = group.absent; missing > 0;) {
      const rows = Math.min(typical, Math.ceil(missing / width));
      each(width, rows, -1, null, Math.min(missing, rows * width));
      missing -= rows * width;
    }
    return cell;
  }

  function piece(cell, x, y, cols, rows, start, rack, count) {
    const place = { x, y, cols, rows, start, wide: cell.wide, high: cell.high };
    return rack ? { ...place, rack: rack[1], absent: false } : { ...place, absent: true, count };
  }

  const gapOf = ({ high }, scale) => (high >= 3 * scale ? Math.round(2 * scale) : Math.max(1, Math.round(scale / 2)));

  // Facilities side by side, each a run of columns of racks: fills a given height. Without `placed`,
  // to which pieces are added, it is but measured.
  function layBand(layout, height, cell, scale, placed, rackGap = gapOf(cell, scale), groupGap = Math.round(14 * scale)) {
    const labels = [];
    let x = 0;
    let start = 0;
    let bottom = 0;
    for (const group of layout.groups) {
      let y = 0;
      let columnWidth = 0;
      let left = x;
      start = cut(group, start, Math.max(1, Math.floor(height / cell.high)), (cols, rows, first, rack, count) => {
        const tall = rows * cell.high;
        if (y > 0 && y + tall > height) {
          left += columnWidth + rackGap;
          y = 0;
          columnWidth = 0;
        }
        if (placed) placed.push(piece(cell, left, y, cols, rows, first, rack, count));
        y += tall + rackGap;
        bottom = Math.max(bottom, y - rackGap);
        columnWidth = Math.max(columnWidth, cols * cell.wide);
      });
      labels.push({ text: group.label, x, width: left + columnWidth - x + groupGap - Math.round(6 * scale) });
      x = left + columnWidth + groupGap;
    }
    return { placed, labels, width: x - groupGap, height: bottom };
  }

  // Racks in reading order, each with its name above: takes the height it needs.
  function layRacks(layout, width, cell, scale, placed) {
    const labelled = cell.high >= 5 * scale;
    const gapX = Math.round((labelled ? 10 : 3) * scale);
    const gapY = Math.round((labelled ? 8 : 3) * scale);
    const head = labelled ? Math.round(15 * scale) : 0;
    const labels = [];
    let x = 0;
    let y = head;
    let lineHeight = 0;
    let start = 0;
    for (const group of layout.groups) {
      start = cut(group, start, 24, (cols, rows, first, rack, row) => {
        const wide = cols * cell.wide;
        if (x > 0 && x + wide > width) {
          x = 0;
          y += lineHeight + gapY + head;
          lineHeight = 0;
        }
        if (placed && labelled && rack && row === 0) {
          labels.push({ text: rack[0].split(" / ").pop(), x, y: y - head, width: wide + gapX - 2 });
        }
        if (placed) placed.push(piece(cell, x, y, cols, rows, first, rack, row));
        x += wide + gapX;
        lineHeight = Math.max(lineHeight, rows * cell.high);
      });
    }
    return { placed, labels, width, height: y + lineHeight };
  }

  // From the largest down.
  function cellsUpTo(largest) {
    const cells = [];
    for (let size = largest; size >= 1; size -= 1) {
      if (size < SQUARE_FROM && size < largest) cells.push({ wide: size + 1, high: size });
      cells.push({ wide: size, high: size });
    }
    return cells;
  }

  // One cell more takes a little more height, and may fill the width that was left.
  function enlarged(layout, width, wanted, from, cell, scale, growth) {
    for (let height = from; height <= wanted * growth; height = Math.round(height * 1.05)) {
      if (layBand(layout, height, cell, scale).width <= width) return { cell, height };
    }
    return null;
  }

  // What is left of the width goes between racks, then saves height, then goes between facilities.
  function spread(layout, width, height, cell, scale) {
    const fits = (tall, gap) => layBand(layout, tall, cell, scale, null, gap).width <= width;
    const least = gapOf(cell, scale);
    let rackGap = Math.max(least, Math.round(2 * scale));
    while (rackGap > least && !fits(height, rackGap)) rackGap -= 1;
    let low = 1;
    let high = height;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (fits(middle, rackGap)) high = middle;
      else low = middle + 1;
    }
    const measured = layBand(layout, high, cell, scale, null, rackGap);
    const between = layout.groups.length - 1;
    const more = between ? Math.floor((width - measured.width) / between) : 0;
    return layBand(layout, high, cell, scale, [], rackGap, Math.round(14 * scale) + Math.max(0, more));
  }

  // The largest cells with which everything fits a width and about a height, in pixels of the screen.
  function arrange(layout, { mode, width, height: wantedHeight, head, scale, growth = GROWTH_MAX }) {
    const count = layout.groups.reduce((sum, group) => group.racks.reduce(
      (inner, [, , hosts, wide]) => inner + hosts * wide, sum + group.absent), 0);
    const cells = cellsUpTo(Math.round((count <= FEW ? SIZE_MAX_FEW : SIZE_MAX) * scale));
    const inLines = () => {
      const fits = (cell) => layRacks(layout, width, cell, scale).height <= wantedHeight;
      return { ...layRacks(layout, width, cells.find(fits) || cells.at(-1), scale, []), head: 0 };
    };
    if (mode === "racks") return inLines();
    const wanted = Math.max(1, wantedHeight - head);
    for (let height = wanted; height < wanted * TALLER_MAX; height = Math.round(height * 1.25) + 1) {
      const at = cells.findIndex((cell) => layBand(layout, height, cell, scale).width <= width);
      if (at < 0) continue;
      if (at === 0) return { ...layBand(layout, height, cells[0], scale, []), head };
      const chosen = enlarged(layout, width, wanted, height, cells[at - 1], scale, growth)
        || { cell: cells[at], height };
      return { ...spread(layout, width, chosen.height, chosen.cell, scale), head };
    }
    return inLines(); // more facilities than stand side by side
  }

  Object.assign(window.fleetgauge, { arrange });
})();
