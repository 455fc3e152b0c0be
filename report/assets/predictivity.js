// SPDX-License-Identifier: MIT
// How well each layer predicts what was measured.
V.page(found => {
  const {sites, controls, ceiled} = found, R = 0, SCORE = 1, LOW = 0, HIGH = 1;
  const what = ceiled ? 'score (r ÷ ceiling)' : 'r', score = site => site.scores[SCORE];

  // The residual stream's sites are one curve from the embedding up; other sites have a curve for each kind.
  const parts = sites.map(site => /^blocks\.(\d+)\.(.*)$/.exec(site.name));
  const kindOf = (site, s) => !parts[s] ? site.name : /^hook_resid_(pre|post)$/.test(parts[s][2]) ? 'residual stream' : parts[s][2].replace(/^hook_|\.hook_/, match => match === '.hook_' ? '.' : '');
  const place = s => !parts[s] ? sites[s].layer : sites[s].layer + (parts[s][2] === 'hook_resid_pre' ? 0 : 1);  // 0: what enters the first block
  const rows = [...new Set(sites.map((_, s) => place(s)))].sort((a, b) => a - b), kinds = [...new Set(sites.map(kindOf))];
  const x = rows.map(row => row === 0 ? 'embed' : String(row - 1));
  const siteAt = (kind, row) => sites.findIndex((site, s) => kindOf(site, s) === kind && place(s) === row);
  const along = (kind, of) => rows.map(row => { const s = siteAt(kind, row); return s < 0 ? NaN : of(s); });
  const named = kinds.length > 1 ? kind => `, ${kind}` : () => '';
  const series = [
    ...kinds.map(kind => ({name: `trained${named(kind)}`, values: along(kind, s => score(sites[s])), low: along(kind, s => sites[s].interval[LOW]), high: along(kind, s => sites[s].interval[HIGH])})),
    ...(controls.length ? kinds.map(kind => ({name: `untrained${named(kind)}`, values: along(kind, s => controls[s].values[0]), low: along(kind, s => controls[s].interval[LOW]), high: along(kind, s => controls[s].interval[HIGH])})) : []),
    {name: 'without a model', values: rows.map(() => score(found.baseline)), faint: true},
    ...(ceiled ? [{name: 'ceiling', values: rows.map(() => 1), faint: true}] : []),
  ];

  // --- one layer

  let shown = -1, kind = kindOf(sites[found.best], found.best);
  const facts = V.el('dl', {class: 'facts'}), subjects = V.el('div', {}), distribution = V.el('div', {}), list = V.el('div', {});
  const interval = pair => Number.isNaN(pair[LOW]) ? '' : ` (95 %: ${V.number(pair[LOW], 3)} to ${V.number(pair[HIGH], 3)})`;
  const kBins = 20;
  /** How the neuroids' r are spread, in bins over -1..1 of which only those between the outermost are drawn. */
  const spread = values => {
    const bins = new Array(2 * kBins).fill(0), there = [...values].filter(Number.isFinite);
    for (const value of there) ++bins[Math.min(2 * kBins - 1, Math.floor((value + 1) * kBins))];
    const first = bins.findIndex(count => count > 0), last = bins.length - 1 - [...bins].reverse().findIndex(count => count > 0);
    if (there.length === 0) return [];
    return bins.slice(first, last + 1).map((count, i) => ({name: [first + i, first + i + 1].map(edge => (edge / kBins - 1).toFixed(2).replace('-', '−')).join(' to '), value: count}));
  };
  const show = s => {
    if (s < 0 || s === shown) return;
    shown = s;
    const site = sites[s], control = controls[s];
    V.replace(facts, [
      ['Site', site.name], ['Features', V.count(site.features)], [ceiled ? 'Score' : 'r', `${V.number(score(site), 3)}${interval(site.interval)}`], ...(ceiled ? [['r', V.number(site.scores[R], 3)]] : []),
      ...(control ? [['Untrained', `${V.number(control.values[0], 3)}${interval(control.interval)}${control.scores.length > 1 ? `, mean of ${control.scores.length} seeds` : ''}`], ['Advantage', `${V.signed(control.values[1])}${interval(control.advantageInterval)}`]] : []),
    ].map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)]));
    V.replace(subjects, found.subjects.length > 1 ? [V.el('h3', {}, 'Subjects'), V.bars(found.subjects.map((name, i) => ({name, value: site.subjects[i]})), {format: value => V.number(value, 3), most: ceiled ? 1 : null})] : null);
    V.replace(distribution, V.bars(spread(site.neuroids), {format: V.count}));
    const order = [...site.neuroids.keys()].filter(q => Number.isFinite(site.neuroids[q])).sort((a, b) => site.neuroids[b] - site.neuroids[a]);
    V.replace(list, V.bars(order.slice(0, 12).map(q => ({name: found.neuroids[q], value: site.neuroids[q], note: found.subjects.length > 1 ? found.neuroidSubjects[q] : null})), {format: value => V.number(value, 3), most: 1}));
    layerCard.querySelector('h2').textContent = `Layer ${x[rows.indexOf(place(s))]}${named(kindOf(site, s))}`;
    layerCard.update();
    neuroidCard.update();
  };
  const layerCard = V.card({title: 'Layer', body: [facts, subjects], table: () => ({head: ['subject', what], rows: found.subjects.map((name, i) => [name, sites[shown].subjects[i]])})});
  layerCard.classList.add('side', 'layer');
  const neuroidCard = V.card({title: 'Neuroids of this layer', note: found.constant.length ? `${V.count(found.constant.length)} of ${V.count(found.neuroids.length)} have no r: their responses are constant somewhere.` : null,
    body: [V.el('h3', {}, 'How many have which r'), distribution, V.el('h3', {}, 'Best predicted'), list],
    table: () => ({head: ['neuroid', 'subject', 'r'], rows: found.neuroids.map((name, q) => [name, found.neuroidSubjects[q], sites[shown].neuroids[q]])})});

  // --- the curve

  const lines = V.lines({label: `${what} by layer`, x, xName: 'layer', yName: what, series, marks: [rows.indexOf(place(found.best))], format: value => V.number(value, 3), onShow: at => show(siteAt(kind, rows[at]))});
  const allTable = () => ({
    head: ['site', 'layer', 'features', 'r', 'score', 'low', 'high', ...(controls.length ? ['untrained', 'untrained low', 'untrained high', 'advantage', 'advantage low', 'advantage high'] : [])],
    rows: [...sites.map((site, s) => [site.name, site.layer, site.features, site.scores[R], score(site), site.interval[LOW], site.interval[HIGH], ...(controls.length ? [controls[s].values[0], ...controls[s].interval, controls[s].values[1], ...controls[s].advantageInterval] : [])]),
           [found.baseline.name, '', found.baseline.features, found.baseline.scores[R], score(found.baseline), found.baseline.interval[LOW], found.baseline.interval[HIGH]]],
  });
  const curve = V.card({
    title: 'By layer', table: allTable, body: [lines.element],
    note: `Bands hold 95 %. Best: ${sites[found.best].name}, ${V.number(score(sites[found.best]), 3)}. Without a model: length and place of a stimulus alone.${found.cut ? ` ${V.count(found.cut)} stimuli lost the beginning of their context, which was too long.` : ''}`,
    controls: kinds.length > 1 ? [V.choice('Detail of', kinds.map(each => [each, each]), kind, to => { kind = to; show(siteAt(kind, rows[lines.at])); })] : [],
  });
  curve.classList.add('main', 'curve');
  requestAnimationFrame(() => lines.show(rows.indexOf(place(found.best))));
  show(found.best);
  return [curve, layerCard, neuroidCard, found.subjects.length > 1 ? V.card({title: 'Subjects by layer', table: () => ({head: ['site', ...found.subjects], rows: sites.map(site => [site.name, ...site.subjects])}), body: [
    V.grid({label: `${found.subjects.length} subjects by ${sites.length} sites`, rows: found.subjects, above: sites.map((_, s) => x[rows.indexOf(place(s))]), corner: ['layer', ''], minWidth: 24, maxWidth: 56, cellHeight: 24,
      color: (row, s) => V.color.amount(sites[s].subjects[row] / (ceiled ? 1 : Math.max(...sites.flatMap(site => [...site.subjects]).filter(Number.isFinite), 1e-30))), text: (row, s) => V.number(sites[s].subjects[row], 2),
      describe: (row, s) => `${found.subjects[row]}, ${sites[s].name}: ${V.number(sites[s].subjects[row], 3)}`, tip: (row, s) => `${found.subjects[row]}, ${sites[s].name}: ${V.number(sites[s].subjects[row], 3)}`}).element]}) : null];
});
