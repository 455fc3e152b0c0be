// SPDX-License-Identifier: MIT
// Groups of neurons that fire together: where in the text, and which neurons.
V.page(found => {
  const {components, layers} = found, C = components.length, N = found.tokens.length, strength = (c, t) => found.strengths[c * N + t];
  const texts = [...found.tokens].map(V.token), begins = new Set();
  let at = 0;
  for (const length of found.lengths) { begins.add(at); at += length; }
  const most = components.map((_, c) => { let largest = 0; for (let t = 0; t < N; ++t) largest = Math.max(largest, strength(c, t)); return largest || 1; });
  const squares = components.map((_, c) => { let sum = 0; for (let t = 0; t < N; ++t) sum += strength(c, t) ** 2; return sum; }), total = squares.reduce((a, b) => a + b, 0) || 1;
  let kept = 0, shown = 0, token = 0;
  const name = c => `Component ${c}`;

  // --- the list of components

  const strongest = c => Array.from({length: N}, (_, t) => t).sort((a, b) => strength(c, b) - strength(c, a));
  const buttons = components.map((_, c) => V.el('button', {
    type: 'button', class: 'component', 'aria-pressed': 'false', 'data-component': c, onpointerenter: () => show(c), onpointerleave: () => show(kept), onfocus: () => show(c), onclick: () => { kept = c; show(c); },
    onkeydown: event => {
      const to = {ArrowUp: c - 1, ArrowDown: c + 1, Home: 0, End: C - 1}[event.key];
      if (to === undefined) return;
      buttons[Math.min(Math.max(to, 0), C - 1)].focus();
      event.preventDefault();
    },
  }, V.el('span', {class: 'name'}, name(c)), V.el('span', {class: 'share'}, V.percent(squares[c] / total)), V.el('span', {class: 'samples'}, strongest(c).slice(0, 5).filter(t => strength(c, t) > 0).map(t => [V.tokenBox(found.tokens[t]), ' ']))));
  const list = V.el('div', {class: 'components'}, buttons);

  // --- the text

  const text = V.text({
    label: 'The texts', places: found.tokens, gap: i => begins.has(i),
    color: t => V.color.amount(strength(shown, t) / most[shown]), small: t => strength(shown, t) > 0 ? V.number(strength(shown, t), 2) : '',
    describe: t => `${texts[t]}, ${t}: ${V.number(strength(shown, t), 3)} of ${name(shown)}`,
    tip: t => [V.el('div', {class: 'muted'}, `${texts[t]}, token ${t}`), components.map((_, c) => c).sort((a, b) => strength(b, t) - strength(a, t)).slice(0, 4).map(c => V.el('div', {class: 'row'}, V.el('span', {}, name(c)), V.el('b', {}, V.number(strength(c, t), 3))))],
    onShow: t => showToken(t),
  });
  const textTitle = V.el('h3', {}), legend = V.el('div', {});

  // --- details

  const neurons = V.el('div', {}), where = V.el('div', {}), tokenTitle = V.el('p', {class: 'where', 'aria-live': 'polite'}), tokenList = V.el('div', {});
  const show = c => {
    shown = c;
    buttons.forEach((button, i) => { button.setAttribute('aria-pressed', String(i === kept)); button.classList.toggle('here', i === c); });
    V.replace(textTitle, name(c));
    V.replace(legend, V.legend(V.color.amount, 0, 1, '0', V.number(most[c], 3)));
    text.redraw();
    V.replace(neurons, V.bars(components[c].neurons.slice(0, 15).map(n => ({name: `${n.layer}.${n.neuron}`, value: n.weight})), {format: value => V.number(value, 3)}));
    V.replace(where, V.bars(layers.map((layer, l) => ({name: `layer ${layer}`, value: components[c].layers[l]})), {format: V.percent}));
    for (const card of [neuronCard, layerCard]) card.update();
  };
  const showToken = t => {
    token = t;
    V.replace(tokenTitle, V.tokenBox(found.tokens[t]), ` token ${t}`);
    V.replace(tokenList, V.bars(components.map((_, c) => ({name: name(c), value: strength(c, t)})), {format: value => V.number(value, 3)}));
    tokenCard.update();
  };
  const neuronCard = V.card({title: 'Its strongest neurons', note: 'layer.neuron, and its weight; the squares of all neurons sum to 1', body: [neurons], table: () => ({head: ['component', 'layer', 'neuron', 'weight'], rows: components.flatMap((component, c) => component.neurons.map(n => [c, n.layer, n.neuron, n.weight]))})});
  const layerCard = V.card({title: 'Its layers', note: 'share of the squares of its weights', body: [where], table: () => ({head: ['component', ...layers.map(layer => `layer ${layer}`)], rows: components.map((component, c) => [c, ...component.layers])})});
  const tokenCard = V.card({title: 'One token', body: [tokenTitle, tokenList], table: () => ({head: ['component', 'strength'], rows: components.map((_, c) => [c, strength(c, token)])})});
  const textCard = V.card({title: 'The text', controls: [legend], body: [textTitle, text.element], table: () => ({head: ['token', 'text', ...components.map((_, c) => `component ${c}`)], rows: texts.map((text, t) => [t, text, ...components.map((_, c) => strength(c, t))])}),
                           note: `${V.count(N)} tokens, ${V.count(layers.length * found.inner)} neurons of ${layers.length} layers; what the components leave unexplained: ${V.percent(found.residual)} (Frobenius norm), after ${V.count(found.iterations)} iterations${found.converged ? '' : ', not converged'}`});
  textCard.classList.add('main');
  const listCard = V.card({title: 'Components', note: 'share of the squares, and where they are strongest', body: [list]});
  listCard.classList.add('side');
  for (const card of [neuronCard, layerCard, tokenCard]) card.classList.add('side');
  show(0);
  showToken(strongest(0)[0]);
  return [textCard, listCard, neuronCard, layerCard, tokenCard];
});
