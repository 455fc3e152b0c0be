// SPDX-License-Identifier: MIT
// Lines over a common axis, and bars. Both are read with a pointer, with arrow keys, and as a table. Of lines a click or Enter pins a place,
// to which the reading comes back when the pointer leaves; Escape lets go.
{
  const kHeight = 260, kMargin = {left: 56, right: 16, top: 14, bottom: 40};

  const niceSteps = (low, high, wanted) => {
    const rough = (high - low) / wanted || 1, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map(times => times * power).find(each => each >= rough);
    const ticks = [];
    for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * step; tick += step) ticks.push(Math.abs(tick) < 1e-12 * step ? 0 : tick);
    return ticks;
  };
  V.ticks = niceSteps;
  /** Pieces of a path: a dot, a square around (x, y). */
  V.dotPath = (x, y, r) => `M${(x - r).toFixed(1)} ${y.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
  V.squarePath = (x, y, r) => `M${(x - r).toFixed(1)} ${(y - r).toFixed(1)}h${2 * r}v${2 * r}h${-2 * r}z`;
  const powers = (low, high) => {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low) + 1e-9); 10 ** power <= high * 1.0001; ++power) if (10 ** power >= low * 0.9999) ticks.push(10 ** power);
    return ticks;
  };

  /** The vertical axis: linear, or logarithmic with 1 on top (ranks). */
  const scaleOf = ({scale, low, high}) => scale === 'rank' ? {place: value => Math.log(value) / Math.log(Math.max(high, 2)), ticks: powers(1, high)}
                                                           : {place: value => 1 - (value - low) / (high - low || 1), ticks: niceSteps(low, high, 5)};

  class Lines {
    /** {label, x: [text], series: [{name, values, low, high, slot, faint}], scale: 'linear' | 'rank', range: [low, high], xName, yName, format, onShow(at)} */
    constructor(options) {
      Object.assign(this, {scale: 'linear', range: null, xName: '', yName: '', format: V.number, onShow: () => {}, marks: []}, options);
      this.at = this.x.length - 1;
      this.pinned = null;
      this.box = V.el('div', {class: 'plot', role: 'group', tabindex: 0, 'aria-label': `${this.label}. Left and right move, Enter pins, Escape lets go.`});
      this.read = V.el('div', {class: 'reading', 'aria-live': 'polite'});
      this.element = V.el('div', {}, this.box, this.read);
      new ResizeObserver(() => this.draw()).observe(this.element);
      V.onTheme(() => { if (this.element.isConnected) { this.draw(); this.say(); } });
      this.box.addEventListener('pointermove', event => this.show(this.nearest(event)));
      this.box.addEventListener('pointerleave', () => { if (this.pinned !== null && this.at !== this.pinned) this.show(this.pinned); });
      this.box.addEventListener('click', event => this.pin(this.nearest(event)));
      this.box.addEventListener('keydown', event => {
        const to = {ArrowLeft: this.at - 1, ArrowRight: this.at + 1, Home: 0, End: this.x.length - 1}[event.key];
        if (to !== undefined) this.show(Math.min(Math.max(to, 0), this.x.length - 1));
        else if (event.key === 'Enter' || event.key === ' ') this.pin(this.at);
        else if (event.key === 'Escape') this.pin(null);
        else return;
        event.preventDefault();
      });
      this.show(this.at);
    }
    set(options) {
      Object.assign(this, options);
      this.at = Math.min(this.at, this.x.length - 1);
      if (this.pinned >= this.x.length) this.pinned = null;
      this.draw();
      this.show(this.at);
    }
    nearest(event) {
      const at = this.box.getBoundingClientRect(), step = (at.width - kMargin.left - kMargin.right) / Math.max(this.x.length - 1, 1);
      return Math.min(Math.max(Math.round((event.clientX - at.left - kMargin.left) / step), 0), this.x.length - 1);
    }
    /** null: nothing. */
    pin(at) {
      this.pinned = at;
      this.draw();
      this.show(at ?? this.at);
    }
    show(at) {
      this.at = at;
      this.say();
      if (this.cursor) this.cursor.setAttribute('transform', `translate(${this.across(at)} 0)`);
      this.onShow(at);
    }
    say() {
      const {at} = this;
      V.replace(this.read, V.el('span', {class: 'where'}, `${this.xName} ${this.x[at]}`), this.series.map((line, i) => V.el(
          'span', {class: 'series'}, this.key(i), `${line.name} `, V.el('b', {}, this.format(line.values[at])),
          line.low ? V.el('span', {class: 'muted'}, ` (${this.format(line.low[at])} to ${this.format(line.high[at])})`) : null)));
    }
    key(i) { return V.key(this.slot(i), this.series[i].faint); }
    /** Which colour and dashes a line has: its own where it names one, else the next. */
    slot(i) { return this.series[i].slot ?? i; }
    colorOf(i) { return this.series[i].faint ? V.color.page('muted') : V.color.line(this.slot(i)); }
    across(i) { return kMargin.left + (this.x.length > 1 ? i / (this.x.length - 1) : 0.5) * (this.width - kMargin.left - kMargin.right); }

    bounds() {
      if (this.range) return this.range;
      let low = Infinity, high = -Infinity;
      for (const line of this.series) for (const values of [line.values, line.low ?? [], line.high ?? []]) for (const value of values) {
        if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
      }
      if (low > high) return [0, 1];
      const room = (high - low) * 0.05 || Math.abs(high) * 0.1 || 1;
      return this.scale === 'rank' ? [1, Math.max(high, 2)] : [low - room, high + room];
    }
    draw() {
      this.width = this.element.clientWidth;
      if (this.width === 0) return;
      const [low, high] = this.bounds(), {place, ticks} = scaleOf({scale: this.scale, low, high});
      const inside = kHeight - kMargin.top - kMargin.bottom, down = value => kMargin.top + place(value) * inside;
      const every = Math.ceil(this.x.length * 34 / Math.max(this.width - kMargin.left - kMargin.right, 1));
      this.cursor = V.svg('g', {transform: `translate(${this.across(this.at)} 0)`}, V.svg('line', {class: 'cursor', y1: kMargin.top, y2: kMargin.top + inside}));
      V.replace(this.box, V.svg('svg', {width: this.width, height: kHeight, role: 'img', 'aria-label': this.label},
        ticks.map(tick => [V.svg('line', {class: 'rule', x1: kMargin.left, x2: this.width - kMargin.right, y1: down(tick), y2: down(tick)}),
                           V.svg('text', {class: 'tick', x: kMargin.left - 6, y: down(tick), 'text-anchor': 'end', 'dominant-baseline': 'middle'}, this.scale === 'rank' ? V.count(tick) : V.tick(tick))]),
        this.x.map((text, i) => i % every ? null : V.svg('text', {class: 'tick', x: this.across(i), y: kHeight - kMargin.bottom + 16, 'text-anchor': 'middle'}, text)),
        V.svg('text', {class: 'axis', x: (kMargin.left + this.width - kMargin.right) / 2, y: kHeight - 6, 'text-anchor': 'middle'}, this.xName),
        V.svg('text', {class: 'axis', transform: `translate(12 ${kMargin.top + inside / 2}) rotate(-90)`, 'text-anchor': 'middle'}, this.yName),
        this.pinned === null ? null : V.svg('line', {class: 'pinned', x1: this.across(this.pinned), x2: this.across(this.pinned), y1: kMargin.top, y2: kMargin.top + inside}),
        this.marks.map(i => V.svg('line', {class: 'mark', x1: this.across(i), x2: this.across(i), y1: kMargin.top, y2: kMargin.top + inside})),
        this.series.map((line, i) => this.band(line, i, down)), this.cursor, this.series.map((line, i) => this.line(line, i, down))));
    }
    band(line, i, down) {
      if (!line.low) return null;
      const there = [...line.values.keys()].filter(at => Number.isFinite(line.low[at]) && Number.isFinite(line.high[at]));
      const points = [...there.map(at => `${this.across(at)},${down(line.high[at])}`), ...there.reverse().map(at => `${this.across(at)},${down(line.low[at])}`)];
      return V.svg('polygon', {class: 'band', points: points.join(' '), fill: this.colorOf(i)});
    }
    line(line, i, down) {
      let path = '', pen = 'M';
      const dots = [];
      line.values.forEach((value, at) => {
        if (!Number.isFinite(value)) { pen = 'M'; return; }
        path += `${pen}${this.across(at).toFixed(1)} ${down(value).toFixed(1)}`;
        pen = 'L';
        if (line.values.length <= 64) dots.push(V.svg('circle', {cx: this.across(at), cy: down(value), r: 3, fill: this.colorOf(i)}));
      });
      return V.svg('g', {class: 'line'}, V.svg('path', {d: path, stroke: this.colorOf(i), 'stroke-dasharray': V.color.dashes(this.slot(i))}), dots);
    }
  }
  V.lines = options => new Lines(options);
  /** A piece of a line, to name it by. */
  V.key = (slot, faint = false) => V.svg('svg', {class: 'key', width: 26, height: 10, 'aria-hidden': 'true'},
                                                      V.svg('line', {x1: 0, x2: 26, y1: 5, y2: 5, style: `stroke: var(--${faint ? 'muted' : `line-${slot % 6}`})`, 'stroke-width': 2.5, 'stroke-dasharray': V.color.dashes(slot)}));

  /** Bars from zero to both sides: items [{name: node or text, value, note}], largest size = a full bar. */
  V.bars = (items, {format = V.number, signed = false, most = null} = {}) => {
    const largest = most ?? V.largest(items.map(item => item.value));
    return V.el('ul', {class: signed ? 'bars signed' : 'bars'}, items.map(item => {
      const part = Number.isFinite(item.value) ? Math.min(Math.abs(item.value) / largest, 1) : 0;
      return V.el('li', {}, V.el('span', {class: 'name'}, item.name),
                  V.el('span', {class: 'track', 'aria-hidden': 'true'}, V.el('span', {class: item.value < 0 ? 'fill minus' : 'fill', style: `width: ${(100 * part * (signed ? 0.5 : 1)).toFixed(2)}%`})),
                  V.el('span', {class: 'value'}, format(item.value)), item.note ? V.el('span', {class: 'note'}, item.note) : null);
    }));
  };
}
