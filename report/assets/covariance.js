// SPDX-License-Identifier: MIT
// A covariance matrix, with the details of each cell.
V.page(found => {
  const {variable: names, mean, divisor, series_observation: observations, series_value: values, series_weight: weights} = found, n = names.length;
  const cov = (i, j) => found.covariance[i * n + j], cor = (i, j) => found.correlation[i * n + j];
  const deviation = i => Math.sqrt(cov(i, i)), still = i => found.constant.includes(i);
  let kind = found.correlations ? 'cor' : 'cov', at = {i: 0, j: 0};

  // --- one cell

  const series = observations !== undefined, shownCount = series ? observations.length : 0;
  const value = (variable, o) => values[variable * shownCount + o];
  /** What the cell is the sum of, over the observations that are here. */
  const parts = (i, j) => {
    const found = {products: new Float64Array(shownCount), together: 0, apart: 0, plus: 0, minus: 0};
    for (let o = 0; o < shownCount; ++o) {
      const product = weights[o] * (value(i, o) - mean[i]) * (value(j, o) - mean[j]);
      found.products[o] = product;
      if (product > 0) { ++found.together; found.plus += product; }
      if (product < 0) { ++found.apart; found.minus -= product; }
    }
    return found;
  };
  const whole = series && shownCount === found.series_total;
  const strength = r => Number.isNaN(r) ? '' : Math.abs(r) > 0.8 ? 'strongly' : Math.abs(r) > 0.4 ? 'clearly' : Math.abs(r) > 0.1 ? 'weakly' : 'hardly';
  const over = Number.isInteger(divisor) ? V.count(divisor) : V.number(divisor);
  const b = text => V.el('b', {}, text), times = count => count === 1 ? 'once' : `${V.count(count)} times`;

  const variance = (i, sums) => [
    V.el('p', {}, 'A variable with itself: the ', b('variance'), ' of ', b(names[i]), ', ', b(V.number(cov(i, i))), '. Every product of deviations is a square, so none is below 0.'),
    still(i) ? V.el('p', {}, 'The variable never changes.') :
      V.el('p', {}, 'Its root, the standard deviation, is ', b(V.number(deviation(i))), series && whole ? `; ${V.number(sums.plus)} ÷ ${over} = ${V.number(sums.plus / divisor)}` : '', '.'),
  ];
  const why = (i, j, sums) => {
    const value = cov(i, j), r = cor(i, j), [x, y] = [names[j], names[i]];
    if (Number.isNaN(value)) return V.el('p', {}, 'No covariance: a value is not a number.');
    if (still(i) || still(j)) return V.el('p', {}, b(still(i) ? y : x), ' never changes, so it goes with nothing.');
    const first = value === 0 ? V.el('p', {}, b(x), ' and ', b(y), ' do not vary together: the covariance is ', b('0'), '.')
      : V.el('p', {}, b(x), ' and ', b(y), ` ${strength(r)} go `, b(value > 0 ? 'the same way' : 'opposite ways'), ': the covariance is ', b(V.signed(value)), `, ${value > 0 ? 'above' : 'below'} 0, since where one is above its mean the other is ${Math.abs(r) > 0.4 ? 'mostly' : 'a little more often or further'} ${value > 0 ? 'above' : 'below'} its own.`);
    if (!series) return first;
    const sum = sums.plus - sums.minus;
    return [first,
      V.el('p', {}, whole ? '' : `Of the ${V.count(shownCount)} observations that this page holds: `, whole ? 'Both' : 'both', ` are on the same side of their means ${times(sums.together)}, and these products add `, V.el('b', {class: 'plus'}, V.signed(sums.plus)),
           `; on opposite sides ${times(sums.apart)}, `, V.el('b', {class: 'minus'}, sums.minus === 0 ? '0' : V.signed(-sums.minus)), `. ${sum > 0 ? 'The first outweigh' : sum < 0 ? 'The second outweigh' : 'They cancel'}.`),
      whole ? V.el('p', {class: 'sum'}, `(${V.number(sums.plus)} − ${V.number(sums.minus)}) ÷ ${over} = `, b(V.signed(sum / divisor))) : null];
  };
  const words = V.el('div', {class: 'words', 'aria-live': 'polite'}), facts = V.el('dl', {class: 'facts'});
  const showCell = (i, j) => {
    at = {i, j};
    const sums = series ? parts(i, j) : null;
    V.replace(words, i === j ? variance(i, sums) : why(i, j, sums));
    V.replace(facts, [
      ['Covariance', V.signed(cov(i, j))], ['Correlation', V.number(cor(i, j))], ...[...new Set([j, i])].map(each => [names[each], `mean ${V.number(mean[each])}, standard deviation ${V.number(deviation(each))}`]),
    ].map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)]));
    if (series) for (const figure of [scatter, course]) figure.show(i, j, sums);
  };
  const cellCard = V.card({title: 'The cell', body: [words, facts]});
  cellCard.classList.add('side');

  // --- the matrix

  let largest = 0;
  for (const each of found.covariance) if (Number.isFinite(each)) largest = Math.max(largest, Math.abs(each));
  const limit = () => kind === 'cor' ? 1 : largest || 1, of = (i, j) => kind === 'cor' ? cor(i, j) : cov(i, j);
  const legend = V.el('div', {});
  const drawLegend = () => V.replace(legend, V.legend(V.color.diverging, -1, 1, V.signed(-limit()), V.signed(limit())));
  drawLegend();
  const pair = (i, j) => i === j ? `variance of ${names[i]}` : `${names[i]} with ${names[j]}`;
  const grid = V.grid({
    label: `${n} by ${n} covariances`, rows: names, above: names, minWidth: n > 200 ? 3 : n > 60 ? 10 : 22, maxWidth: 84,
    color: (i, j) => V.color.diverging(of(i, j) / limit()), text: (i, j) => V.number(of(i, j), 2), mark: (i, j) => i === j && n <= 60,
    describe: (i, j) => `${pair(i, j)}: ${V.signed(cov(i, j))}, correlation ${V.number(cor(i, j))}`,
    tip: (i, j) => [V.el('div', {class: 'muted'}, pair(i, j)), V.el('div', {class: 'row'}, V.el('span', {}, i === j ? 'Variance' : 'Covariance'), b(V.signed(cov(i, j)))),
                    V.el('div', {class: 'row'}, V.el('span', {}, 'Correlation'), b(V.number(cor(i, j))))],
    onShow: (i, j) => { if (i !== at.i || j !== at.j) showCell(i, j); },
  });
  const weighted = found.weighted ? `weights of ${V.number(found.weight)} together, ` : '';
  const matrix = V.card({
    title: `${n} × ${n}`, table: () => V.flat(found), body: [found.in_words ? V.el('p', {class: 'note'}, found.in_words) : null, grid.element], note: `${V.count(found.observations)} observations, ${weighted}divisor ${over} (ddof ${found.ddof})`,
    controls: [V.choice('Show', [['cov', 'Covariance'], ['cor', 'Correlation']], kind, to => { kind = to; drawLegend(); grid.redraw(); }), legend],
  });
  matrix.classList.add('main');

  // --- the two series of a cell

  const reading = V.el('div', {class: 'reading', 'aria-live': 'polite'});
  let observation = 0;
  const look = o => {
    observation = Math.min(Math.max(o, 0), shownCount - 1);
    const {i, j} = at, product = parts(i, j).products[observation];
    V.replace(reading, V.el('span', {class: 'where'}, `observation ${observations[observation]}`), [...new Set([j, i])].map(each => V.el('span', {}, `${names[each]} `, b(V.number(value(each, observation))), V.el('span', {class: 'muted'}, ` (${V.signed(value(each, observation) - mean[each])} from its mean)`))),
              V.el('span', {}, 'product ', V.el('b', {class: product < 0 ? 'minus' : 'plus'}, V.signed(product))));
    for (const figure of [scatter, course]) figure.mark(observation);
  };
  /** A figure that draws `content(width)` and follows its width, the colours and the keys. */
  const figure = (label, height, content, nearest) => {
    const box = V.el('div', {class: 'plot', role: 'group', tabindex: 0, 'aria-label': `${label}. Left and right move from observation to observation.`});
    const state = {box, i: 0, j: 0, sums: null, width: 0};
    const draw = () => {
      state.width = box.clientWidth;
      if (state.width === 0 || !state.sums) return;
      state.cursor = V.svg('g', {});
      V.replace(box, V.svg('svg', {width: state.width, height, role: 'img', 'aria-label': label}, content(state), state.cursor));
      state.mark(observation);
    };
    state.show = (i, j, sums) => { Object.assign(state, {i, j, sums}); draw(); };
    state.mark = o => { if (state.cursor) V.replace(state.cursor, state.place ? state.place(o) : null); };
    new ResizeObserver(draw).observe(box);
    V.onTheme(() => { if (box.isConnected) draw(); });
    box.addEventListener('pointermove', event => { const edge = box.getBoundingClientRect(); look(nearest(state, event.clientX - edge.left, event.clientY - edge.top)); });
    box.addEventListener('keydown', event => {
      const to = {ArrowLeft: observation - 1, ArrowRight: observation + 1, Home: 0, End: shownCount - 1}[event.key];
      if (to === undefined) return;
      look(to);
      event.preventDefault();
    });
    return state;
  };
  const range = variable => {
    let low = Infinity, high = -Infinity;
    for (let o = 0; o < shownCount; ++o) { low = Math.min(low, value(variable, o)); high = Math.max(high, value(variable, o)); }
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  };

  const kLeft = 62, kRight = 14, kTop = 12, kBottom = 42, kScatter = 330;
  const scatter = !series ? null : figure('Each observation as a point', kScatter, state => {
    const {i, j, sums, width} = state, [x0, x1] = range(j), [y0, y1] = range(i), right = width - kRight, bottom = kScatter - kBottom;
    const x = v => kLeft + (v - x0) / (x1 - x0) * (right - kLeft), y = v => bottom - (v - y0) / (y1 - y0) * (bottom - kTop), mx = x(mean[j]), my = y(mean[i]);
    const r = shownCount > 600 ? 1.6 : 3.2, marks = {plus: '', minus: '', none: ''};
    for (let o = 0; o < shownCount; ++o) marks[sums.products[o] > 0 ? 'plus' : sums.products[o] < 0 ? 'minus' : 'none'] += (sums.products[o] < 0 ? V.squarePath : V.dotPath)(x(value(j, o)), y(value(i, o)), r);
    Object.assign(state, {x, y, place: o => V.svg('circle', {class: 'ring', cx: x(value(j, o)), cy: y(value(i, o)), r: r + 4})});
    const area = (cls, left, top, to, down) => V.svg('rect', {class: `quadrant ${cls}`, x: left, y: top, width: Math.max(to - left, 0), height: Math.max(down - top, 0)});
    return [
      area('plus', mx, kTop, right, my), area('plus', kLeft, my, mx, bottom), area('minus', kLeft, kTop, mx, my), area('minus', mx, my, right, bottom),
      V.ticks(x0, x1, Math.max(2, width / 110)).map(tick => V.svg('text', {x: x(tick), y: bottom + 17, 'text-anchor': 'middle'}, V.number(tick, 3))),
      V.ticks(y0, y1, 5).map(tick => V.svg('text', {x: kLeft - 7, y: y(tick), 'text-anchor': 'end', 'dominant-baseline': 'middle'}, V.number(tick, 3))),
      V.svg('line', {class: 'mean', x1: mx, x2: mx, y1: kTop, y2: bottom}), V.svg('line', {class: 'mean', x1: kLeft, x2: right, y1: my, y2: my}),
      V.svg('text', {x: (kLeft + right) / 2, y: kScatter - 6, 'text-anchor': 'middle'}, names[j]), V.svg('text', {transform: `translate(13 ${(kTop + bottom) / 2}) rotate(-90)`, 'text-anchor': 'middle'}, names[i]),
      V.svg('path', {class: 'points plus', d: marks.plus}), V.svg('path', {class: 'points minus', d: marks.minus}), V.svg('path', {class: 'points none', d: marks.none}),
    ];
  }, (state, x, y) => {
    let best = 0, least = Infinity;
    for (let o = 0; o < shownCount; ++o) {
      const far = (state.x(value(state.j, o)) - x) ** 2 + (state.y(value(state.i, o)) - y) ** 2;
      if (far < least) { least = far; best = o; }
    }
    return best;
  });

  const kLines = 180, kProducts = 96, kGap = 26, kEdge = 68;
  const course = !series ? null : figure('Both series with their means, and the products of their deviations', kTop + kLines + kGap + kProducts + kBottom - 8, state => {
    // Both means lie on one line, and a standard deviation is as high for both: what is compared is which side each is on.
    const {i, j, sums, width} = state, right = width - kEdge, both = [...new Set([j, i])], step = shownCount > 1 ? (right - kEdge) / (shownCount - 1) : 0;
    const x = o => shownCount > 1 ? kEdge + o * step : (kEdge + right) / 2, unit = variable => still(variable) ? 1 : deviation(variable);
    let above = 1, below = 1;
    for (const each of both) for (let o = 0; o < shownCount; ++o) {
      const steps = (value(each, o) - mean[each]) / unit(each);
      above = Math.max(above, steps);
      below = Math.max(below, -steps);
    }
    const scale = (kLines - 8) / (above + below), middle = kTop + 4 + above * scale, y = (each, v) => middle - (v - mean[each]) / unit(each) * scale;
    let most = 0, least = 0;
    for (const product of sums.products) { most = Math.max(most, product); least = Math.min(least, product); }
    const bar = kProducts / (most - least || 1), zero = kTop + kLines + kGap + most * bar, wide = Math.max(0.8, Math.min(step * 0.7 || 14, 14)), bars = {plus: '', minus: ''};
    sums.products.forEach((product, o) => { bars[product < 0 ? 'minus' : 'plus'] += `M${(x(o) - wide / 2).toFixed(1)} ${zero.toFixed(1)}v${(-product * bar).toFixed(2)}h${wide.toFixed(1)}V${zero.toFixed(1)}z`; });
    state.place = o => V.svg('line', {class: 'hair', x1: x(o), x2: x(o), y1: kTop, y2: kTop + kLines + kGap + kProducts});
    state.nearest = at => step ? Math.round((at - kEdge) / step) : 0;
    const axis = (each, left) => [-1, 0, 1].map(steps => {
      const v = mean[each] + steps * unit(each);
      return V.svg('text', {x: left ? kEdge - 7 : right + 7, y: y(each, v), 'text-anchor': left ? 'end' : 'start', 'dominant-baseline': 'middle', style: `fill: ${V.color.line(left ? 0 : 1)}`}, V.number(v, 3));
    });
    const every = Math.max(1, Math.ceil(shownCount / Math.max(2, width / 80)));
    return [
      [-1, 1].map(steps => V.svg('line', {class: 'rule', x1: kEdge, x2: right, y1: middle - steps * scale, y2: middle - steps * scale})),
      V.svg('line', {class: 'mean', x1: kEdge, x2: right, y1: middle, y2: middle}), axis(j, true), i === j ? null : axis(i, false),
      both.map((each, which) => V.svg('g', {class: 'line'}, V.svg('path', {d: Array.from({length: shownCount}, (_, o) => `${o ? 'L' : 'M'}${x(o).toFixed(1)} ${y(each, value(each, o)).toFixed(1)}`).join(''), stroke: V.color.line(which), 'stroke-dasharray': V.color.dashes(which)}))),
      V.svg('line', {class: 'mean', x1: kEdge, x2: right, y1: zero, y2: zero}), V.svg('path', {class: 'product plus', d: bars.plus}), V.svg('path', {class: 'product minus', d: bars.minus}),
      V.svg('text', {x: kEdge - 7, y: zero, 'text-anchor': 'end', 'dominant-baseline': 'middle'}, '0'), V.svg('text', {x: kEdge, y: kTop + kLines + kGap - 8}, 'products of the deviations'),
      Array.from({length: Math.ceil(shownCount / every)}, (_, k) => k * every).map(o => V.svg('text', {x: x(o), y: kTop + kLines + kGap + kProducts + 16, 'text-anchor': 'middle'}, String(observations[o]))),
      V.svg('text', {x: (kEdge + right) / 2, y: kTop + kLines + kGap + kProducts + 32, 'text-anchor': 'middle'}, 'observation'),
    ];
  }, (state, x) => state.nearest(x));

  const key = V.el('div', {class: 'reading keys'});
  const drawKey = () => V.replace(key, [...new Set([at.j, at.i])].map((each, which) => V.el('span', {}, V.svg('svg', {class: 'key', width: 26, height: 10, 'aria-hidden': 'true'},
    V.svg('line', {x1: 0, x2: 26, y1: 5, y2: 5, stroke: V.color.line(which), 'stroke-width': 2.5, 'stroke-dasharray': V.color.dashes(which)})), names[each])),
    V.el('span', {class: 'muted'}, 'lines: both means on one line, a standard deviation equally high'));
  V.onTheme(drawKey);
  const seriesTable = () => {
    const {i, j} = at, {products} = parts(i, j), both = [...new Set([j, i])];
    return {head: ['observation', ...both.map(each => names[each]), ...(found.weighted ? ['weight'] : []), 'product of deviations'],
            rows: Array.from({length: shownCount}, (_, o) => [observations[o], ...both.map(each => value(each, o)), ...(found.weighted ? [weights[o]] : []), products[o]])};
  };
  const cards = series ? [
    V.card({title: 'Against each other', body: [scatter.box, V.el('p', {class: 'note'}, 'Lines are the means. Dots in blue fields add to the covariance, squares in orange fields take from it.')]}),
    V.card({title: 'One beside the other', body: [key, course.box, reading], table: seriesTable, note: whole ? null : `${V.count(shownCount)} of ${V.count(found.series_total)} observations, evenly taken`}),
  ] : [];
  if (series) {
    const before = showCell;
    cards[1].classList.add('course');
    grid.onShow = (i, j) => { if (i === at.i && j === at.j) return; before(i, j); drawKey(); look(observation); cards[1].update(); };
  }

  // --- principal components

  const spectrum = found.eigenvalues && (() => {
    const {eigenvalues, explained, components} = found, count = found.component.length;
    let shown = 0, sum = 0;
    const total = [...explained].map(share => sum += share), list = V.el('div', {}), title = V.el('h3', {});
    const choose = k => {
      if (count === 0) return;
      shown = Math.min(k, count - 1);
      V.replace(title, `Component ${shown + 1}: ${V.percent(explained[shown])} of the variance`);
      const order = Array.from({length: n}, (_, v) => v).sort((a, b) => Math.abs(components[shown * n + b]) - Math.abs(components[shown * n + a]));
      V.replace(list, V.bars(order.slice(0, 30).map(v => ({name: names[v], value: components[shown * n + v]})), {signed: true, format: V.signed, most: 1}));
    };
    const lines = V.lines({label: 'Variance by component', x: [...eigenvalues.keys()].map(k => String(k + 1)), xName: 'component', yName: '', range: [0, 1], format: V.percent,
                           series: [{name: 'all up to here', values: total}, {name: 'this one', values: [...explained]}], onShow: choose});
    requestAnimationFrame(() => lines.show(0));
    return [V.card({title: 'Principal components', note: 'Shares of the variance', body: [lines.element], table: () => ({head: ['component', 'eigenvalue', 'share', 'share of all up to here'], rows: total.map((all, k) => [k + 1, eigenvalues[k], explained[k], all])})}),
            count > 0 ? V.card({title: 'What a component is made of', body: [title, list], table: () => ({head: ['component', 'variable', 'weight'], rows: Array.from({length: count * n}, (_, c) => [Math.floor(c / n) + 1, names[c % n], components[c]])})}) : null];
  })();

  requestAnimationFrame(() => {
    showCell(0, 0);
    if (series) { drawKey(); look(0); }
    // The strongest pair first; it lies below the diagonal.
    const [column, row] = found.strongest_indices.length ? found.strongest_indices : [0, n > 1 ? 1 : 0];
    grid.moveTo(row, column);
  });
  return [matrix, cellCard, ...cards, ...(spectrum || [])];
});
