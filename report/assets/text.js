// SPDX-License-Identifier: MIT
// A text as a row of tokens, each with a colour and a small number below it. A pointer looks at a token, arrow keys move over them, a click
// or Enter pins one, Escape lets go. A long text comes in parts.
{
  const kPart = 1200;  // tokens that stand in the page at once

  class Text {
    constructor(options) {
      Object.assign(this, {small: null, tip: null, gap: () => false, fresh: () => false, onShow: () => {}, onPin: () => {}}, options);
      this.active = 0;
      this.pinned = this.hovered = null;
      this.box = V.el('div', {class: 'text tokens', role: 'listbox', tabindex: 0, 'aria-label': `${this.label}. Arrow keys move, Enter pins, Escape lets go.`});
      this.range = V.el('span', {class: 'where'});
      this.back = V.el('button', {type: 'button', onclick: () => this.moveTo(Math.max(0, this.from - kPart))}, 'Earlier');
      this.on = V.el('button', {type: 'button', onclick: () => this.moveTo(this.to)}, 'Later');
      this.parts = V.el('div', {class: 'controls parts'}, this.back, this.range, this.on);
      this.element = V.el('div', {}, this.box, this.parts);
      this.listen();
      V.onTheme(() => { if (this.element.isConnected) this.redraw(); });
      this.open(0);
    }
    get shown() { return this.hovered ?? this.active; }

    listen() {
      const {box} = this, at = event => { const word = event.target.closest('.word'); return word ? Number(word.dataset.at) : null; };
      box.addEventListener('pointermove', event => { if (event.pointerType !== 'touch') this.hover(at(event), event); });
      box.addEventListener('pointerleave', () => this.hover(null));
      box.addEventListener('click', event => { if (at(event) !== null) this.pin(at(event)); });
      box.addEventListener('keydown', event => this.key(event));
      box.addEventListener('focus', () => this.mark());
      box.addEventListener('blur', () => { V.hideTip(); this.mark(); });
    }
    hover(i, event) {
      if (i === null && this.hovered === null) return;
      const before = this.hovered;
      this.hovered = i;
      if (i === null) V.hideTip();
      else if (this.tip) V.showTip(event.clientX, event.clientY, this.tip(i));
      if (i === before) return;
      if (i === null && this.pinned !== null) this.active = this.pinned;
      this.mark();
      this.onShow(this.shown, this.pinned !== null);
    }
    pin(i) {
      this.active = this.pinned = i;
      this.mark();
      this.onShow(i, true);
      this.onPin(i);
    }
    /** Without pinning. */
    moveTo(i) {
      this.hovered = null;
      this.active = i;
      if (i < this.from || i >= this.to) this.open(Math.floor(i / kPart) * kPart);
      this.mark();
      if (document.activeElement === this.box) this.words[i - this.from].scrollIntoView({block: 'nearest'});
      this.onShow(i, this.pinned !== null);
    }
    /** The token of the line above or below that stands nearest. */
    vertical(down) {
      const here = this.words[this.active - this.from].getBoundingClientRect(), middle = here.left + here.width / 2;
      let best = this.active, line = null, least = Infinity;
      for (let i = this.active + down; i >= this.from && i < this.to; i += down) {
        const at = this.words[i - this.from].getBoundingClientRect();
        if (Math.abs(at.top - here.top) < 4) continue;
        if (line !== null && Math.abs(at.top - line) > 4) break;
        line = at.top;
        const far = Math.abs(at.left + at.width / 2 - middle);
        if (far < least) { least = far; best = i; }
      }
      return best;
    }
    key(event) {
      const i = this.active, last = this.places.length - 1;
      const to = {ArrowLeft: () => i - 1, ArrowRight: () => i + 1, ArrowUp: () => this.vertical(-1), ArrowDown: () => this.vertical(1), Home: () => 0, End: () => last}[event.key];
      if (to) this.moveTo(Math.min(Math.max(to(), 0), last));
      else if (event.key === 'Enter' || event.key === ' ') this.pin(i);
      else if (event.key === 'Escape') { this.pinned = null; this.moveTo(i); }
      else return;
      event.preventDefault();
    }
    open(from) {
      this.from = from;
      this.to = Math.min(from + kPart, this.places.length);
      this.words = [];
      const all = [];
      for (let i = from; i < this.to; ++i) {
        const text = V.token(this.places[i]);
        const word = V.el('span', {class: `word${this.gap(i) && i > from ? ' gap' : ''}${this.fresh(i) ? ' fresh' : ''}`, role: 'option', id: V.id('token'), 'data-at': i}, text === '' ? '\u00a0' : text, this.small ? V.el('small', {}) : null);
        this.words.push(word);
        all.push(word, V.lineEnd(this.places[i]));
      }
      V.replace(this.box, all);
      this.parts.hidden = this.places.length <= kPart;
      V.replace(this.range, `tokens ${V.count(from + 1)} to ${V.count(this.to)} of ${V.count(this.places.length)}`);
      this.back.disabled = from === 0;
      this.on.disabled = this.to === this.places.length;
      this.redraw();
    }
    /** What tokens show has changed. */
    redraw() {
      this.words.forEach((word, at) => {
        const i = this.from + at, rgb = this.color(i);
        word.style.background = rgb ? V.color.css(rgb) : '';
        word.style.color = rgb ? V.color.on(rgb) : '';
        if (this.small) word.lastChild.textContent = this.small(i) || '\u00a0';
        word.setAttribute('aria-label', this.describe(i));
      });
      this.mark();
    }
    mark() {
      const focused = document.activeElement === this.box;
      this.words.forEach((word, at) => {
        const i = this.from + at;
        word.classList.toggle('here', i === this.pinned || i === this.hovered || (focused && i === this.active));
        word.setAttribute('aria-selected', String(i === this.pinned));
      });
      const active = this.words[this.active - this.from];
      if (active) this.box.setAttribute('aria-activedescendant', active.id);
    }
  }

  /**
   * {label, places: a page's tokens, color(i) -> [r, g, b] or null, small(i) -> text or null, describe(i) -> text, tip(i) -> nodes, gap(i) -> whether
   * something else begins with this token, fresh(i) -> whether it was generated, onShow(i, pinned), onPin(i)}
   */
  V.text = options => {
    const text = new Text(options);
    text.element.text = text;
    return text;
  };
}
