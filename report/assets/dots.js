// SPDX-License-Identifier: MIT
// Dots in rows over a common axis, with zero as a line: a row for each group, a large dot with its error where a group has a mean. A pointer
// looks at the nearest dot, arrow keys move over them, a click or Enter pins one, Escape lets go.
{
  const kRow = 46, kTop = 22, kBottom = 44, kRight = 16, kMostDots = 5000;
  // Dots of a row keep apart by a fixed pattern: the same page every time.
  const spread = i => ((i * 0.618034) % 1 - 0.5) * 20;

  class Dots {
    constructor(options) {
      Object.assign(this, {zeroName: '', axisName: '', tip: null, partner: () => null, across: () => 0, onShow: () => {}}, options);
      this.pinned = this.hovered = null;
      this.box = V.el('div', {class: 'plot', role: 'group', tabindex: 0,
                              'aria-label': `${this.label}. Up and down move between rows, left and right between dots, Enter pins, Escape lets go.`});
      this.note = V.el('div', {});
      this.element = V.el('div', {}, this.box, this.note);
      this.set(this.rows);
      this.active = this.first();
      this.listen();
    }
    /** Other rows in place of these; who was looked at or pinned by row and place is still. */
    set(rows) {
      this.rows = rows;
      this.order = rows.map(({values}) => Array.from({length: Math.min(values.length, kMostDots)}, (_, i) => i).filter(i => Number.isFinite(values[i])).sort((a, b) => values[a] - values[b]));
      let low = 0, high = 0;
      rows.forEach(({values}, row) => { for (const i of this.order[row]) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); } });
      const room = (high - low) * 0.05 || 1;
      [this.low, this.high] = [low - room, high + room];
      V.replace(this.note, rows.some(({values}) => values.length > kMostDots) ? V.el('p', {class: 'note'}, `The first ${V.count(kMostDots)} of each row are drawn; the table has all.`) : null);
      this.draw();
    }
    first() {
      const row = Math.max(0, this.order.findIndex(order => order.length > 0));
      return {row, i: this.order[row]?.length ? Math.min(...this.order[row]) : 0};
    }
    /** What details are about: what the pointer is on, else where the keys are. */
    get shown() { return this.hovered ?? this.active; }

    listen() {
      const {box} = this;
      new ResizeObserver(() => this.draw()).observe(box);
      V.onTheme(() => { if (box.isConnected) this.draw(); });
      box.addEventListener('pointermove', event => { if (event.pointerType !== 'touch') this.hover(this.nearest(event), event); });
      box.addEventListener('pointerleave', () => this.hover(null));
      box.addEventListener('click', event => { const dot = this.nearest(event); if (dot) this.pin(dot); });
      box.addEventListener('keydown', event => this.key(event));
      box.addEventListener('blur', V.hideTip);
    }
    hover(dot, event = null) {
      if (!dot && !this.hovered) return;
      const same = dot && this.hovered && dot.row === this.hovered.row && dot.i === this.hovered.i;
      this.hovered = dot;
      if (!dot) {
        V.hideTip();
        if (this.pinned) this.active = this.pinned;
      } else if (event && this.tip) V.showTip(event.clientX, event.clientY, this.tip(dot));
      if (!same) this.tell();
    }
    pin(dot) {
      this.active = this.pinned = dot;
      this.tell();
    }
    /** Without pinning. */
    moveTo(dot) {
      this.hovered = null;
      this.active = dot;
      this.tell();
    }
    tell() {
      this.mark();
      this.onShow(this.shown, this.pinned !== null);
    }
    /** The next row up or down that has a dot. */
    vertical(step) {
      let row = this.active.row + step;
      while (this.order[row] && this.order[row].length === 0) row += step;
      if (!this.order[row]) return this.active;
      const i = this.across(this.active, row);
      return {row, i: this.order[row].includes(i) ? i : this.order[row][0]};
    }
    key(event) {
      const {row, i} = this.active, order = this.order[row] ?? [], place = order.indexOf(i), last = order.length - 1, along = to => ({row, i: order[Math.min(Math.max(to, 0), last)]});
      const to = {ArrowUp: () => this.vertical(-1), ArrowDown: () => this.vertical(1), ArrowLeft: () => along(place - 1), ArrowRight: () => along(place + 1), Home: () => along(0), End: () => along(last)}[event.key];
      if (to) { if (last >= 0) this.moveTo(to()); }
      else if (event.key === 'Enter' || event.key === ' ') this.pin(this.active);
      else if (event.key === 'Escape') { this.pinned = null; this.moveTo(this.active); }
      else return;
      event.preventDefault();
    }

    // --- geometry and drawing

    get left() { return Math.min(170, 14 + 7.4 * Math.max(...this.rows.map(row => row.name.length), 0)); }
    x(value) { return this.left + (value - this.low) / (this.high - this.low) * (this.width - this.left - kRight); }
    y(row) { return kTop + kRow * (row + 0.5); }
    /** [x, y] of a dot; null for one without a value. */
    place({row, i}) {
      const value = this.rows[row]?.values[i];
      return Number.isFinite(value) ? [this.x(value), this.y(row) + spread(i)] : null;
    }
    nearest(event) {
      const at = this.box.getBoundingClientRect(), px = event.clientX - at.left, py = event.clientY - at.top, row = Math.min(Math.max(Math.floor((py - kTop) / kRow), 0), this.rows.length - 1);
      let best = null, least = Infinity;
      for (const i of this.order[row] ?? []) {
        const [x, y] = this.place({row, i}), far = (x - px) ** 2 + (y - py) ** 2;
        if (far < least) { least = far; best = {row, i}; }
      }
      return best;
    }
    draw() {
      const {rows, box} = this, width = this.width = box.clientWidth, height = kTop + kRow * rows.length + kBottom, bottom = height - kBottom;
      if (width === 0) return;
      this.marks = V.svg('g', {});
      V.replace(box, V.svg('svg', {width, height, role: 'img', 'aria-label': this.label},
        V.ticks(this.low, this.high, Math.max(2, (width - this.left) / 90)).map(tick => [V.svg('line', {class: 'rule', x1: this.x(tick), x2: this.x(tick), y1: kTop, y2: bottom}), V.svg('text', {x: this.x(tick), y: bottom + 17, 'text-anchor': 'middle'}, (tick > 0 ? '+' : '') + V.tick(tick))]),
        V.svg('line', {class: 'mean', x1: this.x(0), x2: this.x(0), y1: kTop, y2: bottom}), V.svg('text', {x: this.x(0), y: kTop - 8, 'text-anchor': 'middle'}, this.zeroName),
        V.svg('text', {x: (this.left + width - kRight) / 2, y: height - 8, 'text-anchor': 'middle'}, this.axisName), rows.map((_, row) => this.drawRow(row)), this.marks));
      this.mark();
    }
    drawRow(row) {
      const {name, kind = 'draws', mean, error} = this.rows[row], shape = kind.includes('minus') ? V.squarePath : V.dotPath, y = this.y(row);
      const path = this.order[row].map(i => shape(...this.place({row, i}), kind === 'draws' ? 2.4 : 4)).join('');
      const parts = [V.svg('text', {class: 'row-name', x: this.left - 10, y, 'text-anchor': 'end', 'dominant-baseline': 'middle'}, name), V.svg('path', {class: kind, d: path})];
      if (!Number.isFinite(mean)) return parts;
      const x = this.x(mean), far = Math.abs(this.x(mean + error) - x);
      return [parts, V.svg('line', {class: 'error', x1: x - far, x2: x + far, y1: y, y2: y}), [-1, 1].map(side => V.svg('line', {class: 'error', x1: x + side * far, x2: x + side * far, y1: y - 6, y2: y + 6})), V.svg('circle', {class: 'mean-dot', cx: x, cy: y, r: 5.5})];
    }
    /** A ring around what is shown, and a line to what belongs to it. */
    mark() {
      if (!this.marks) return;
      const here = this.place(this.shown), partner = this.partner(this.shown), there = partner && this.place(partner);
      V.replace(this.marks, here && there ? V.svg('line', {class: 'hair', x1: here[0], y1: here[1], x2: there[0], y2: there[1]}) : null,
                [here, there].map((at, n) => at && V.svg('circle', {class: 'ring', cx: at[0], cy: at[1], r: n ? 5 : 7})));
    }
  }

  /**
   * {label, rows: [{name, values, kind: class of its dots, mean, error}], zeroName, axisName, tip({row, i}) -> nodes, partner({row, i}) -> the dot
   * that belongs to it or null, across({row, i}, row) -> which dot of another row keys go to, onShow({row, i}, pinned)}
   */
  V.dots = options => {
    const dots = new Dots(options);
    dots.element.dots = dots;
    return dots;
  };
}
