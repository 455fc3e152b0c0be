// SPDX-License-Identifier: MIT
// A logit as a sum over components.
V.page(found => {
  const pairs = found.pairs !== undefined;
  /** The cards of one sum; `prefix` begins the names of its numbers. */
  const sum = (prefix, where) => {
    const values = (name, which = 'mean') => found[prefix + name + (pairs ? `_${which}` : '')];
    const spread = (name, i) => pairs ? ` ± ${V.number(values(name, 'standard_error')[i], 3)}` : '';
    const layers = found.layer.length, heads = found.head.length, logit = values('logit')[0];
    const columns = [...Array.from({length: heads}, (_, h) => `head ${h}`), 'bias', 'MLP'];
    const part = (layer, column) => column < heads ? ['heads', layer * heads + column] : [column === heads ? 'attention_bias' : 'mlp', layer];
    const of = (layer, column) => { const [name, i] = part(layer, column); return values(name)[i]; };
    const error = (layer, column) => spread(...part(layer, column));
    const name = (layer, column) => column < heads ? `head ${layer}.${column}` : column === heads ? `attention bias ${layer}` : `MLP ${layer}`;
    const single = [['token embedding', 'embedding'], ['position embedding', 'position_embedding'], ['final bias', 'final_bias'], ...(values('edits')[0] ? [['edits of the stream', 'edits']] : [])];
    const parts = single.map(([text, each]) => ({name: text, value: values(each)[0], from: [each, 0]}));
    for (let layer = 0; layer < layers; ++layer) columns.forEach((_, column) => parts.push({name: name(layer, column), value: of(layer, column), from: part(layer, column)}));
    for (const each of parts) each.note = spread(...each.from).trim() || undefined;
    const most = V.largest(parts.slice(single.length).map(each => each.value));
    const statistics = pairs ? ['standard_error', 'deviation'] : [];
    const table = () => ({head: ['component', 'contribution', ...statistics.map(which => which.replace('_', ' '))], rows: parts.map(each => [each.name, each.value, ...statistics.map(which => values(each.from[0], which)[each.from[1]])])});

    const neurons = pairs ? [] : [...found.neurons_layer.keys()];
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
      describe: (r, column) => `${name(row(r), column)}: ${V.signed(of(row(r), column))}${error(row(r), column)}`,
      tip: (r, column) => [V.el('div', {class: 'row'}, V.el('span', {}, name(row(r), column)), V.el('b', {}, V.signed(of(row(r), column)), error(row(r), column)))],
      onShow: (r, column) => V.replace(detail, `${name(row(r), column)}: `, V.el('b', {}, V.signed(of(row(r), column)), error(row(r), column)), ` of ${V.number(logit)}`),
    });

    // The partial sum after each block.
    const steps = ['embed'], sums = [values('embedding')[0] + values('position_embedding')[0]];
    const attention = [NaN], mlp = [NaN];
    for (let layer = 0; layer < layers; ++layer) {
      let heads_ = 0;
      for (let column = 0; column <= heads; ++column) heads_ += of(layer, column);
      steps.push(String(layer));
      attention.push(heads_);
      mlp.push(values('mlp')[layer]);
      sums.push(sums[layer] + heads_ + values('mlp')[layer]);
    }
    const lines = V.lines({label: 'The sum by layer', x: steps, xName: 'layer', yName: 'logits', series: [{name: 'sum so far', values: sums}, {name: 'attention', values: attention}, {name: 'MLP', values: mlp}], format: V.signed});
    requestAnimationFrame(() => grid.moveTo(0, 0));

    return [
      V.card({title: `Layers by components${where}`, wide: true, table, controls: [V.legend(V.color.diverging, -1, 1, `${V.signed(-most)}, lowers it`, `${V.signed(most)}, raises it`)], body: [
        V.el('p', {}, `The ${found.of}`, pairs ? [`, mean of ${V.count(found.pairs)} pairs ± its standard error`] : [` after position ${found.position}, `, V.tokenBox(found.ids[found.position])], ': ', V.el('b', {}, V.number(logit), spread('logit', 0)),
             pairs ? null : V.el('span', {class: 'muted'}, `; the parts miss it by ${V.number(found.gap[0], 2)}, which is rounding`)),
        grid.element, detail]}),
      V.card({title: `Largest parts${where}`, body: [list], controls: [V.choice('Show', [[20, '20'], [60, '60'], [200, '200']], 20, to => { count = to; drawList(); })]}),
      V.card({title: `How it adds up${where}`, body: [lines.element], table: () => ({head: ['layer', 'sum so far', 'attention', 'MLP'], rows: steps.map((step, i) => [step, sums[i], attention[i], mlp[i]])})}),
      neurons.length ? V.card({title: 'Single neurons', note: 'Parts of their MLPs.', body: [V.bars(neurons.slice(0, 100).map(i => ({name: `neuron ${found.neurons_layer[i]}.${found.neurons_neuron[i]}`, value: found.neurons_contribution[i], note: `active ${V.number(found.neurons_activation[i], 3)}`})), {signed: true, format: V.signed})],
        table: () => ({head: ['layer', 'neuron', 'activation', 'contribution'], rows: neurons.map(i => ['layer', 'neuron', 'activation', 'contribution'].map(name => found[`neurons_${name}`][i]))})}) : null,
    ];
  };
  return found.difference_logit_mean ? [...sum('', ', clean prompts'), ...sum('difference_', ', clean less corrupt')] : sum('', '');
});
