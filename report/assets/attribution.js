// SPDX-License-Identifier: MIT
// A logit as a sum over components.
V.page(found => {
  const layers = found.layer.length, heads = found.head.length, [target, against] = found.compared, logit = found.logit[0];
  const columns = [...Array.from({length: heads}, (_, h) => `head ${h}`), 'bias', 'MLP'];
  const of = (layer, column) => column < heads ? found.heads[layer * heads + column] : column === heads ? found.attention_bias[layer] : found.mlp[layer];
  const name = (layer, column) => column < heads ? `head ${layer}.${column}` : column === heads ? `attention bias ${layer}` : `MLP ${layer}`;
  const what = V.token(target) + (against === undefined ? '' : ` − ${V.token(against)}`);
  const parts = [{name: 'token embedding', value: found.embedding[0]}, {name: 'position embedding', value: found.position_embedding[0]}, {name: 'final bias', value: found.final_bias[0]}];
  for (let layer = 0; layer < layers; ++layer) columns.forEach((_, column) => parts.push({name: name(layer, column), value: of(layer, column)}));
  const most = V.largest(parts.slice(3).map(part => part.value));
  const table = () => ({head: ['component', 'contribution'], rows: parts.map(part => [part.name, part.value])});

  const neurons = [...found.neurons_layer.keys()];
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
    onShow: (r, column) => V.replace(detail, `${name(row(r), column)}: `, V.el('b', {}, V.signed(of(row(r), column))), ` of ${V.number(logit)}`),
  });

  // The partial sum after each block.
  const steps = ['embed'], sums = [found.embedding[0] + found.position_embedding[0]];
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
    V.card({title: 'Layers by components', wide: true, table, controls: [V.legend(V.color.diverging, -1, 1, `${V.signed(-most)}, lowers it`, `${V.signed(most)}, raises it`)], body: [
      V.el('p', {}, 'Logit of ', V.tokenBox(target), against === undefined ? null : [' less that of ', V.tokenBox(against)], ' after position ', String(found.position), ', ',
           V.tokenBox(found.ids[found.position]), ': ', V.el('b', {}, V.number(logit)), V.el('span', {class: 'muted'}, `; the parts miss it by ${V.number(found.gap[0], 2)}, which is rounding`)),
      grid.element, detail]}),
    V.card({title: 'Largest parts', body: [list], controls: [V.choice('Show', [[20, '20'], [60, '60'], [200, '200']], 20, to => { count = to; drawList(); })]}),
    V.card({title: `How ${what} adds up`, body: [lines.element], table: () => ({head: ['layer', 'sum so far', 'attention', 'MLP'], rows: steps.map((step, i) => [step, sums[i], attention[i], mlp[i]])})}),
    found.neurons_layer.length ? V.card({title: 'Single neurons', note: 'Parts of their MLPs.', body: [V.bars(neurons.slice(0, 100).map(i => ({name: `neuron ${found.neurons_layer[i]}.${found.neurons_neuron[i]}`, value: found.neurons_contribution[i], note: `active ${V.number(found.neurons_activation[i], 3)}`})), {signed: true, format: V.signed})],
      table: () => ({head: ['layer', 'neuron', 'activation', 'contribution'], rows: neurons.map(i => ['layer', 'neuron', 'activation', 'contribution'].map(name => found[`neurons_${name}`][i]))})}) : null,
  ];
});
