// SPDX-License-Identifier: MIT
// The text with each token coloured by what it does to a next token.
V.page(result => {
  const T = result.ids.length, of = (values, step, i) => values[step * T + i], signed = result.contrasts.length > 0, shares = result.tokens_share, scores = result.tokens_score;
  const effect = (name, s) => Object.fromEntries(['value', 'standard_error', 'rank', 'hidden'].map(field => [field, result[`comparison_${name}_${field}`][s]]));
  const steps = Array.from(result.target, (target, s) => ({
    target, inputs: result.inputs[s], rank: result.rank[s], logit: result.logit[s], logProb: result.log_probability[s], value: result.value[s],
    completeness: result.completeness_gap && {gap: result.completeness_gap[s], relative: result.completeness_relative_gap[s]},
    comparison: result.comparison_spans_value && {spans: effect('spans', s), scattered: effect('scattered', s)},
  }));
  const texts = [...result.ids].map(V.token);
  const aim = step => V.token(steps[step].target);
  let kind = signed ? 'score' : 'share', kept = 0, shown = 0, sorted = false;

  const largest = step => {
    let most = 0;
    for (let i = 0; i < steps[step].inputs; ++i) most = Math.max(most, Math.abs(of(kind === 'share' ? shares : scores, step, i)));
    return most || 1;
  };
  const colour = (step, i) => kind === 'share' ? V.color.amount(of(shares, step, i) / largest(step)) : V.color.diverging(of(scores, step, i) / largest(step));
  const written = (step, i) => kind === 'share' ? V.percent(of(shares, step, i)) : V.signed(of(scores, step, i));
  const spoken = (step, i) => `${texts[i]}, position ${i}: share ${V.percent(of(shares, step, i))}, score ${V.signed(of(scores, step, i))}`;

  // --- the text

  const stepOf = new Map(steps.map((step, s) => [step.inputs, s]));  // the token at this position is a step's target
  const word = (place, i) => {
    const step = stepOf.get(i);
    const box = V.el(step === undefined ? 'span' : 'button', {
      class: 'word', type: step === undefined ? null : 'button', 'data-step': step, 'data-position': i < T ? i : null,
      ...(step === undefined ? {} : {onpointerenter: () => show(step), onfocus: () => show(step), onpointerleave: () => show(kept), onclick: () => { kept = step; show(step); }}),
    }, V.token(place), V.el('small', {}));
    return box;
  };
  const boxes = texts.map((_, i) => word(result.ids[i], i));
  steps.forEach((step, s) => { if (step.inputs >= T) boxes.push(word(step.target, T)); });
  const places = [...result.ids, ...steps.filter(step => step.inputs >= T).map(step => step.target)];
  const text = V.el('div', {class: 'text'}, boxes.map((box, i) => [box, V.lineEnd(places[i])]));
  const facts = V.el('dl', {class: 'facts'});
  const list = V.el('div', {});

  const paint = () => {
    const {inputs} = steps[shown];
    boxes.forEach((box, i) => {
      const rgb = i < inputs ? colour(shown, i) : null;
      box.style.background = rgb ? V.color.css(rgb) : '';
      box.style.color = rgb ? V.color.on(rgb) : '';
      box.lastChild.textContent = i < inputs ? written(shown, i) : i === inputs ? 'next' : '\u00a0';
      if (box.dataset.step !== undefined) box.setAttribute('aria-pressed', String(Number(box.dataset.step) === shown));
      box.setAttribute('aria-label', i < inputs ? spoken(shown, i) : box.firstChild.textContent);
    });
  };
  const show = step => {
    shown = step;
    if (grid && grid.active.row !== step) { grid.active = {row: step, column: 0}; grid.later(); }
    const {completeness, comparison, inputs, rank, logProb, logit, value} = steps[step];
    paint();
    const inWords = e => `${V.signed(e.value)} ± ${V.number(e.standard_error, 3)}, rank ${V.number(e.rank, 3)}, hidden state moved by ${V.percent(e.hidden)}`;
    V.replace(facts, [['Next token', [V.tokenBox(steps[step].target), signed ? [' rather than ', V.tokenBox(result.contrasts[step])] : null]], ['Rank', V.count(rank)],
      ['Probability', V.percent(Math.exp(logProb))], ['Logit', V.number(logit)], [`f, the ${result.what}${signed ? ' difference' : ''}`, V.number(value)],
      ...(completeness ? [['Completeness', `scores miss f − f(baseline) by ${V.number(completeness.gap, 3)}${!Number.isFinite(completeness.relative) ? '' : ` (${V.percent(completeness.relative)})`}`]] : []),
      ...(comparison ? [['Spans', inWords(comparison.spans)], ['Scattered', inWords(comparison.scattered)]] : []),
    ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]));
    const order = Array.from({length: inputs}, (_, i) => i);
    const by = i => Math.abs(of(kind === 'share' ? shares : scores, step, i));
    if (sorted) order.sort((a, b) => by(b) - by(a));
    V.replace(list, V.bars(order.slice(0, 400).map(i => ({name: V.tokenBox(result.ids[i]), value: of(kind === 'share' ? shares : scores, step, i),
      note: kind === 'share' ? V.signed(of(scores, step, i)) : V.percent(of(shares, step, i))})), {signed: kind === 'score', format: kind === 'share' ? V.percent : V.signed}));
    barCard.update();
  };

  const legend = V.el('div', {});
  const drawLegend = () => V.replace(legend, kind === 'share' ? V.legend(V.color.amount, 0, 1, 'none', 'largest share') : V.legend(V.color.diverging, -1, 1, 'against', 'for'));
  const choose = to => { kind = to; drawLegend(); show(shown); if (grid) grid.redraw(); };
  const tableOf = wanted => {
    const {head, rows} = V.flat(result);
    return {head, rows: rows.filter(([step]) => wanted === null || step === wanted)};
  };

  // --- steps by tokens

  let grid = null;
  if (steps.length > 1) {
    grid = V.grid({
      label: `${steps.length} next tokens by ${T} input tokens`, rows: steps.map((_, s) => aim(s)), above: texts, corner: ['input', ''], minWidth: 22, maxWidth: 60, cellHeight: 24,
      color: (row, column) => column < steps[row].inputs ? colour(row, column) : null,
      describe: (row, column) => `next token ${aim(row)}: ${column < steps[row].inputs ? spoken(row, column) : 'not part of its input'}`,
      tip: (row, column) => [V.el('div', {class: 'muted'}, `next token ${aim(row)}`), V.el('div', {}, column < steps[row].inputs ? spoken(row, column) : 'not part of its input')],
      onShow: row => { if (row !== shown) show(row); }, onPin: row => { kept = row; },
    });
  }

  V.onTheme(paint);
  const barCard = V.card({title: 'Input of one step', wide: !grid, body: [facts, list], table: () => tableOf(shown),
                          controls: [V.choice('Order', [['text', 'As in the text'], ['size', 'Largest first']], 'text', to => { sorted = to === 'size'; show(shown); })]});
  drawLegend();
  show(steps.length - 1);
  kept = shown;
  if (grid) requestAnimationFrame(() => grid.moveTo(shown, 0));
  return [
    V.card({title: `${result.method} of the ${result.what}`, wide: true, body: [text], table: () => tableOf(null),
            controls: [V.choice('Show', [['share', 'Share (size only)'], ['score', 'Score (signed)']], kind, choose), legend]}),
    barCard, grid ? V.card({title: 'All steps', body: [grid.element]}) : null,
  ];
});
