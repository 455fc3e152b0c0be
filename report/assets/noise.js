// What several kinds of noise in a prompt do to what the model says and holds.
V.page(found => {
  const {effects} = found, MEAN = 0, ERROR = 1;
  const aim = () => [...found.continuation].map(place => [V.tokenBox(place), ' ']);
  const nice = kind => kind.replaceAll('-', ' ');
  const changeOf = (effect, r) => effect.logProbs[r] - found.logProb;
  let kept = {e: 0, r: 0}, shown = null;

  const overview = V.card({title: 'The prompt as it is', wide: true, body: [V.el('dl', {class: 'facts'}, [
    ['Prompt', [...found.tokens].map(place => [V.tokenBox(place), ' '])], ['What follows', [aim(), V.el('span', {class: 'muted'}, found.ownChoice ? 'the model\u2019s own choice' : 'as asked')]],
    ['Log-probability', `${V.number(found.logProb)} nats${found.continuation.length === 1 ? `, ${V.percent(Math.exp(found.logProb))}` : ''}`], ['Rank', V.number(found.rank)],
    ['Budget', `${V.count(found.budget)} of ${V.count(found.tokens.length)} tokens (${V.count(found.words)} words, ${V.count(found.sentences)} sentence${found.sentences === 1 ? '' : 's'})`],
  ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]))]});

  // --- dots: a row for each kind of noise, a small dot for each draw, a large one with its error for the mean

  const kRow = 46, kTop = 22, kBottom = 44, kRight = 16;
  const height = kTop + kRow * effects.length + kBottom, box = V.el('div', {class: 'plot', role: 'group', tabindex: 0, 'aria-label': 'Change of the log-probability, a row for each kind of noise. Up and down move between kinds, left and right between draws, Enter keeps one.'});
  let low = 0, high = 0;
  for (const effect of effects) for (let r = 0; r < effect.logProbs.length; ++r) if (Number.isFinite(changeOf(effect, r))) { low = Math.min(low, changeOf(effect, r)); high = Math.max(high, changeOf(effect, r)); }
  const room = (high - low) * 0.05 || 1;
  low -= room;
  high += room;
  // Dots of a row keep apart by a fixed pattern: the same page every time.
  const spread = r => ((r * 0.618034) % 1 - 0.5) * 20;
  let width = 0, ring = null;
  const left = () => Math.min(170, Math.max(152, width * 0.2)), x = value => left() + (value - low) / (high - low) * (width - left() - kRight), y = e => kTop + kRow * (e + 0.5);
  const kMostDots = 2000;
  const draw = () => {
    width = box.clientWidth;
    if (width === 0) return;
    const dot = (cx, cy, r) => `M${(cx - r).toFixed(1)} ${cy.toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
    ring = V.svg('g', {});
    V.replace(box, V.svg('svg', {width, height, role: 'img', 'aria-label': 'Change of the log-probability by kind of noise'},
      V.ticks(low, high, Math.max(2, (width - left()) / 90)).map(tick => [V.svg('line', {class: 'rule', x1: x(tick), x2: x(tick), y1: kTop, y2: height - kBottom}), V.svg('text', {x: x(tick), y: height - kBottom + 17, 'text-anchor': 'middle'}, V.signed(tick))]),
      V.svg('line', {class: 'mean', x1: x(0), x2: x(0), y1: kTop, y2: height - kBottom}), V.svg('text', {x: x(0), y: kTop - 8, 'text-anchor': 'middle'}, 'as it is'),
      V.svg('text', {x: (left() + width - kRight) / 2, y: height - 8, 'text-anchor': 'middle'}, 'change of the log-probability, nats'),
      effects.map((effect, e) => {
        let draws = '';
        for (let r = 0; r < Math.min(effect.logProbs.length, kMostDots); ++r) if (Number.isFinite(changeOf(effect, r))) draws += dot(x(changeOf(effect, r)), y(e) + spread(r), 2.4);
        const mean = x(effect.change[MEAN]), error = Math.abs(x(effect.change[MEAN] + effect.change[ERROR]) - mean);
        return [V.svg('text', {class: 'row-name', x: left() - 10, y: y(e), 'text-anchor': 'end', 'dominant-baseline': 'middle'}, nice(effect.kind)), V.svg('path', {class: 'draws', d: draws}),
                Number.isFinite(mean) ? [V.svg('line', {class: 'error', x1: mean - error, x2: mean + error, y1: y(e), y2: y(e)}), [-1, 1].map(side => V.svg('line', {class: 'error', x1: mean + side * error, x2: mean + side * error, y1: y(e) - 6, y2: y(e) + 6})), V.svg('circle', {class: 'mean-dot', cx: mean, cy: y(e), r: 5.5})] : null];
      }), ring));
    mark();
  };
  const mark = () => { if (ring && shown) V.replace(ring, V.svg('circle', {class: 'ring', cx: x(changeOf(effects[shown.e], shown.r)), cy: y(shown.e) + spread(shown.r), r: 6})); };
  const nearest = event => {
    const at = box.getBoundingClientRect(), px = event.clientX - at.left, py = event.clientY - at.top, e = Math.min(Math.max(Math.floor((py - kTop) / kRow), 0), effects.length - 1);
    let best = 0, least = Infinity;
    for (let r = 0; r < Math.min(effects[e].logProbs.length, kMostDots); ++r) {
      const far = (x(changeOf(effects[e], r)) - px) ** 2 + (y(e) + spread(r) - py) ** 2;
      if (far < least) { least = far; best = r; }
    }
    return {e, r: best};
  };
  new ResizeObserver(draw).observe(box);
  V.onTheme(() => { if (box.isConnected) draw(); });
  box.addEventListener('pointermove', event => { if (event.pointerType !== 'touch') show(nearest(event)); });
  box.addEventListener('pointerleave', () => show(kept));
  box.addEventListener('click', event => { kept = nearest(event); show(kept); });
  box.addEventListener('keydown', event => {
    const {e, r} = shown, byChange = Array.from({length: Math.min(effects[e].logProbs.length, kMostDots)}, (_, i) => i).sort((a, b) => changeOf(effects[e], a) - changeOf(effects[e], b)), at = byChange.indexOf(r), last = byChange.length - 1;
    const to = {ArrowUp: {e: Math.max(e - 1, 0), r: 0}, ArrowDown: {e: Math.min(e + 1, effects.length - 1), r: 0}, ArrowLeft: {e, r: byChange[Math.max(at - 1, 0)]}, ArrowRight: {e, r: byChange[Math.min(at + 1, last)]}, Home: {e, r: byChange[0]}, End: {e, r: byChange[last]}}[event.key];
    if (to) show(to);
    else if (event.key === 'Enter' || event.key === ' ') { kept = shown; show(kept); }
    else return;
    event.preventDefault();
  });

  // --- one draw

  const begins = effects.map(({texts}) => { const all = [0]; for (const length of texts.lengths) all.push(all[all.length - 1] + length); return all; });
  const reading = V.el('p', {class: 'where', 'aria-live': 'polite'}), prompt = V.el('div', {class: 'noised'});
  const maskBox = () => V.el('span', {class: 'token mask', title: 'a mask that is no token'}, '▒▒');
  const show = to => {
    shown = to;
    const effect = effects[to.e], {texts} = effect;
    V.replace(reading, V.el('b', {}, nice(effect.kind)), `, draw ${to.r}: ${V.count(effect.masked[to.r])} tokens did not survive; log-probability ${V.number(effect.logProbs[to.r])} nats (`, V.el('b', {}, V.signed(changeOf(effect, to.r))), `), rank ${V.number(effect.ranks[to.r])}`);
    const from = begins[to.e][to.r], end = begins[to.e][to.r + 1];
    V.replace(prompt, end === undefined ? V.el('span', {class: 'muted'}, 'This page holds the texts of the first draws only.') : Array.from({length: end - from}, (_, i) => from + i).map(i => [
      texts.tokens[i] < 0 ? maskBox() : texts.sources[i] < 0 ? V.el('span', {class: 'token mask'}, V.token(texts.tokens[i])) : V.tokenBox(texts.tokens[i]), ' ']));
    mark();
  };

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
    title: 'What the noise does', wide: true, body: [verdict, box, reading, prompt], note: 'Large dots: means with standard errors. Small dots: single draws.',
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
  if (effects.length) show(kept);
  return [overview, dots, means, ...(layers.length ? [
    layerCard('The last token, layer by layer', 'Cosine of the residual stream with and without noise; bands: standard errors', 'cosine'),
    layerCard('All surviving tokens, layer by layer', 'Linear CKA with the whole prompt; bands: standard errors', 'cka')] : [])];
});
