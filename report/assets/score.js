// SPDX-License-Identifier: MIT
// A text coloured by how little the model expected each token or word.
V.page(found => {
  const {surprisal: losses, position: positions} = found, N = losses.length, nat = Math.LN2;
  const words = found.word && {texts: found.word, surprisals: found.word_surprisal};
  const texts = [...found.token].map(V.token);
  let unit = 'bits', by = 'token';
  const inUnit = nats => unit === 'bits' ? nats / nat : nats, written = nats => `${V.number(inUnit(nats), 3)} ${unit}`;
  const none = i => Number.isNaN(losses[i]);  // the first token, where nothing was put before it
  const scored = losses.filter(loss => !Number.isNaN(loss)), total = scored.reduce((sum, loss) => sum + loss, 0), mean = total / scored.length;
  // The scale ends where a uniform choice among the vocabulary would be: a surprise beyond that is as dark as it gets.
  const most = Math.log(Math.max(found.vocab, 2));
  const wordOf = new Int32Array(N).fill(-1);
  if (words) {
    const at = new Map(Array.from(positions, (position, i) => [position, i]));
    found.first.forEach((first, w) => { for (let i = 0; i < found.tokens[w]; ++i) if (at.has(first + i)) wordOf[at.get(first + i)] = w; });
  }
  const surprisal = i => by === 'word' && wordOf[i] >= 0 ? words.surprisals[wordOf[i]] : losses[i];
  const expected = i => none(i) ? 'nothing: without context' : `${V.token(found.top_token[i])} ${V.percent(found.top_probability[i])}`;

  const facts = V.el('dl', {class: 'facts'}), detailTitle = V.el('p', {class: 'where', 'aria-live': 'polite'});
  let shown = 0;
  const show = i => {
    shown = i;
    const w = wordOf[i];
    V.replace(detailTitle, V.tokenBox(found.token[i]), ` at position ${positions[i]}`);
    V.replace(facts, [
      ...(none(i) ? [['Surprisal', 'none: the first token is without context']] : [['Surprisal', written(losses[i])], ['Probability', V.percent(Math.exp(-losses[i]))], ['Rank', `${V.count(found.rank[i])} of ${V.count(found.vocab)}`],
      ['Expected', [V.tokenBox(found.top_token[i]), ` ${V.percent(found.top_probability[i])}`]], ['Entropy', written(found.entropy[i])], ['Tokens before it', V.count(found.context[i])]]),
      ...(w >= 0 ? [['Word', words.texts[w]], ['Its surprisal', Number.isNaN(words.surprisals[w]) ? 'none: its first token was not scored' : written(words.surprisals[w])], ...(found.shares_token[w] ? [['Note', 'shares a token with another word']] : [])] : []),
    ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]));
    if (curve) curve.show(Math.floor(i / step));
  };
  const text = V.text({
    label: 'The text', places: found.token, color: i => V.color.amount(surprisal(i) / most), small: i => Number.isNaN(surprisal(i)) ? '–' : V.number(inUnit(surprisal(i)), 2),
    describe: i => none(i) ? `${texts[i]}, position ${positions[i]}: without context, no surprisal` : `${texts[i]}, position ${positions[i]}: ${written(losses[i])}, rank ${V.count(found.rank[i])}, expected ${expected(i)}`,
    tip: i => [V.el('div', {class: 'row'}, V.tokenBox(found.token[i]), V.el('b', {}, none(i) ? 'no surprisal' : written(losses[i]))), V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, 'expected'), V.el('span', {}, expected(i))),
               by === 'word' && wordOf[i] >= 0 ? V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, `word ${words.texts[wordOf[i]]}`), V.el('b', {}, written(words.surprisals[wordOf[i]]))) : null],
    onShow: i => show(i),
  });

  // --- along the text: means over pieces, so that a book has a curve too

  const kPoints = 200, step = Math.max(1, Math.ceil(N / kPoints)), pieces = Math.ceil(N / step);
  const meanOf = values => Array.from({length: pieces}, (_, p) => {
    let sum = 0, count = 0;
    for (let i = p * step; i < Math.min(N, (p + 1) * step); ++i) if (!none(i)) { sum += values[i]; ++count; }
    return inUnit(sum / count);
  });
  const series = () => [{name: 'surprisal', values: meanOf(losses)}, {name: 'entropy, what was to be expected', values: meanOf(found.entropy)}];
  const curve = V.lines({label: 'Surprisal along the text', x: Array.from({length: pieces}, (_, p) => String(positions[p * step])), xName: step > 1 ? `position, means of ${step} tokens from` : 'position', yName: 'bits', series: series(), format: value => V.number(value, 3)});

  const totals = V.el('dl', {class: 'facts'}), legend = V.el('div', {});
  const drawTotals = () => V.replace(totals, [
    ['Tokens', scored.length < N ? `${V.count(N)}, ${V.count(scored.length)} scored` : V.count(N)], ['Mean', `${written(mean)} a token`], ['Perplexity', V.number(Math.exp(mean))], ['Together', written(total)],
    ...(words ? [['Words', V.count(words.texts.length)], ['Boundary', found.boundary], ['Mean', (() => { const there = [...words.surprisals].filter(Number.isFinite); return `${written(there.reduce((a, b) => a + b, 0) / there.length)} a word`; })()]] : []),
    ['Window', `${V.count(found.window)} tokens, stride ${V.count(found.stride)}`], ...(found.prepended_token ? [['Put before', V.tokenBox(found.prepended_token[0])]] : []),
  ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]));
  const drawLegend = () => V.replace(legend, V.legend(V.color.amount, 0, 1, '0', `${V.number(inUnit(most), 3)} ${unit}: chance`));
  const again = () => { drawTotals(); drawLegend(); text.redraw(); curve.set({series: series(), yName: unit}); show(shown); textCard.update(); };

  const kColumns = ['position', 'token', 'context', 'surprisal', 'rank', 'entropy', 'top_token', 'top_probability'];
  const tokenTable = () => ({head: kColumns, rows: texts.map((_, i) => kColumns.map(name => V.value(found[name][i], name.endsWith('token'))))});
  const textCard = V.card({
    title: 'The text', body: [text.element],
    controls: [V.choice('In', [['bits', 'Bits'], ['nats', 'Nats']], unit, to => { unit = to; again(); }), words ? V.choice('By', [['token', 'Token'], ['word', 'Word']], by, to => { by = to; again(); }) : null, legend],
    table: () => words ? tokenTable() : V.flat(found),
  });
  textCard.classList.add('main');
  const detailCard = V.card({title: 'One token', body: [detailTitle, facts]}), totalCard = V.card({title: 'Together', body: [totals]});
  for (const card of [detailCard, totalCard]) card.classList.add('side');
  const wordCard = words ? V.card({title: 'The most surprising words', body: [V.bars([...words.surprisals.keys()].filter(w => Number.isFinite(words.surprisals[w])).sort((a, b) => words.surprisals[b] - words.surprisals[a]).slice(0, 15)
    .map(w => ({name: words.texts[w], value: words.surprisals[w] / nat, note: 'bits'})), {format: value => V.number(value, 3)})],
    table: () => V.flat(found)}) : null;
  const curveCard = V.card({title: 'Along the text', body: [curve.element], table: () => ({head: ['position', `surprisal, ${unit}`, `entropy, ${unit}`], rows: curve.x.map((position, p) => [Number(position), ...curve.series.map(line => line.values[p])])})});
  curveCard.classList.add('main');
  drawTotals();
  drawLegend();
  let surprising = 0;
  for (let i = 1; i < N; ++i) if (none(surprising) || losses[i] > losses[surprising]) surprising = i;
  if (N > 0) show(surprising);
  return [textCard, detailCard, curveCard, totalCard, wordCard];
});
