// SPDX-License-Identifier: MIT
// Directions between two sets of prompts: where they separate, each held-out prompt's place along one, and how to steer with it.
V.page(found => {
  const {x, lines, steering} = found, AUC = 0, D = 1, ACCURACY = 2, NORM = 3, ACTIVATIONS = 4, N = found.prompt.length, S = found.site.length, K = found.top.length;
  const sets = ['positive', 'negative'].map(name => ({name, from: Math.max(found.set.indexOf(name), 0), texts: found.text.filter((_, i) => found.set[i] === name)}));
  const sites = found.site.map((site, s) => ({
    site, width: found.width[s], headWidth: found.head_widths[s], values: ['auc', 'cohens_d', 'accuracy', 'norm', 'activation_norm'].map(name => found[name][s]),
    scores: sets.map(set => found.scores.subarray(s * N + set.from, s * N + set.from + set.texts.length)),
    elements: {places: found.largest_element.subarray(s * K, s * K + Math.min(K, found.width[s])), values: found.largest_value.subarray(s * K, (s + 1) * K)},
  }));
  const POSITIVE = 0, NEGATIVE = 1, relative = s => sites[s].values[NORM] / sites[s].values[ACTIVATIONS];
  const three = value => V.number(value, 3), exact = site => ({AUC: site.values[AUC], d: site.values[D], accuracy: site.values[ACCURACY], norm: site.values[NORM], activations: site.values[ACTIVATIONS]});
  const score = (s, {row, i}) => sites[s].scores[row][i];
  /** Which side of the middle a prompt fell on, in words. */
  const sideOf = (s, dot) => {
    const value = score(s, dot), own = dot.row === POSITIVE ? value : -value;
    return Number.isNaN(value) ? 'no score' : own > 0 ? 'own side' : own < 0 ? 'wrong side' : 'on the midpoint';
  };
  const all = sets.flatMap((set, row) => set.texts.map((_, i) => ({row, i}))), textOf = ({row, i}) => sets[row].texts[i], nameOf = ({row, i}) => `${sets[row].name} ${i}`;
  const partner = ({row, i}) => i < sets[1 - row].texts.length ? {row: 1 - row, i} : null;
  let shown = -1;

  // --- one prompt

  const begins = [0];
  for (const length of found.length) begins.push(begins[begins.length - 1] + length);
  const kMostTokens = 400, reading = V.el('p', {class: 'where', 'aria-live': 'polite'}), prompt = V.el('div', {class: 'noised'});
  const showPrompt = dot => {
    const {row, i} = dot, from = begins[sets[row].from + i], end = begins[sets[row].from + i + 1], first = Math.max(from, end - kMostTokens), other = partner(dot), value = score(shown, dot);
    V.replace(reading, V.el('b', {}, nameOf(dot)), Number.isNaN(value) ? ' has no score: the means of the others are equal' : [': ', V.el('b', {}, V.signed(value)), `, ${sideOf(shown, dot)}`],
              other ? `; its pair ${nameOf(other)}: ${Number.isNaN(score(shown, other)) ? 'no score' : V.signed(score(shown, other))}` : '');
    V.replace(prompt, first > from ? V.el('span', {class: 'muted'}, `${V.count(first - from)} tokens before these … `) : null, Array.from({length: end - first}, (_, at) => {
      const box = V.tokenBox(found.token[first + at]);
      if (found.pooling === 'last' && first + at === end - 1) box.classList.add('pooled');
      return [box, ' '];
    }));
    markRow();
  };
  const rowsOf = s => sets.map((set, row) => ({name: set.name, values: sites[s].scores[row], kind: row === POSITIVE ? 'points plus' : 'points minus'}));
  const dots = V.dots({
    label: 'Scores of held-out prompts, a row for each set', rows: rowsOf(found.best), zeroName: 'midpoint', axisName: 'score: place along the direction', partner, onShow: dot => showPrompt(dot),
    across: ({i}, row) => Math.min(i, sets[row].texts.length - 1),
    tip: dot => [V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, `${nameOf(dot)}, ${sideOf(shown, dot)}`), V.el('b', {}, V.signed(score(shown, dot)))), V.el('div', {}, textOf(dot))],
  });

  // --- all prompts of a site

  const list = V.el('div', {class: 'prompts'});
  let order = [];
  const drawList = () => {
    const key = dot => Number.isNaN(score(shown, dot)) ? -Infinity : score(shown, dot);
    order = [...all].sort((a, b) => key(b) - key(a));
    V.replace(list, V.table({head: ['score', 'side', 'prompt', 'text'], rows: order.map(dot => [V.signed(score(shown, dot)), sideOf(shown, dot), nameOf(dot), textOf(dot)])}));
    list.querySelectorAll('tbody tr').forEach((row, at) => {
      row.addEventListener('pointerenter', () => dots.hover(order[at]));
      row.addEventListener('pointerleave', () => dots.hover(null));
      row.addEventListener('click', () => dots.pin(order[at]));
    });
  };
  const markRow = () => {
    const at = order.findIndex(dot => dot.row === dots.shown.row && dot.i === dots.shown.i);
    list.querySelectorAll('tbody tr').forEach((row, r) => row.classList.toggle('here', r === at));
  };

  // --- one site

  const facts = V.el('dl', {class: 'facts'}), verdict = V.el('p', {}), elements = V.el('div', {}), steer = V.el('code', {});
  const elementName = (site, place) => site.headWidth ? `head ${Math.floor(place / site.headWidth)}, ${place % site.headWidth}` : String(place);
  const show = s => {
    if (s < 0 || s === shown) return;
    shown = s;
    const site = sites[s], {values} = site, sides = all.map(dot => sideOf(s, dot)), count = side => sides.filter(each => each === side).length;
    V.replace(facts, [
      ['Site', site.site], ['AUC', three(values[AUC])], ['Cohen’s d', three(values[D])], ['Accuracy', V.percent(values[ACCURACY])], ['Norm', V.number(values[NORM])],
      ['Relative norm', `${V.percent(relative(s))} of the activations’ ${V.number(values[ACTIVATIONS])}`], ['Elements', V.count(site.width)],
    ].map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)]));
    const wrong = count('wrong side'), middle = count('on the midpoint'), none = count('no score');
    V.replace(verdict, none ? `${V.count(none)} of ${V.count(all.length)} prompts have no score, since the means of the others are equal; AUC, d and accuracy are not known.`
                            : wrong === 0 ? (middle ? 'No prompt is on the wrong side.' : 'Every held-out prompt is on its own side.') : `${V.count(wrong)} of ${V.count(all.length)} held-out prompts ${wrong === 1 ? 'is' : 'are'} on the wrong side.`,
              middle ? ` ${V.count(middle)} on the midpoint.` : '');
    V.replace(elements, V.bars(Array.from(site.elements.places, (place, e) => ({name: elementName(site, place), value: site.elements.values[e]})).slice(0, 15), {signed: true, format: V.signed}));
    steer.textContent = steering[s] ?? '';
    siteCard.querySelector('h2').textContent = sites.length > 1 ? site.site : 'How well it separates';
    drawList();
    dots.set(rowsOf(s));
    showPrompt(dots.shown);
    for (const card of [siteCard, dotsCard, elementCard]) card.update();
  };
  const siteCard = V.card({title: 'Site', body: [facts, verdict], table: () => ({head: ['site', ...Object.keys(exact(sites[0]))], rows: [[sites[shown].site, ...Object.values(exact(sites[shown]))]]})});
  siteCard.classList.add('side', 'site');
  const dotsCard = V.card({title: 'Held-out prompts along the direction', body: [dots.element, reading, prompt], note: found.pooling === 'last' ? 'A prompt is its last token’s activation (framed).' : 'A prompt is the mean over its tokens.',
    table: () => ({head: ['site', 'set', 'index', 'score', 'side', 'text'], rows: all.map(dot => [sites[shown].site, sets[dot.row].name, dot.i, score(shown, dot), sideOf(shown, dot), textOf(dot)])})});
  const hasCurve = x.length > 1 || lines.length > 1;
  dotsCard.classList.add(hasCurve ? 'wide' : 'main', 'dots');
  const listCard = V.card({title: 'Prompts by score', body: [list]});
  listCard.classList.add('main');
  const elementCard = V.card({title: 'Its largest elements', note: sites[0].headWidth ? 'head and place in it, and the value' : 'place in the vector, and the value', body: [elements],
    table: () => ({head: ['site', 'element', 'value'], rows: Array.from(sites[shown].elements.places, (place, e) => [sites[shown].site, place, sites[shown].elements.values[e]])})});
  elementCard.classList.add('side', 'elements');

  // --- along the depth of the model

  const metrics = [['auc', 'AUC', s => sites[s].values[AUC], [0, 1]], ['d', 'Cohen’s d', s => sites[s].values[D], null], ['accuracy', 'Accuracy', s => sites[s].values[ACCURACY], [0, 1]], ['norm', 'Relative norm', relative, null]];
  const siteAt = (line, place) => found.at[line * x.length + place];
  let metric = metrics[0], line = lines.findIndex((_, l) => x.some((__, place) => siteAt(l, place) === found.best)), curve = null;
  const placeOf = s => x.findIndex((_, place) => siteAt(line, place) === s);
  const drawn = () => ({label: `${metric[1]} by layer`, yName: metric[1], range: metric[3], format: three,
                        series: lines.map((name, l) => ({name, values: x.map((_, place) => siteAt(l, place) < 0 ? NaN : metric[2](siteAt(l, place)))}))});
  const allSites = () => ({head: ['site', ...Object.keys(exact(sites[0]))], rows: sites.map(site => [site.site, ...Object.values(exact(site))])});
  const curveCard = () => {
    curve = V.lines({x, xName: 'layer', marks: [placeOf(found.best)], onShow: place => { if (curve) show(siteAt(line, place)); }, ...drawn()});
    const bestSite = sites[found.best], controls = [V.choice('Show', metrics.map(([key, name]) => [key, name]), metric[0], to => { metric = metrics.find(([key]) => key === to); curve.set(drawn()); })];
    if (lines.length > 1) controls.push(V.select('Detail of', lines, line, to => { line = to; show(siteAt(line, curve.at)); }));
    const card = V.card({title: 'By layer', table: allSites, controls, body: [curve.element],
                         note: Number.isNaN(bestSite.values[AUC]) ? null : `Of held-out prompts. Best: ${bestSite.site}, AUC ${three(bestSite.values[AUC])}, d ${three(bestSite.values[D])}. Click on a layer to keep it.`});
    card.classList.add('main', 'curve');
    return card;
  };

  // --- directions with each other

  const paired = sites.map((_, s) => s).filter(s => sites.some((_, other) => other !== s && !Number.isNaN(found.cosines[s * S + other])));
  const cosineCard = () => {
    const R = paired.length, there = paired, of = (r, c) => found.cosines[there[r] * S + there[c]], up = r => R - 1 - r;  // the last on top
    const kinds = new Set(there.map(s => Math.floor(found.at.indexOf(s) / x.length)));
    const labels = there.map(s => { const at = found.at.indexOf(s), depth = x[at % x.length]; return kinds.size > 1 ? `${depth} ${lines[Math.floor(at / x.length)]}` : depth; });
    const said = (r, c) => Number.isNaN(of(r, c)) ? 'none' : V.signed(of(r, c)), name = (r, c) => `${sites[there[r]].site} and ${sites[there[c]].site}`;
    const spoken = V.el('p', {class: 'where', 'aria-live': 'polite'}), say = (r, c) => V.replace(spoken, `${name(r, c)}: `, V.el('b', {}, said(r, c)));
    const grid = V.grid({
      label: `Cosines of ${R} directions`, rows: [...labels].reverse(), above: labels, corner: ['layer', ''], minWidth: R > 60 ? 6 : 24, maxWidth: 48,
      color: (r, c) => V.color.diverging(of(up(r), c)), text: (r, c) => Number.isNaN(of(up(r), c)) ? '' : V.short(of(up(r), c)),
      describe: (r, c) => `${name(up(r), c)}: ${said(up(r), c)}`, tip: (r, c) => `${name(up(r), c)}: ${said(up(r), c)}`, onShow: (r, c) => say(up(r), c),
    });
    say(R - 1, 0);
    const card = V.card({title: 'Cosines between the directions', body: [grid.element, spoken], controls: [V.legend(V.color.diverging, -1, 1, '−1', '+1')],
                         note: R < S ? 'Only sites of the residual stream share a basis; the others have no cosine with each other.' : null,
                         table: () => ({head: ['row', 'column', 'cosine'], rows: Array.from({length: R * R}, (_, at) => [sites[there[Math.floor(at / R)]].site, sites[there[at % R]].site, of(Math.floor(at / R), at % R)])})});
    card.classList.add('main', 'cosines');
    return card;
  };

  const steerCard = () => {
    const button = V.el('button', {type: 'button', class: 'copy-steer', onclick: () => V.copy(button, steer.textContent, 'the command')}, 'Copy command');
    return V.card({title: 'To steer with it', wide: true, note: 'Adds the direction at this site while it generates, as many times as said: *2 for more, *-1 for the opposite.', body: [V.el('div', {class: 'steer'}, V.el('p', {}, steer, ' ', button))]});
  };

  const curves = hasCurve ? curveCard() : null;
  show(found.best);
  if (curve) curve.show(placeOf(found.best));
  return [...(hasCurve ? [curves, siteCard, dotsCard] : [dotsCard, siteCard]), listCard, elementCard, paired.length ? cosineCard() : null, steering.length ? steerCard() : null];
});
