// SPDX-License-Identifier: MIT
// Groups of neurons that fire together: where in the text, and which neurons.
V.page(found => {
  const {component: components, layer: layers} = found, C = components.length, N = found.token.length, K = found.top.length, L = layers.length, strength = (c, t) => found.strengths[c * N + t];
  const texts = [...found.token].map(V.token), begins = t => t > 0 && found.text[t] !== found.text[t - 1], fresh = t => found.step[t] > 0, borders = texts.map((_, t) => t).filter(t => begins(t) || found.step[t] === 1);
  const largest = values => values.reduce((most, value) => Math.max(most, value), 0) || 1;
  const most = Array.from(components, (_, c) => largest(found.strengths.subarray(c * N, (c + 1) * N))), all = largest(found.strengths);
  const neuronsOf = c => Array.from({length: K}, (_, k) => c * K + k).map(at => ({name: `${found.top_neurons_layer[at]}.${found.top_neurons_neuron[at]}`, value: found.top_neurons_weight[at], row: [c, found.top_neurons_layer[at], found.top_neurons_neuron[at], found.top_neurons_weight[at]]}));
  const sharesOf = c => found.layer_shares.subarray(c * L, (c + 1) * L);
  let kept = 0, shown = 0, token = 0;
  const name = c => `Component ${c}`, each = Array.from(components);

  // --- the overview

  const place = t => `${texts[t]}, token ${t}${fresh(t) ? ', generated' : ''}`;
  const grid = V.grid({
    label: `${C} components by ${N} tokens`, rows: each.map(String), above: texts, corner: ['component', ''], borders, minWidth: N > 200 ? 6 : 14, maxWidth: 60,
    color: (c, t) => V.color.amount(strength(c, t) / all), text: (c, t) => strength(c, t) > 0 ? V.number(strength(c, t), 2) : '',
    describe: (c, t) => `${name(c)}, ${place(t)}: ${V.number(strength(c, t), 3)}`,
    tip: (c, t) => [V.el('div', {class: 'muted'}, place(t)), V.el('div', {class: 'row'}, V.el('span', {}, name(c)), V.el('b', {}, V.number(strength(c, t), 3)))],
    onShow: (c, t) => { if (c !== shown) show(c); showToken(t); }, onPin: c => choose(c),
  });

  // --- the list of components

  const strongest = c => Array.from({length: N}, (_, t) => t).sort((a, b) => strength(c, b) - strength(c, a));
  const buttons = each.map(c => V.el('button', {
    type: 'button', class: 'component', 'aria-pressed': 'false', 'data-component': c, onpointerenter: () => show(c), onpointerleave: () => show(kept), onfocus: () => show(c), onclick: () => choose(c),
    onkeydown: event => {
      const to = {ArrowUp: c - 1, ArrowDown: c + 1, Home: 0, End: C - 1}[event.key];
      if (to === undefined) return;
      buttons[Math.min(Math.max(to, 0), C - 1)].focus();
      event.preventDefault();
    },
  }, V.el('span', {class: 'name'}, name(c)), V.el('span', {class: 'share'}, V.percent(found.share[c])), V.el('span', {class: 'samples'}, strongest(c).slice(0, 5).filter(t => strength(c, t) > 0).map(t => [V.tokenBox(found.token[t]), ' ']))));
  const list = V.el('div', {class: 'components'}, buttons);

  // --- the text

  const text = V.text({
    label: 'The texts', places: found.token, gap: begins, fresh,
    color: t => V.color.amount(strength(shown, t) / most[shown]), small: t => strength(shown, t) > 0 ? V.number(strength(shown, t), 2) : '',
    describe: t => `${place(t)}: ${V.number(strength(shown, t), 3)} of ${name(shown)}`,
    tip: t => [V.el('div', {class: 'muted'}, place(t)), [...each].sort((a, b) => strength(b, t) - strength(a, t)).slice(0, 4).map(c => V.el('div', {class: 'row'}, V.el('span', {}, name(c)), V.el('b', {}, V.number(strength(c, t), 3))))],
    onShow: t => showToken(t),
  });
  const textTitle = V.el('h3', {}), legend = V.el('div', {});

  // --- details

  const neurons = V.el('div', {}), where = V.el('div', {}), tokenTitle = V.el('p', {class: 'where', 'aria-live': 'polite'}), tokenList = V.el('div', {});
  const choose = c => {
    kept = c;
    if (grid.active.row !== c) { grid.pinned = null; grid.moveTo(c, grid.active.column); }
    show(c);
  };
  const show = c => {
    shown = c;
    buttons.forEach((button, i) => { button.setAttribute('aria-pressed', String(i === kept)); button.classList.toggle('here', i === c); });
    V.replace(textTitle, name(c));
    V.replace(legend, V.legend(V.color.amount, 0, 1, '0', V.number(most[c], 3)));
    text.redraw();
    V.replace(neurons, V.bars(neuronsOf(c).slice(0, 15), {format: value => V.number(value, 3)}));
    V.replace(where, V.bars(Array.from(layers, (layer, l) => ({name: `layer ${layer}`, value: sharesOf(c)[l]})), {format: V.percent}));
    for (const card of [neuronCard, layerCard]) card.update();
  };
  const showToken = t => {
    token = t;
    V.replace(tokenTitle, V.tokenBox(found.token[t]), ` token ${t}`);
    V.replace(tokenList, V.bars(each.map(c => ({name: name(c), value: strength(c, t)})), {format: value => V.number(value, 3)}));
    tokenCard.update();
  };
  const neuronCard = V.card({title: 'Its strongest neurons', note: 'layer.neuron, and its weight; the squares of all neurons sum to 1', body: [neurons], table: () => ({head: ['component', 'layer', 'neuron', 'weight'], rows: each.flatMap(c => neuronsOf(c).map(n => n.row))})});
  const layerCard = V.card({title: 'Its layers', note: 'share of the squares of its weights', body: [where], table: () => ({head: ['component', ...Array.from(layers, layer => `layer ${layer}`)], rows: each.map(c => [c, ...sharesOf(c)])})});
  const tokenCard = V.card({title: 'One token', body: [tokenTitle, tokenList], table: () => ({head: ['component', 'strength'], rows: each.map(c => [c, strength(c, token)])})});
  const textCard = V.card({title: 'The text', controls: [legend], body: [textTitle, text.element], note: borders.some(fresh) ? 'underlined: generated tokens' : null,
    table: () => ({head: ['token', 'text', ...each.map(c => `component ${c}`)], rows: texts.map((text, t) => [t, text, ...each.map(c => strength(c, t))])})});
  const overview = V.card({title: 'Components by tokens', wide: true, controls: [V.legend(V.color.amount, 0, 1, '0', V.number(all, 3))], body: [grid.element], table: () => V.flat(found),
    note: `Click on a row to colour the text by it. ${V.count(N)} tokens, ${V.count(L * found.inner)} neurons of ${L} layers; what the components leave unexplained: ${V.percent(found.relative_residual)} (Frobenius norm), after ${V.count(found.iterations)} iterations${found.converged ? '' : ', not converged'}.${borders.some(fresh) ? ' A line is before what was generated, and before each further text.' : ''}`});
  textCard.classList.add('main');
  const listCard = V.card({title: 'Components', note: 'share of the squares, and where they are strongest', body: [list]});
  listCard.classList.add('side');
  for (const card of [neuronCard, layerCard, tokenCard]) card.classList.add('side');
  show(0);
  showToken(strongest(0)[0]);
  requestAnimationFrame(() => grid.moveTo(0, token));
  return [overview, textCard, listCard, neuronCard, layerCard, tokenCard];
});
