// SPDX-License-Identifier: MIT
// What several kinds of noise in a prompt do to what the model says and holds.
V.page(found => {
  const {effects} = found, MEAN = 0, ERROR = 1;
  const aim = () => [...found.continuation].map(place => [V.tokenBox(place), ' ']);
  const nice = kind => kind.replaceAll('-', ' ');
  const changeOf = (effect, r) => effect.logProbs[r] - found.logProb;

  const overview = V.card({title: 'The prompt as it is', wide: true, body: [V.el('dl', {class: 'facts'}, [
    ['Prompt', [...found.tokens].map(place => [V.tokenBox(place), ' '])], ['What follows', [aim(), V.el('span', {class: 'muted'}, found.ownChoice ? 'the model\u2019s own choice' : 'as asked')]],
    ['Log-probability', `${V.number(found.logProb)} nats${found.continuation.length === 1 ? `, ${V.percent(Math.exp(found.logProb))}` : ''}`], ['Rank', V.number(found.rank)],
    ['Budget', `${V.count(found.budget)} of ${V.count(found.tokens.length)} tokens (${V.count(found.words)} words, ${V.count(found.sentences)} sentence${found.sentences === 1 ? '' : 's'})`],
  ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]))]});

  // --- one draw

  const begins = effects.map(({texts}) => { const all = [0]; for (const length of texts.lengths) all.push(all[all.length - 1] + length); return all; });
  const reading = V.el('p', {class: 'where', 'aria-live': 'polite'}), prompt = V.el('div', {class: 'noised'});
  const maskBox = () => V.el('span', {class: 'token mask', title: 'a mask without a token'}, '▒▒');
  const show = ({row: e, i: r}) => {
    const effect = effects[e], {texts} = effect;
    V.replace(reading, V.el('b', {}, nice(effect.kind)), `, draw ${r}: ${V.count(effect.masked[r])} tokens did not survive; log-probability ${V.number(effect.logProbs[r])} nats (`, V.el('b', {}, V.signed(changeOf(effect, r))), `), rank ${V.number(effect.ranks[r])}`);
    const from = begins[e][r], end = begins[e][r + 1];
    V.replace(prompt, end === undefined ? V.el('span', {class: 'muted'}, 'This page holds the texts of the first draws only.') : Array.from({length: end - from}, (_, i) => from + i).map(i => [
      texts.tokens[i] < 0 ? maskBox() : texts.sources[i] < 0 ? V.el('span', {class: 'token mask'}, V.token(texts.tokens[i])) : V.tokenBox(texts.tokens[i]), ' ']));
  };
  const draws = V.dots({
    label: 'Change of the log-probability, a row for each kind of noise', zeroName: 'as it is', axisName: 'change of the log-probability, nats', onShow: show,
    rows: effects.map(effect => ({name: nice(effect.kind), values: Array.from(effect.logProbs, (_, r) => changeOf(effect, r)), mean: effect.change[MEAN], error: effect.change[ERROR]})),
  });

  // --- spans against scattered tokens

  const contrast = found.spansLessScattered;
  const verdict = contrast && (() => {
    const [mean, error] = contrast, sizes = Math.abs(mean) / error;
    const told = sizes >= 2 ? ['Masked in spans, the same number of tokens costs the answer ', V.el('b', {}, mean < 0 ? 'more' : 'less'), ' than scattered.']
                            : ['What the same number of tokens costs in spans and scattered ', V.el('b', {}, 'cannot be told apart'), ' by these draws.'];
    return V.el('p', {class: 'verdict'}, 'Spans less scattered: ', V.el('b', {}, V.signed(mean)), ` ± ${V.number(error, 3)} nats, the mean over pairs of draws and its standard error`,
                Number.isFinite(sizes) ? `, ${V.number(sizes, 2)} of which lie between it and 0. ` : '. ', told);
  })();
  const dots = V.card({
    title: 'What the noise does', wide: true, body: [verdict, draws.element, reading, prompt], note: 'Large dots: means with standard errors. Small dots: single draws.',
    table: () => ({head: ['noise', 'draw', 'tokens lost', 'log-probability', 'change', 'rank'], rows: effects.flatMap(effect => Array.from({length: effect.logProbs.length}, (_, r) => [effect.kind, r, effect.masked[r], effect.logProbs[r], changeOf(effect, r), effect.ranks[r]]))}),
  });
  const means = V.card({
    title: 'Means', wide: true, body: [V.bars(effects.map(effect => ({name: nice(effect.kind), value: effect.change[MEAN], note: `± ${V.number(effect.change[ERROR], 2)}`})), {signed: true, format: V.signed})],
    note: 'Change of the log-probability in nats, with its standard error',
    table: () => ({head: ['noise', 'draws', 'change', 'its error', 'rank', 'its error '], rows: effects.map(effect => [effect.kind, effect.logProbs.length, ...effect.change, ...effect.rank])}),
  });

  // --- layers

  const layers = Array.from({length: Math.max(...effects.map(effect => effect.cosine.means.length), 0)}, (_, l) => l === 0 ? 'embed' : String(l));
  const layerCard = (title, note, key) => {
    const of = list => list.map(effect => ({name: nice(effect.kind), values: [...effect[key].means], low: Array.from(effect[key].means, (mean, l) => mean - effect[key].errors[l]), high: Array.from(effect[key].means, (mean, l) => mean + effect[key].errors[l])}));
    return V.card({title, note, body: [V.lines({label: title, x: layers, xName: 'layer', yName: '', series: of(effects), format: value => V.number(value, 3)}).element],
                   table: () => ({head: ['layer', ...effects.flatMap(effect => [effect.kind, `error of ${effect.kind}`])], rows: layers.map((layer, l) => [layer, ...effects.flatMap(effect => [effect[key].means[l], effect[key].errors[l]])])})});
  };
  if (effects.length) show(draws.shown);
  return [overview, dots, means, ...(layers.length ? [
    layerCard('The last token, layer by layer', 'Cosine of the residual stream with and without noise; bands: standard errors', 'cosine'),
    layerCard('All surviving tokens, layer by layer', 'Linear CKA with the whole prompt; bands: standard errors', 'cka')] : [])];
});
