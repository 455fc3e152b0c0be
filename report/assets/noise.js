// SPDX-License-Identifier: MIT
// What several kinds of noise in a prompt do to what the model says and holds.
V.page(found => {
  const MEAN = 0, ERROR = 1, R = found.repetition.length, S = found.site.length, part = (values, e, size) => values.subarray(e * size, (e + 1) * size);
  const estimate = (name, e) => [found[`${name}_mean`][e], found[`${name}_standard_error`][e]];
  const layersOf = (name, e) => ({means: part(found[`${name}_mean`], e, S), errors: part(found[`${name}_standard_error`], e, S)});
  const effects = found.noise.map((kind, e) => ({
    kind, masked: part(found.repetitions_masked, e, R), logProbs: part(found.repetitions_log_probability, e, R), ranks: part(found.repetitions_rank, e, R),
    change: estimate('log_probability_change', e), rank: estimate('rank', e), cosine: layersOf('cosine', e), cka: layersOf('cka', e),
  }));
  const aim = () => [...found.continuation].map(place => [V.tokenBox(place), ' ']);
  const nice = kind => kind.replaceAll('-', ' ');
  const changeOf = (effect, r) => effect.logProbs[r] - found.log_probability[0];

  const overview = V.card({title: 'The prompt as it is', wide: true, body: [V.el('dl', {class: 'facts'}, [
    ['Prompt', [...found.ids].map(place => [V.tokenBox(place), ' '])], ['What follows', [aim(), V.el('span', {class: 'muted'}, found.own_choice ? 'the model\u2019s own choice' : 'as asked')]],
    ['Log-probability', `${V.number(found.log_probability[0])} nats${found.continuation.length === 1 ? `, ${V.percent(Math.exp(found.log_probability[0]))}` : ''}`], ['Rank', V.number(found.rank[0])],
    ['Budget', `${V.count(found.budget)} of ${V.count(found.ids.length)} tokens (${V.count(found.words)} words, ${V.count(found.sentences)} sentence${found.sentences === 1 ? '' : 's'})`],
  ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]))]});

  // --- one draw

  const begins = [0], texts = effects.length ? found.text_length.length / effects.length : 0;  // of each kind
  for (const length of found.text_length) begins.push(begins[begins.length - 1] + length);
  const reading = V.el('p', {class: 'where', 'aria-live': 'polite'}), prompt = V.el('div', {class: 'noised'});
  const maskBox = () => V.el('span', {class: 'token mask', title: 'a mask without a token'}, '▒▒');
  const show = ({row: e, i: r}) => {
    const effect = effects[e];
    V.replace(reading, V.el('b', {}, nice(effect.kind)), `, draw ${r}: ${V.count(effect.masked[r])} tokens did not survive; log-probability ${V.number(effect.logProbs[r])} nats (`, V.el('b', {}, V.signed(changeOf(effect, r))), `), rank ${V.number(effect.ranks[r])}`);
    const from = begins[e * texts + r], end = r < texts ? begins[e * texts + r + 1] : undefined;
    V.replace(prompt, end === undefined ? V.el('span', {class: 'muted'}, 'This page holds the texts of the first draws only.') : Array.from({length: end - from}, (_, i) => from + i).map(i => [
      V.tokenId(found.text_token[i]) < 0 ? maskBox() : found.text_source[i] < 0 ? V.el('span', {class: 'token mask'}, V.token(found.text_token[i])) : V.tokenBox(found.text_token[i]), ' ']));
  };
  const draws = V.dots({
    label: 'Change of the log-probability, a row for each kind of noise', zeroName: 'as it is', axisName: 'change of the log-probability, nats', onShow: show,
    rows: effects.map(effect => ({name: nice(effect.kind), values: Array.from(effect.logProbs, (_, r) => changeOf(effect, r)), mean: effect.change[MEAN], error: effect.change[ERROR]})),
  });

  // --- spans against scattered tokens

  const contrast = found.spans_less_scattered;
  const verdict = contrast && (() => {
    const {mean, standard_error: error} = contrast, sizes = Math.abs(mean) / error;
    const told = sizes >= 2 ? ['Masked in spans, the same number of tokens costs the answer ', V.el('b', {}, mean < 0 ? 'more' : 'less'), ' than scattered.']
                            : ['What the same number of tokens costs in spans and scattered ', V.el('b', {}, 'cannot be told apart'), ' by these draws.'];
    return V.el('p', {class: 'verdict'}, 'Spans less scattered: ', V.el('b', {}, V.signed(mean)), ` ± ${V.number(error, 3)} nats, the mean over pairs of draws and its standard error`,
                Number.isFinite(sizes) ? `, ${V.number(sizes, 2)} of which lie between it and 0. ` : '. ', told);
  })();
  const dots = V.card({
    title: 'What the noise does', wide: true, body: [verdict, draws.element, reading, prompt], note: 'Large dots: means with standard errors. Small dots: single draws.',
    table: () => V.flat(found),
  });
  const means = V.card({
    title: 'Means', wide: true, body: [V.bars(effects.map(effect => ({name: nice(effect.kind), value: effect.change[MEAN], note: `± ${V.number(effect.change[ERROR], 2)}`})), {signed: true, format: V.signed})],
    note: 'Change of the log-probability in nats, with its standard error',
    table: () => ({head: ['noise', 'draws', 'change', 'its error', 'rank', 'its error '], rows: effects.map(effect => [effect.kind, effect.logProbs.length, ...effect.change, ...effect.rank])}),
  });

  // --- layers

  const layers = found.rows;
  const layerCard = (title, note, key) => {
    const of = list => list.map(effect => ({name: nice(effect.kind), values: [...effect[key].means], low: Array.from(effect[key].means, (mean, l) => mean - effect[key].errors[l]), high: Array.from(effect[key].means, (mean, l) => mean + effect[key].errors[l])}));
    return V.card({title, note, body: [V.lines({label: title, x: layers, xName: 'layer', yName: '', series: of(effects), format: value => V.number(value, 3)}).element],
                   table: () => ({head: ['site', ...effects.flatMap(effect => [effect.kind, `error of ${effect.kind}`])], rows: found.site.map((site, l) => [site, ...effects.flatMap(effect => [effect[key].means[l], effect[key].errors[l]])])})});
  };
  if (effects.length) show(draws.shown);
  return [overview, dots, means, ...(layers.length ? [
    layerCard('The last token, layer by layer', 'Cosine of the residual stream with and without noise; bands: standard errors', 'cosine'),
    layerCard('All surviving tokens, layer by layer', 'Linear CKA with the whole prompt; bands: standard errors', 'cka')] : [])];
});
