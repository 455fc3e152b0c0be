// SPDX-License-Identifier: MIT
// A logit as a sum over components.
V.page(found => {
  const {layers, heads} = found, columns = [...Array.from({length: heads}, (_, h) => `head ${h}`), 'bias', 'MLP'];
  const of = (layer, column) => column < heads ? found.head[layer * heads + column] : column === heads ? found.attentionBias[layer] : found.mlp[layer];
  const name = (layer, column) => column < heads ? `head ${layer}.${column}` : column === heads ? `attention bias ${layer}` : `MLP ${layer}`;
  const what = V.token(found.target) + (found.against === null ? '' : ` − ${V.token(found.against)}`);
  const parts = [{name: 'token embedding', value: found.embedding}, {name: 'position embedding', value: found.positionEmbedding}, {name: 'final bias', value: found.finalBias}];
  for (let layer = 0; layer < layers; ++layer) columns.forEach((_, column) => parts.push({name: name(layer, column), value: of(layer, column)}));
  const most = V.largest(parts.slice(3).map(part => part.value));
  const table = () => ({head: ['component', 'contribution'], rows: parts.map(part => [part.name, part.value])});

  let count = 20;
  const list = V.el('div', {});
  const drawList = () => V.replace(list, V.bars([...parts].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, count), {signed: true, format: V.signed}));
  drawList();

  const detail = V.el('p', {class: 'where', 'aria-live': 'polite'});
  const row = layer => layers - 1 - layer;  // the last layer on top
  const grid = V.grid({
    label: `${layers} layers by ${columns.length} components`, rows: Array.from({length: layers}, (_, r) => String(row(r))), above: columns, corner: ['layer', ''],
    minWidth: 26, maxWidth: 104, cellHeight: 26,
    color: (r, column) => V.color.diverging(of(row(r), column) / most), text: (r, column) => V.short(of(row(r), column)),
    describe: (r, column) => `${name(row(r), column)}: ${V.signed(of(row(r), column))}`,
    tip: (r, column) => [V.el('div', {class: 'row'}, V.el('span', {}, name(row(r), column)), V.el('b', {}, V.signed(of(row(r), column))))],
    onShow: (r, column) => V.replace(detail, `${name(row(r), column)}: `, V.el('b', {}, V.signed(of(row(r), column))), ` of ${V.number(found.logit)}`),
  });

  // The partial sum after each block.
  const steps = ['embed'], sums = [found.embedding + found.positionEmbedding];
  const attention = [NaN], mlp = [NaN];
  for (let layer = 0; layer < layers; ++layer) {
    let heads_ = 0;
    for (let column = 0; column <= heads; ++column) heads_ += of(layer, column);
    steps.push(String(layer));
    attention.push(heads_);
    mlp.push(found.mlp[layer]);
    sums.push(sums[layer] + heads_ + found.mlp[layer]);
  }
  const lines = V.lines({label: 'The sum by layer', x: steps, xName: 'layer', yName: 'logits', series: [{name: 'sum so far', values: sums}, {name: 'attention', values: attention}, {name: 'MLP', values: mlp}], format: V.signed});
  requestAnimationFrame(() => grid.moveTo(0, 0));

  return [
    V.card({title: 'Layers by components', wide: true, table, controls: [V.legend(V.color.diverging, -1, 1, V.signed(-most), V.signed(most))], body: [
      V.el('p', {}, 'Logit of ', V.tokenBox(found.target), found.against === null ? null : [' less that of ', V.tokenBox(found.against)], ' behind position ', String(found.position), ', ',
           V.tokenBox(found.tokens[found.position]), ': ', V.el('b', {}, V.number(found.logit)), V.el('span', {class: 'muted'}, `; the parts miss it by ${V.number(found.gap, 2)}, which is rounding`)),
      grid.element, detail]}),
    V.card({title: 'Largest parts', body: [list], controls: [V.choice('Show', [[20, '20'], [60, '60'], [200, '200']], 20, to => { count = to; drawList(); })]}),
    V.card({title: `How ${what} adds up`, body: [lines.element], table: () => ({head: ['layer', 'sum so far', 'attention', 'MLP'], rows: steps.map((step, i) => [step, sums[i], attention[i], mlp[i]])})}),
    found.neurons.length ? V.card({title: 'Single neurons', note: 'Parts of their MLPs.', body: [V.bars(found.neurons.slice(0, 100).map(n => ({name: `neuron ${n.layer}.${n.neuron}`, value: n.value, note: `active ${V.number(n.activation, 3)}`})), {signed: true, format: V.signed})],
      table: () => ({head: ['layer', 'neuron', 'activation', 'contribution'], rows: found.neurons.map(n => [n.layer, n.neuron, n.activation, n.value])})}) : null,
  ];
});
