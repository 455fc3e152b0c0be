// SPDX-License-Identifier: MIT
// How well each layer predicts what was measured.
V.page(found => {
  const {site: sites, subject, neuroid, ceiled} = found, S = subject.length, Q = neuroid.length, LOW = 0, HIGH = 1;
  const what = ceiled ? 'score (r ÷ ceiling)' : 'r', best = sites.indexOf(found.best), controlled = found.control_score !== undefined;
  /** One of the two ends of an interval, and the values of site s in a list of `size` a site. */
  const end = (intervals, which) => s => intervals[2 * s + which], of = (values, s, size) => values.subarray(s * size, (s + 1) * size);

  // The residual stream's sites are one curve from the embedding up; other sites have a curve for each kind.
  const parts = sites.map(site => /^blocks\.(\d+)\.(.*)$/.exec(site));
  const kindOf = s => !parts[s] ? sites[s] : /^hook_resid_(pre|post)$/.test(parts[s][2]) ? 'residual stream' : parts[s][2].replace(/^hook_|\.hook_/, match => match === '.hook_' ? '.' : '');
  const place = s => !parts[s] ? found.layer[s] : found.layer[s] + (parts[s][2] === 'hook_resid_pre' ? 0 : 1);  // 0: what enters the first block
  const rows = [...new Set(sites.map((_, s) => place(s)))].sort((a, b) => a - b), kinds = [...new Set(sites.map((_, s) => kindOf(s)))];
  const x = rows.map(row => row === 0 ? 'embed' : String(row - 1));
  const siteAt = (kind, row) => sites.findIndex((_, s) => kindOf(s) === kind && place(s) === row);
  const along = (kind, of) => rows.map(row => { const s = siteAt(kind, row); return s < 0 ? NaN : of(s); });
  const named = kinds.length > 1 ? kind => `, ${kind}` : () => '';
  const series = [
    ...kinds.map(kind => ({name: `trained${named(kind)}`, values: along(kind, s => found.score[s]), low: along(kind, end(found.interval, LOW)), high: along(kind, end(found.interval, HIGH))})),
    ...(controlled ? kinds.map(kind => ({name: `untrained${named(kind)}`, values: along(kind, s => found.control_score[s]), low: along(kind, end(found.control_interval, LOW)), high: along(kind, end(found.control_interval, HIGH))})) : []),
    {name: 'without a model', values: rows.map(() => found.baseline_score[0]), faint: true},
    ...(ceiled ? [{name: 'ceiling', values: rows.map(() => 1), faint: true}] : []),
  ];

  // --- one layer

  let shown = -1, kind = kindOf(best);
  const facts = V.el('dl', {class: 'facts'}), subjects = V.el('div', {}), distribution = V.el('div', {}), list = V.el('div', {});
  const interval = (intervals, s) => Number.isNaN(end(intervals, LOW)(s)) ? '' : ` (95 %: ${V.number(end(intervals, LOW)(s), 3)} to ${V.number(end(intervals, HIGH)(s), 3)})`;
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
    const seeds = controlled ? found.control_scores.length / sites.length : 0, subjectScores = of(found.subjects, s, S), neuroids = of(found.neuroids, s, Q);
    V.replace(facts, [
      ['Site', sites[s]], ['Features', V.count(found.features[s])], [ceiled ? 'Score' : 'r', `${V.number(found.score[s], 3)}${interval(found.interval, s)}`], ...(ceiled ? [['r', V.number(found.r[s], 3)]] : []),
      ['Against the best', s === best ? 'best' : `${found.verdict[s]}: ${V.number(found.below_best[s], 3)} below${interval(found.below_best_interval, s)}`],
      ...(controlled ? [['Untrained', `${V.number(found.control_score[s], 3)}${interval(found.control_interval, s)}${seeds > 1 ? `, mean of ${seeds} seeds` : ''}`], ['Advantage', `${V.signed(found.control_advantage[s])}${interval(found.control_advantage_interval, s)}`]] : []),
    ].map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)]));
    V.replace(subjects, S > 1 ? [V.el('h3', {}, 'Subjects'), V.bars(subject.map((name, i) => ({name, value: subjectScores[i]})), {format: value => V.number(value, 3), most: ceiled ? 1 : null})] : null);
    V.replace(distribution, V.bars(spread(neuroids), {format: V.count}));
    const order = [...neuroids.keys()].filter(q => Number.isFinite(neuroids[q])).sort((a, b) => neuroids[b] - neuroids[a]);
    V.replace(list, V.bars(order.slice(0, 12).map(q => ({name: neuroid[q], value: neuroids[q], note: S > 1 ? found.neuroid_subjects[q] : null})), {format: value => V.number(value, 3), most: 1}));
    layerCard.querySelector('h2').textContent = `Layer ${x[rows.indexOf(place(s))]}${named(kindOf(s))}`;
    layerCard.update();
    neuroidCard.update();
  };
  const layerCard = V.card({title: 'Layer', body: [facts, subjects], table: () => ({head: ['subject', what], rows: subject.map((name, i) => [name, of(found.subjects, shown, S)[i]])})});
  layerCard.classList.add('side', 'layer');
  const neuroidCard = V.card({title: 'Neuroids of this layer', note: found.constant.length ? `${V.count(found.constant.length)} of ${V.count(Q)} have no r: their responses are constant somewhere.` : null,
    body: [V.el('h3', {}, 'How many have which r'), distribution, V.el('h3', {}, 'Best predicted'), list],
    table: () => ({head: ['neuroid', 'subject', 'r'], rows: neuroid.map((name, q) => [name, found.neuroid_subjects[q], of(found.neuroids, shown, Q)[q]])})});

  // --- the curve

  const lines = V.lines({label: `${what} by layer`, x, xName: 'layer', yName: what, series, marks: [rows.indexOf(place(best))], format: value => V.number(value, 3), onShow: at => show(siteAt(kind, rows[at]))});
  // The last row is what needs no model.
  const allTable = () => {
    const {head, rows} = V.flat(found);
    return {head, rows: [...rows, found.flat.columns.map(({source, offset}) => source === 'site' ? found.baseline_name[0] : found[`baseline_${source}`]?.[offset] ?? null)]};
  };
  const curve = V.card({
    title: 'By layer', table: allTable, body: [lines.element],
    note: `${found.in_words} Bands hold 95 %. Without a model: length and place of a stimulus alone.${found.cut ? ` ${V.count(found.cut)} stimuli lost the beginning of their context, which was too long.` : ''}`,
    controls: kinds.length > 1 ? [V.choice('Detail of', kinds.map(each => [each, each]), kind, to => { kind = to; show(siteAt(kind, rows[lines.at])); })] : [],
  });
  curve.classList.add('main', 'curve');
  requestAnimationFrame(() => lines.show(rows.indexOf(place(best))));
  show(best);
  const subjectAt = (row, s) => found.subjects[s * S + row], say = (row, s) => `${subject[row]}, ${sites[s]}: ${V.number(subjectAt(row, s), 3)}`;
  return [curve, layerCard, neuroidCard, S > 1 ? V.card({title: 'Subjects by layer', table: () => ({head: ['site', ...subject], rows: sites.map((site, s) => [site, ...of(found.subjects, s, S)])}), body: [
    V.grid({label: `${S} subjects by ${sites.length} sites`, rows: subject, above: sites.map((_, s) => x[rows.indexOf(place(s))]), corner: ['layer', ''], minWidth: 24, maxWidth: 56, cellHeight: 24,
      color: (row, s) => V.color.amount(subjectAt(row, s) / (ceiled ? 1 : V.largest(found.subjects))), text: (row, s) => V.number(subjectAt(row, s), 2), describe: say, tip: say}).element]}) : null];
});
