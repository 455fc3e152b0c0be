// SPDX-License-Identifier: MIT
'use strict';
// V holds what the pages share. Each file adds its part; nothing is loaded, nothing is sent.
const V = {};

// --- data

{
  const types = {f32: Float32Array, u16: Uint16Array, i32: Int32Array};
  /** The numbers of {type, data}, a little-endian array in base64. */
  V.unpack = packed => {
    const text = atob(packed.data), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
    const values = new types[packed.type](bytes.buffer);
    return packed.lengths ? V.spread(values, packed) : values;
  };
  /** Rows of different lengths become rows of one size: what does not exist is NaN. See packed_leaf() in report/result.cc. */
  V.spread = (values, {lengths, size}) => {
    const rows = lengths.length * values.length / lengths.reduce((sum, length) => sum + length, 0), all = new Float32Array(rows * size).fill(NaN);
    for (let row = 0, from = 0; row < rows; from += lengths[row % lengths.length], ++row) all.set(values.subarray(from, from + lengths[row % lengths.length]), row * size);
    return all;
  };
  /** The same for every packed array inside a value. */
  V.unpackAll = value => {
    if (Array.isArray(value)) return value.map(V.unpackAll);
    if (value === null || typeof value !== 'object') return value;
    if (typeof value.data === 'string' && value.type in types) return V.unpack(value);
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, V.unpackAll(part)]));
  };
}
V.data = V.unpackAll(JSON.parse(document.getElementById('data').textContent));
/** A token's text by its place in the page's table. */
V.token = place => V.data.tokens.texts[place];
V.tokenId = place => V.data.tokens.ids[place];
/** For a table: kNoNumber and a negative id are no value. */
V.value = (found, isToken) => isToken ? V.tokenId(found) < 0 ? null : V.token(found) : found === -2147483648 ? null : found;

/** The main table of a result, {head, rows}: see flat_table() in report/result.h. */
V.flat = result => {
  const {sizes, lengths, columns} = result.flat, last = sizes.length - 1;
  const value = ({source, tokens, offset, strides}, at) => {
    const found = result[source][strides.reduce((sum, stride, axis) => sum + stride * at[axis], offset)];
    return V.value(found, tokens);
  };
  const rows = Array.from({length: sizes.reduce((all, size) => all * size, 1)}, (_, row) => {
    const at = sizes.slice();
    for (let axis = last, rest = row; axis >= 0; rest = Math.floor(rest / sizes[axis--])) at[axis] = rest % sizes[axis];
    return at;
  });
  return {head: columns.map(each => each.name), rows: rows.filter(at => !lengths.length || at[last] < lengths[at[last - 1]]).map(at => columns.map(each => value(each, at)))};
};

// --- elements

/** An element: props are attributes, or on... handlers; children are nodes or texts. null is left out. */
V.el = (tag, props = {}, ...children) => V.fill(document.createElement(tag), props, children);
V.svg = (tag, props = {}, ...children) => V.fill(document.createElementNS('http://www.w3.org/2000/svg', tag), props, children);
V.fill = (element, props, children) => {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
  return element;
};
V.replace = (element, ...children) => element.replaceChildren(...children.flat(Infinity).filter(child => child !== null && child !== undefined));
/** A token as a small box, so that one sees where it begins and ends. */
V.tokenBox = place => V.el('span', {class: 'token', title: `id ${V.tokenId(place)}`}, V.token(place));
/** A line break after a token that ends a line. */
V.lineEnd = place => V.token(place).endsWith('\\n') ? V.el('br') : null;

{
  let count = 0;
  V.id = prefix => `${prefix}-${++count}`;
}

// --- numbers as people read them

