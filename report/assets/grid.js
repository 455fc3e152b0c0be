// SPDX-License-Identifier: MIT
// Rows by columns of coloured cells, as many as there are: only what can be seen is drawn. A pointer looks at a cell, arrow keys move over
// them, a click or Enter pins one, Escape lets go.
{
  const kFont = '12px system-ui, sans-serif', kPad = 6, kWideLabel = 40, kNarrowLabel = 12, kTiny = 8;
  const kMostHeaderHeight = 104, kMostLabelWidth = 150, kFade = 28;

  /** Text truncated to a width, with an ellipsis at the end. Remembers, since cells are drawn again at every step of a scroll. */
  class Clipper {
    constructor(context) { this.context = context; this.known = new Map(); }
    clip(text, width) {
      const key = `${Math.round(width)}:${text}`;
      let cut = this.known.get(key);
      if (cut === undefined) this.known.set(key, cut = this.measure(text, width));
      return cut;
    }
    measure(text, width) {
      if (this.context.measureText(text).width <= width) return text;
      const letters = Array.from(text);
      let low = 0, high = letters.length;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.context.measureText(letters.slice(0, middle).join('') + '…').width <= width) low = middle;
        else high = middle - 1;
      }
      return low > 0 ? letters.slice(0, low).join('') + '…' : '';
    }
  }

  class Grid {
    constructor(options) {
      Object.assign(this, {above: null, below: null, text: null, mark: null, tip: null, borders: [], minWidth: 12, maxWidth: 44, cellHeight: null, corner: ['', ''],
                           onShow: () => {}, onPin: () => {}}, options);
      this.active = {row: 0, column: 0};
      this.pinned = this.hovered = null;
      this.chosen = false;  // details are about the active cell
      this.canvas = V.el('canvas', {});
      this.space = V.el('div', {class: 'space'}, this.canvas);
      const cell = V.id('cell');
      this.spoken = V.el('div', {role: 'gridcell', id: cell});
      this.spokenRow = V.el('div', {role: 'row', class: 'hidden'}, this.spoken);
      this.box = V.el('div', {class: 'grid', role: 'grid', tabindex: 0, 'aria-label': `${this.label}. Arrow keys move, Enter pins, Escape lets go.`,
                              'aria-rowcount': this.rows.length, 'aria-colcount': this.columnCount, 'aria-activedescendant': cell}, this.spokenRow, this.space);
      this.prints = V.el('div', {class: 'prints'});
      this.element = V.el('div', {class: 'grid-frame'}, this.box, this.prints);
      this.clipper = new Clipper(this.canvas.getContext('2d'));
      this.listen();
      this.speak();
    }
    get columnCount() { return (this.above ?? this.below ?? this.columns).length; }

    listen() {
      const {box} = this;
      new ResizeObserver(() => this.layout()).observe(this.element);
      V.onTheme(() => { if (this.element.isConnected) V.printing ? this.print() : this.redraw(); });
      box.addEventListener('scroll', () => this.later(), {passive: true});
      box.addEventListener('pointermove', event => { if (event.pointerType !== 'touch') this.hover(this.cellAt(event), event); });
      box.addEventListener('pointerleave', () => this.hover(null));
      box.addEventListener('click', event => { const cell = this.cellAt(event); if (cell) this.pin(cell); });
      box.addEventListener('keydown', event => this.key(event));
      box.addEventListener('focus', () => this.later());
      box.addEventListener('blur', () => { V.hideTip(); this.later(); });
    }

    /** What details are about: what the pointer is on, else what is pinned, else where the keys are. */
    get shown() { return this.hovered ?? this.active; }

    hover(cell, event) {
      const same = cell && this.hovered && cell.row === this.hovered.row && cell.column === this.hovered.column;
      if (!cell && !this.hovered) return;
      const left = !cell;
      this.hovered = cell;
      if (cell && this.tip) V.showTip(event.clientX, event.clientY, this.tip(cell.row, cell.column));
      if (left) V.hideTip();
      if (same) return;
      if (left && this.pinned) this.active = this.pinned;
      this.onShow(this.shown.row, this.shown.column, Boolean(this.pinned));
      this.later();
    }
    pin(cell) {
      this.active = this.pinned = cell;
      this.reveal();
      this.speak();
      this.onShow(cell.row, cell.column, true);
      this.onPin(cell.row, cell.column);
      this.later();
    }
    /** Without pinning. */
    moveTo(row, column) {
      this.chosen = true;
      this.active = {row, column};
      this.hovered = null;
      this.reveal();
      this.speak();
      this.onShow(row, column, Boolean(this.pinned));
      this.later();
    }
    key(event) {
      const {row, column} = this.active, lastRow = this.rows.length - 1, lastColumn = this.columnCount - 1, far = event.ctrlKey || event.metaKey;
      const to = {ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
                  PageUp: [row - 10, column], PageDown: [row + 10, column], Home: [far ? 0 : row, 0], End: [far ? lastRow : row, lastColumn]}[event.key];
      if (to) this.moveTo(Math.min(Math.max(to[0], 0), lastRow), Math.min(Math.max(to[1], 0), lastColumn));
      else if (event.key === 'Enter' || event.key === ' ') this.pin({...this.active});
      else if (event.key === 'Escape') { this.pinned = null; this.moveTo(row, column); }
      else return;
      event.preventDefault();
    }
    speak() {
      const {row, column} = this.active;
      this.spokenRow.setAttribute('aria-rowindex', row + 1);
      this.spoken.setAttribute('aria-colindex', column + 1);
      this.spoken.setAttribute('aria-selected', String(Boolean(this.pinned && this.pinned.row === row && this.pinned.column === column)));
      this.spoken.textContent = this.describe(row, column);
    }

    // --- geometry

    headerHeight(labels) {
      if (!labels) return 0;
      if (this.cellWidth >= kWideLabel) return 22;
      const context = this.canvas.getContext('2d');
      let longest = 0;
      for (const text of labels) longest = Math.max(longest, context.measureText(text).width);
      return Math.min(kMostHeaderHeight, longest) + 2 * kPad;
    }
    layout() {
      const width = this.element.clientWidth;
      if (width === 0) return;
      const context = this.canvas.getContext('2d');
      context.font = kFont;
      const labels = [...this.rows, ...this.corner];
      this.labelWidth = Math.min(kMostLabelWidth, width * 0.4, Math.max(...labels.map(text => context.measureText(text).width)) + 2 * kPad);
      this.cellWidth = Math.min(this.maxWidth, Math.max(this.minWidth, (width - 2 - this.labelWidth) / this.columnCount));
      this.rowHeight = this.cellHeight ?? Math.max(Math.min(this.cellWidth, 28), Math.min(this.minWidth, 28));
      this.topHeight = this.headerHeight(this.above);
      this.bottomHeight = this.headerHeight(this.below);
      const full = {width: this.labelWidth + this.cellWidth * this.columnCount, height: this.topHeight + this.rowHeight * this.rows.length + this.bottomHeight};
      const scrolls = full.width > width - 2 ? 16 : 0;
      this.box.style.height = `${Math.min(full.height + scrolls + 2, Math.max(260, innerHeight * 0.72))}px`;
      this.box.style.width = `${Math.min(full.width + 2 + (full.height > innerHeight * 0.72 ? 16 : 0), width)}px`;
      this.space.style.width = `${full.width}px`;
      this.space.style.height = `${full.height}px`;
      if (width !== this.laidOutFor) this.reveal();
      this.laidOutFor = width;
      this.redraw();
    }
    cellAt(event) {
      const at = this.canvas.getBoundingClientRect(), x = event.clientX - at.left, y = event.clientY - at.top;
      if (x < this.labelWidth || y < this.topHeight || y > this.belowAt(this.box.clientHeight, this.box.scrollTop)) return null;
      const column = Math.floor((x - this.labelWidth + this.box.scrollLeft) / this.cellWidth), row = Math.floor((y - this.topHeight + this.box.scrollTop) / this.rowHeight);
      return row >= 0 && row < this.rows.length && column >= 0 && column < this.columnCount ? {row, column} : null;
    }
    /** Where a cell is on the screen. */
    rectOf(row, column) {
      const at = this.canvas.getBoundingClientRect();
      return {left: at.left + this.labelWidth + column * this.cellWidth - this.box.scrollLeft, top: at.top + this.topHeight + row * this.rowHeight - this.box.scrollTop,
              width: this.cellWidth, height: this.rowHeight};
    }
    reveal() {
      if (!this.cellWidth) return;  // layout() does it
      const {row, column} = this.active, {box} = this, x = column * this.cellWidth, y = row * this.rowHeight;
      const across = box.clientWidth - this.labelWidth - this.cellWidth, down = box.clientHeight - this.topHeight - this.bottomHeight - this.rowHeight;
      if (x < box.scrollLeft) box.scrollLeft = x;
      else if (x > box.scrollLeft + across) box.scrollLeft = x - across;
      if (y < box.scrollTop) box.scrollTop = y;
      else if (y > box.scrollTop + down) box.scrollTop = y - down;
    }

    // --- drawing

    /** What cells show has changed. */
    redraw() {
      this.bitmap = null;
      this.speak();
      this.later();
    }
    later() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.draw(); });
    }
    draw() {
      const {box, canvas} = this;
      if (!this.cellWidth || !box.isConnected) return;
      const width = box.clientWidth, height = box.clientHeight, scale = devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
      }
      const context = canvas.getContext('2d');
      context.setTransform(scale, 0, 0, scale, 0, 0);
      this.paint(context, width, height, box.scrollLeft, box.scrollTop);
      this.fade(context, width, height);
      this.outline(context, width, height);
    }
    /** A window of width x height onto the picture, at (left, top). */
    paint(context, width, height, left, top) {
      const {labelWidth, topHeight, bottomHeight, cellWidth, rowHeight} = this;
      const from = Math.floor(left / cellWidth), to = Math.min(this.columnCount, Math.ceil((left + width - labelWidth) / cellWidth));
      const first = Math.floor(top / rowHeight), last = Math.min(this.rows.length, Math.ceil((top + height - topHeight - bottomHeight) / rowHeight));
      context.font = kFont;
      context.textBaseline = 'middle';
      context.fillStyle = V.color.page('surface');
      context.fillRect(0, 0, width, height);
      context.save();
      context.beginPath();
      context.rect(labelWidth, topHeight, width - labelWidth, height - topHeight - bottomHeight);
      context.clip();
      if (cellWidth < kTiny || rowHeight < kTiny) this.paintTiny(context, left, top);
      else for (let row = first; row < last; ++row) for (let column = from; column < to; ++column) {
        this.paintCell(context, row, column, labelWidth + column * cellWidth - left, topHeight + row * rowHeight - top);
      }
      context.fillStyle = V.color.page('ink');
      for (const column of this.borders) context.fillRect(labelWidth + column * cellWidth - left - 1.5, topHeight, 2, this.rows.length * rowHeight);
      context.restore();
      context.fillStyle = V.color.page('muted');
      this.paintRows(context, first, last, height, top);
      if (this.above) this.paintColumns(context, this.above, this.corner[0], 0, topHeight, from, to, width, left, true);
      if (this.below) this.paintColumns(context, this.below, this.corner[1], this.belowAt(height, top), bottomHeight, from, to, width, left, false);
    }
    /** Edges past which the picture goes on. */
    fade(context, width, height) {
      const {box, labelWidth, topHeight} = this, bottom = this.belowAt(height, box.scrollTop);
      const surface = V.color.page('surface'), [right, below] = [box.scrollWidth - width - box.scrollLeft, box.scrollHeight - height - box.scrollTop];
      const edge = (there, x, y, dx, dy, w, h) => {
        if (there < 1) return;
        const gradient = context.createLinearGradient(x, y, x + dx, y + dy);
        gradient.addColorStop(0, surface);
        gradient.addColorStop(1, `${surface}00`);
        context.fillStyle = gradient;
        context.fillRect(Math.min(x, x + dx), Math.min(y, y + dy), w, h);
      };
      edge(box.scrollLeft, labelWidth, 0, kFade, 0, kFade, height);
      edge(right, width, 0, -kFade, 0, kFade, height);
      edge(box.scrollTop, labelWidth, topHeight, 0, kFade, width, kFade);
      edge(below, labelWidth, bottom, 0, -kFade, width, kFade);
    }
    /** Below the last row, or at the lower edge while there are more rows. */
    belowAt(height, top) { return Math.min(height - this.bottomHeight, this.topHeight + this.rows.length * this.rowHeight - top); }
    paintCell(context, row, column, x, y) {
      const {cellWidth, rowHeight} = this, rgb = this.color(row, column);
      if (!rgb) return;
      context.fillStyle = V.color.css(rgb);
      context.fillRect(x, y, cellWidth - 1, rowHeight - 1);
      const text = this.text && cellWidth >= 24 && rowHeight >= 16 ? this.text(row, column) : '';
      const marked = this.mark && this.mark(row, column);
      if (!text && !marked) return;
      context.fillStyle = V.color.on(rgb);
      if (text) {
        context.textAlign = 'center';
        context.fillText(this.clipper.clip(text, cellWidth - 7), x + (cellWidth - 1) / 2, y + rowHeight / 2);
      }
      if (marked) {
        context.beginPath();
        context.arc(x + cellWidth - 6, y + 5, 2, 0, 2 * Math.PI);
        context.fill();
      }
    }
    /** A pixel a cell, made once and then stretched. */
    paintTiny(context, left, top) {
      if (!this.bitmap) {
        this.bitmap = V.el('canvas', {width: this.columnCount, height: this.rows.length});
        const pixels = this.bitmap.getContext('2d').createImageData(this.columnCount, this.rows.length);
        for (let row = 0, at = 0; row < this.rows.length; ++row) for (let column = 0; column < this.columnCount; ++column, at += 4) {
          const rgb = this.color(row, column);
          if (rgb) pixels.data.set([...rgb, 255], at);
        }
        this.bitmap.getContext('2d').putImageData(pixels, 0, 0);
      }
      context.imageSmoothingEnabled = false;
      context.drawImage(this.bitmap, this.labelWidth - left, this.topHeight - top, this.columnCount * this.cellWidth, this.rows.length * this.rowHeight);
    }
    paintRows(context, first, last, height, top) {
      const step = Math.ceil(kNarrowLabel / this.rowHeight);
      context.save();
      context.beginPath();
      context.rect(0, this.topHeight, this.labelWidth, height - this.topHeight - this.bottomHeight);
      context.clip();
      context.textAlign = 'right';
      for (let row = first - first % step; row < last; row += step) {
        context.fillText(this.clipper.clip(this.rows[row], this.labelWidth - 2 * kPad), this.labelWidth - kPad, this.topHeight + (row + Math.min(step, 1) / 2) * this.rowHeight - top);
      }
      context.restore();
    }
    paintColumns(context, labels, name, y, height, from, to, width, left, up) {
      const {labelWidth, cellWidth} = this, step = Math.ceil(kNarrowLabel / cellWidth);
      context.textAlign = 'right';
      context.fillText(this.clipper.clip(name, labelWidth - 2 * kPad), labelWidth - kPad, up ? y + height - 11 : y + 11);
      context.save();
      context.beginPath();
      context.rect(labelWidth, y, width - labelWidth, height);
      context.clip();
      for (let column = from - from % step; column < to; column += step) {
        const x = labelWidth + (column + 0.5) * cellWidth - left;
        if (cellWidth >= kWideLabel) {
          context.textAlign = 'center';
          context.fillText(this.clipper.clip(labels[column], cellWidth - 4), x, y + height / 2);
        } else {
          context.save();
          context.translate(x, up ? y + height - kPad : y + kPad);
          context.rotate(-Math.PI / 2);
          context.textAlign = up ? 'left' : 'right';
          context.fillText(this.clipper.clip(labels[column], height - 2 * kPad + 2), 0, 0);
          context.restore();
        }
      }
      context.restore();
    }
    outline(context, width, height) {
      const around = (cell, style, line) => {
        context.strokeStyle = style;
        context.lineWidth = line;
        context.strokeRect(this.labelWidth + cell.column * this.cellWidth - this.box.scrollLeft + line / 2 - 1, this.topHeight + cell.row * this.rowHeight - this.box.scrollTop + line / 2 - 1,
                           this.cellWidth + 1 - line, this.rowHeight + 1 - line);
      };
      context.save();
      context.beginPath();
      context.rect(this.labelWidth - 1, this.topHeight - 1, width, height - this.topHeight - this.bottomHeight + 2);
      context.clip();
      if (this.hovered) around(this.hovered, V.color.page('ink'), 1.5);
      const focused = this.pinned || document.activeElement === this.box;
      if (focused || this.chosen) around(this.active, V.color.page('focus'), focused ? 2.5 : 1.5);
      if (this.pinned) around(this.pinned, V.color.page('focus'), 2.5);
      context.restore();
    }

    /** On paper nothing scrolls: the picture in pieces that fit a page. */
    print() {
      const kWidth = 680, kHeight = 860, kMostPieces = 40, pieces = [];
      this.bitmap = null;
      const columns = Math.max(1, Math.floor((kWidth - this.labelWidth) / this.cellWidth)), rows = Math.max(1, Math.floor((kHeight - this.topHeight - this.bottomHeight) / this.rowHeight));
      for (let row = 0; row < this.rows.length; row += rows) for (let column = 0; column < this.columnCount; column += columns) {
        if (pieces.length >= kMostPieces) continue;
        const width = this.labelWidth + Math.min(columns, this.columnCount - column) * this.cellWidth;
        const height = this.topHeight + Math.min(rows, this.rows.length - row) * this.rowHeight + this.bottomHeight;
        const canvas = V.el('canvas', {width: Math.ceil(2 * width), height: Math.ceil(2 * height), style: `width: ${width}px; height: ${height}px`});
        const context = canvas.getContext('2d');
        context.scale(2, 2);
        this.paint(context, width, height, column * this.cellWidth, row * this.rowHeight);
        pieces.push(canvas);
      }
      const all = Math.ceil(this.rows.length / rows) * Math.ceil(this.columnCount / columns);
      V.replace(this.prints, pieces, all > pieces.length ? V.el('p', {class: 'note'}, `The first ${pieces.length} of ${all} pieces; the page on a screen has all.`) : null);
    }
  }

  /**
   * {label, rows: [text], columns or above or below: [text], color(row, column) -> [r, g, b] or null, describe(row, column) -> text, text(row, column),
   * mark(row, column), tip(row, column) -> nodes, onShow(row, column, pinned), onPin(row, column), minWidth, maxWidth, cellHeight, corner: [above, below],
   * borders: columns with a line before them}
   */
  V.grid = options => {
    const grid = new Grid(options);
    grid.element.grid = grid;
    return grid;
  };
}
