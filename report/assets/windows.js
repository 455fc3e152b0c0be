// SPDX-License-Identifier: MIT
// A text cut into training windows: what goes in, and what is to come out.
V.page(found => {
  const {window: W, stride, begin, inputs, targets} = found, N = begin.length, texts = [...found.text_token].map(V.token), T = texts.length;
  const last = begin[N - 1] + W;  // the last target
  const kPairs = 200;  // of one window, in its list
  let shown = 0;

  /** Of a token in the shown window: 'input', 'both', 'target', or nothing. */
  const role = i => {
    const place = i - begin[shown];
    return place < 0 || place > W ? '' : place === 0 ? 'input' : place === W ? 'target' : 'both';
  };
  const colors = {input: () => V.color.diverging(-0.5), both: () => V.color.amount(0.25), target: () => V.color.diverging(0.5)};
  const words = {input: 'input only', both: 'input, and target of the one before', target: 'target only', '': 'not in this window'};

  const title = V.el('p', {class: 'where', 'aria-live': 'polite'}), pairs = V.el('div', {});
  const pair = (w, place) => `${V.token(inputs[w * W + place])} → ${V.token(targets[w * W + place])}`;
  const show = w => {
    shown = w;
    V.replace(title, `Window ${V.count(w + 1)} of ${V.count(N)}: inputs ${begin[w]} to ${begin[w] + W - 1}, targets ${begin[w] + 1} to ${begin[w] + W}${W > kPairs ? `; the first ${kPairs} pairs` : ''}`);
    V.replace(pairs, V.table({head: ['place', 'input', 'target'], rows: Array.from({length: Math.min(W, kPairs)}, (_, place) => [place, V.token(inputs[w * W + place]), V.token(targets[w * W + place])])}));
    text.redraw();
    grid.redraw();
    pairCard.update();
  };
  const text = V.text({
    label: 'The text', places: found.text_token, color: i => role(i) ? colors[role(i)]() : null, small: role,
    describe: i => `${texts[i]}, position ${i}: ${i > last ? 'in no window: it is left over' : words[role(i)]}`,
  });
  const grid = V.grid({
    label: `${N} windows of ${W} tokens`, rows: Array.from(begin, String), above: Array.from({length: W}, (_, place) => String(place)), corner: ['place', 'begins at'], minWidth: 58, maxWidth: 108, cellHeight: 25,
    color: row => V.color.amount(row === shown ? 0.45 : 0.08), text: (row, place) => V.token(inputs[row * W + place]),
    describe: (row, place) => `window at ${begin[row]}, place ${place}: ${pair(row, place)}`,
    tip: (row, place) => [V.el('div', {class: 'muted'}, `window at ${begin[row]}, place ${place}`), V.el('div', {}, pair(row, place))],
    onShow: row => { if (row !== shown) show(row); },
  });
  const left = T - 1 - last;
  const textCard = V.card({title: 'The text', body: [text.element],
    note: `${V.count(N)} windows of ${V.count(W)} tokens, stride ${V.count(stride)}, of a text of ${V.count(T)} tokens. ${left > 0 ? `${V.count(left)} at the end ${left === 1 ? 'is' : 'are'} in none, since all windows are full. ` : ''}Orange only goes in, blue is only to come out; what is between does both.`});
  const pairCard = V.card({title: 'One window', body: [title, pairs], table: () => ({head: ['place', 'input', 'target'], rows: Array.from({length: W}, (_, place) => [place, V.token(inputs[shown * W + place]), V.token(targets[shown * W + place])])})});
  textCard.classList.add('main');
  pairCard.classList.add('side');
  const all = V.card({title: 'All windows', wide: true, body: [grid.element], note: 'Rows are windows, by their first position. Point at one, or move with the arrow keys, to see it in the text.', table: () => V.flat(found)});
  show(0);
  requestAnimationFrame(() => grid.moveTo(0, 0));
  return [textCard, pairCard, all];
});