/** The largest size among numbers, of which there may be too many for Math.max; what is none does not count. */
V.largest = values => {
  let most = 0;
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  return most || 1e-30;
};
V.count = value => Math.round(value).toLocaleString('en-US');
/** Three or four figures, in powers of ten only where it must be; the minus is a real one. */
V.number = (value, figures = 4) => {
  if (value === null || value === undefined || Number.isNaN(value)) return 'none';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  let text;
  if (size === 0) text = '0';
  else if (size >= 1e6 || size < 1e-4) {
    const [digits, power] = value.toExponential(Math.max(figures - 2, 0)).split('e');
    text = `${digits} × 10${[...power.replace('+', '')].map(c => '⁰¹²³⁴⁵⁶⁷⁸⁹'[c] ?? '⁻').join('')}`;
  }
  else text = value.toFixed(Math.max(0, Math.min(6, figures - 1 - Math.floor(Math.log10(size)))));
  return text.replaceAll('-', '−');
};
/** For a cell or an axis: no more than two decimals, and none that say nothing. */
V.short = value => {
  if (!Number.isFinite(value)) return V.number(value);
  const size = Math.abs(value);
  return size >= 1e4 ? V.number(value, 3) : size >= 100 ? value.toFixed(0).replace('-', '−') : String(Number(value.toFixed(2)) || 0).replace('-', '−');
};
/** For an axis whose values may be of any size. */
V.tick = value => value === 0 ? '0' : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6 ? V.number(value, 3) : String(Number(value.toPrecision(6))).replace('-', '−');
V.signed = value => (value > 0 ? '+' : '') + V.number(value);
V.percent = probability => {
  const hundredths = 100 * probability;
  if (Number.isNaN(hundredths)) return 'none';
  if (hundredths === 0) return '0 %';
  if (hundredths < 0.01) return '< 0.01 %';
  return `${hundredths.toFixed(hundredths < 1 ? 2 : 1)} %`;
};

// --- what the reader chose

{
  const listeners = [];
  /** Calls back when colours have to be drawn anew. */
  V.onTheme = listener => listeners.push(listener);
  const system = matchMedia('(prefers-color-scheme: dark)');
  let chosen = null;  // not stored: a page from disk has no place of its own
  V.dark = () => !V.printing && (chosen === null ? system.matches : chosen === 'dark');
  V.refresh = () => {
    document.documentElement.dataset.theme = V.dark() ? 'dark' : 'light';
    for (const listener of listeners) listener();
  };
  V.switchTheme = () => {
    chosen = V.dark() ? 'light' : 'dark';
    V.refresh();
  };
  system.addEventListener('change', V.refresh);
  V.printing = false;
  // Paper is white.
  addEventListener('beforeprint', () => { V.printing = true; V.refresh(); });
  addEventListener('afterprint', () => { V.printing = false; V.refresh(); });
}

/** Radio buttons in one row: choices [[value, text]...]; calls back with the value. */
V.choice = (label, choices, value, onChoice) => {
  const name = V.id('choice');
  return V.el('fieldset', {class: 'choice'}, V.el('legend', {}, label), choices.map(([each, text]) => {
    const id = V.id('option');
    return [V.el('input', {type: 'radio', name, id, value: each, checked: each === value, onchange: () => onChoice(each)}), V.el('label', {for: id}, text)];
  }));
};
/** A list to choose from: texts in order; calls back with the place. */
V.select = (label, texts, value, onChoice) => {
  const id = V.id('select');
  const list = V.el('select', {id, onchange: () => onChoice(list.selectedIndex)}, texts.map((text, i) => V.el('option', {value: i, selected: i === value}, text)));
  return V.el('div', {class: 'select'}, V.el('label', {for: id}, label), list);
};

// --- a note beside the pointer

{
  const tip = V.el('div', {class: 'tip', 'aria-hidden': 'true', hidden: true});
  document.body.append(tip);
  V.showTip = (x, y, ...children) => {
    V.replace(tip, children);
    tip.hidden = false;
    const {width, height} = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
    tip.style.left = `${Math.max(4, Math.min(x + 14, room - width - 4))}px`;
    tip.style.top = `${y + 18 + height > innerHeight ? Math.max(4, y - height - 12) : y + 18}px`;
  };
  V.hideTip = () => { tip.hidden = true; };
  addEventListener('scroll', V.hideTip, {passive: true, capture: true});
}
