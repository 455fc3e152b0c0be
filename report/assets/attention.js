// SPDX-License-Identifier: MIT
// Where each position looks: a head's map, what maps become through the layers, and what each head does by habit.
V.page(found => {
  const texts = [...found.tokens].map(V.token), T = texts.length;
  const name = i => `${texts[i]}, position ${i}`;

  /** Rows that end with their query, concatenated, in `blocks` equal parts. */
  const rowsOf = part => {
    const begins = [0];
    for (const query of part.queries) begins.push(begins[begins.length - 1] + query + 1);
    const size = begins[begins.length - 1];
    return {queries: [...part.queries], size, at: (block, row, key) => key > part.queries[row] ? 0 : part.values[block * size + begins[row] + key]};
  };

  // --- what can be shown large: heads, their mean, rollout, flow

  const {maps} = found, sources = [];
  if (maps) {
    const rows = rowsOf(maps), H = maps.heads.length;
    maps.layers.forEach((layer, l) => {
      maps.heads.forEach((head, h) => sources.push({kind: 'head', layer, head, title: `Head ${layer}.${head}`, queries: rows.queries, at: (row, key) => rows.at(l * H + h, row, key)}));
      if (H > 1) sources.push({kind: 'mean', layer, head: null, title: `Layer ${layer}, mean of ${H} heads`, queries: rows.queries, at: (row, key) => {
        let sum = 0;
        for (let h = 0; h < H; ++h) sum += rows.at(l * H + h, row, key);
        return sum / H;
      }});
    });
  }
  for (const kind of ['rollout', 'flow']) {
    if (!found[kind]) continue;
    const rows = rowsOf(found[kind]);
    found[kind].layers.forEach((layer, l) => sources.push({kind, layer, head: null, title: `${kind === 'rollout' ? 'Rollout' : 'Flow'} to layer ${layer}`, queries: rows.queries, at: (row, key) => rows.at(l, row, key)}));
  }
  const kinds = [['head', 'Heads'], ['mean', 'Mean over heads'], ['rollout', 'Rollout'], ['flow', 'Flow']].filter(([kind]) => sources.some(source => source.kind === kind));
  const layers = [...new Set(sources.map(source => source.layer))];
  let kind = kinds.length ? kinds[0][0] : null, source = sources.find(each => each.kind === kind), sink = false, layer = 'all';

  /** With the first token left out, what is left is shared out anew. */
  const rest = row => 1 - source.at(row, 0);
  const shade = (row, key) => {
    const value = source.at(row, key);
    if (!sink || !Number.isFinite(value)) return value;
    return key === 0 || source.queries[row] === 0 ? 0 : rest(row) > 1e-6 ? value / rest(row) : 0;
  };

  // --- small maps

  const kThumb = 64, kFew = 64;
  const thumb = each => {
    const canvas = V.el('canvas', {width: kThumb, height: kThumb, 'aria-hidden': 'true'}), R = each.queries.length, draw = () => {
      const context = canvas.getContext('2d'), columns = Math.min(T, kThumb), rows = Math.min(R, kThumb), pixels = context.createImageData(columns, rows);
      for (let y = 0, at = 0; y < rows; ++y) for (let x = 0; x < columns; ++x, at += 4) {
        // The largest number that falls on the pixel: a thin diagonal stays one. Without a finite one the pixel stays transparent.
        let most = NaN;
        for (let row = Math.floor(y * R / rows); row < Math.ceil((y + 1) * R / rows); ++row) {
          for (let key = Math.floor(x * T / columns); key < Math.ceil((x + 1) * T / columns); ++key) {
            const value = each.at(row, key);
            if (Number.isFinite(value) && !(most >= value)) most = value;
          }
        }
        if (Number.isFinite(most)) pixels.data.set([...V.color.amount(most), 255], at);
      }
      canvas.width = columns;
      canvas.height = rows;
      context.putImageData(pixels, 0, 0);
    };
    draw();
    V.onTheme(() => { if (canvas.isConnected) draw(); });
    const short = each.kind === 'head' ? `${each.layer}.${each.head}` : `layer ${each.layer}`;
    return V.el('button', {type: 'button', 'aria-label': `${each.title}: show it large`, 'aria-pressed': 'false', onclick: () => { choose(each); mapCard.scrollIntoView({block: 'nearest'}); }}, canvas, V.el('span', {}, short));
  };
  const thumbs = V.el('div', {class: 'thumbs'});
  let shownThumbs = [];
  const drawThumbs = () => {
    shownThumbs = sources.filter(each => each.kind === kind && (kind !== 'head' || layer === 'all' || each.layer === layer)).map(each => ({each, button: thumb(each)}));
    V.replace(thumbs, shownThumbs.map(({button}) => button));
    press();
  };
  const press = () => { for (const {each, button} of shownThumbs) button.setAttribute('aria-pressed', String(each === source)); };
  const headLayers = [...new Set(sources.filter(each => each.kind === 'head').map(each => each.layer))], many = sources.filter(each => each.kind === 'head').length > kFew;
  if (many) layer = headLayers[headLayers.length - 1];
  const layerChoice = headLayers.length > 1 ? V.select('Layer', ['all layers', ...headLayers.map(String)], many ? headLayers.length : 0, at => {
    layer = at === 0 ? 'all' : headLayers[at - 1];
    drawThumbs();
  }) : null;

  // --- the large map

  const row = query => source.queries.indexOf(query);
  const mapTitle = V.el('h3', {}), mapPlace = V.el('div', {}), detail = V.el('div', {class: 'detail', 'aria-live': 'polite'});
  let grid = null;
  const makeGrid = () => {
    const {queries} = source;
    grid = V.grid({
      label: `${source.title}: ${queries.length} queries by ${T} keys`, rows: queries.map(query => `${texts[query]} ${query}`), above: texts, corner: ['looks at', ''],
      minWidth: T > 300 ? 3 : T > 60 ? 9 : 16, maxWidth: 46,
      color: (row, key) => key > queries[row] ? null : V.color.amount(shade(row, key)),
      text: (row, key) => key > queries[row] ? '' : String(Math.round(100 * shade(row, key))),
      describe: (row, key) => `${name(queries[row])} looks at ${name(key)}: ${key > queries[row] ? 'nothing, it comes later' : V.percent(source.at(row, key))}`,
      tip: (row, key) => [V.el('div', {class: 'muted'}, `${name(queries[row])} looks at`), V.el('div', {class: 'row'}, V.el('span', {}, name(key)), V.el('b', {}, key > queries[row] ? 'comes later' : V.percent(source.at(row, key))))],
      onShow: row => showQuery(queries[row]),
    });
    V.replace(mapPlace, grid.element);
  };

  // --- one query

  let query = -1;
  const list = V.el('div', {}), where = V.el('p', {class: 'where'});
  const text = !source ? null : V.text({
    label: 'The text', places: found.tokens,
    color: i => row(query) < 0 || i > query ? null : V.color.amount(shade(row(query), i)),
    small: i => row(query) < 0 || i > query ? '' : V.percent(source.at(row(query), i)),
    describe: i => row(query) < 0 ? `${name(i)}: not requested` : `${name(i)}: ${i > query ? 'comes later' : `${V.percent(source.at(row(query), i))} of ${texts[query]}`}`,
    onShow: i => showQuery(i),
  });
  const showQuery = to => {
    if (row(to) < 0) { query = to; V.replace(where, name(to), ' is not among the requested queries.'); V.replace(list); text.redraw(); return; }
    query = to;
    const order = Array.from({length: to + 1}, (_, key) => key).filter(key => Number.isFinite(source.at(row(to), key))).sort((a, b) => source.at(row(to), b) - source.at(row(to), a));
    const lost = to + 1 - order.length;
    V.replace(where, V.tokenBox(found.tokens[to]), ` at position ${to} looks at`, lost > 0 ? ` (${lost} of ${to + 1} values are not finite)` : null);
    V.replace(list, V.bars(order.slice(0, 10).map(key => ({name: [V.tokenBox(found.tokens[key]), ' ', String(key)], value: source.at(row(to), key)})), {format: V.percent, most: 1}));
    text.redraw();
  };

  const table = () => ({head: ['query', 'query token', 'key', 'key token', source.kind === 'head' || source.kind === 'mean' ? 'attention' : source.kind],
                        rows: source.queries.flatMap((query, row) => Array.from({length: query + 1}, (_, key) => [query, texts[query], key, texts[key], source.at(row, key)]))});
  const mapCard = V.card({title: 'One map', body: [mapTitle, mapPlace, detail], table, controls: [
    V.choice('Colour', [['all', 'All'], ['rest', 'Without the first token']], 'all', to => { sink = to === 'rest'; grid.redraw(); text.redraw(); }), V.legend(V.color.amount, 0, 1, '0 %', '100 %')]});
  mapCard.classList.add('main', 'map');
  const queryCard = V.card({title: 'One position', body: [where, list], table: () => ({head: ['key', 'token', 'attention'], rows: row(query) < 0 ? [] : Array.from({length: query + 1}, (_, key) => [key, texts[key], source.at(row(query), key)])})});
  queryCard.classList.add('side');

  const choose = to => {
    source = to;
    V.replace(mapTitle, source.title);
    makeGrid();
    press();
    showQuery(row(query) >= 0 ? query : source.queries[source.queries.length - 1]);
    mapCard.update();
  };
  const kindChoice = kinds.length > 1 ? V.choice('Of', kinds, kind, to => {
    kind = to;
    if (layerChoice) layerChoice.hidden = kind !== 'head';
    choose(sources.find(each => each.kind === kind && each.layer === source.layer && (each.head === null || each.head === 0)) ?? sources.filter(each => each.kind === kind).pop());
    drawThumbs();
  }) : null;
  const small = sources.length > 1 ? V.card({title: 'All maps', wide: true, body: [thumbs], controls: [kindChoice, layerChoice]}) : null;

  // --- habits of heads

  const habits = found.habits.map(habit => {
    let at = 0;
    const {heads} = habit, R = habit.layers.length, C = heads.length, layerAt = row => R - 1 - row;  // the last layer on top
    const format = habit => habit.unit === 'share' ? V.percent : value => `${V.number(value)} ${habit.unit}`;
    const most = kind => kind.unit === 'share' ? 1 : Math.max(...[...kind.values].filter(Number.isFinite), 1e-30);
    const of = (kind, row, column) => kind.values[layerAt(row) * C + column];
    const legend = V.el('div', {}), drawLegend = () => V.replace(legend, V.legend(V.color.amount, 0, 1, '0', format(habit.kinds[at])(most(habit.kinds[at]))));
    const line = V.el('p', {class: 'where', 'aria-live': 'polite'});
    const head = (row, column) => `head ${habit.layers[layerAt(row)]}.${heads[column]}`;
    const all = (row, column) => habit.kinds.map(kind => `${kind.name.toLowerCase()} ${format(kind)(of(kind, row, column))}`).join(', ');
    const cells = V.grid({
      label: `${R} layers by ${C} heads`, rows: [...habit.layers].reverse().map(String), above: heads.map(String), corner: ['head', ''], minWidth: 22, maxWidth: 56, cellHeight: R > 30 ? 18 : 24,
      color: (row, column) => V.color.amount(of(habit.kinds[at], row, column) / most(habit.kinds[at])),
      text: (row, column) => habit.kinds[at].unit === 'share' ? String(Math.round(100 * of(habit.kinds[at], row, column))) : V.number(of(habit.kinds[at], row, column), 2),
      describe: (row, column) => `${head(row, column)}: ${all(row, column)}`,
      tip: (row, column) => [V.el('div', {class: 'muted'}, head(row, column)), habit.kinds.map(kind => V.el('div', {class: 'row'}, V.el('span', {}, kind.name), V.el('b', {}, format(kind)(of(kind, row, column)))))],
      onShow: (row, column) => V.replace(line, `${head(row, column)}: ${all(row, column)}`),
      onPin: (row, column) => {
        const same = sources.find(each => each.kind === 'head' && each.layer === habit.layers[layerAt(row)] && each.head === heads[column]);
        if (same) choose(same);
      },
    });
    drawLegend();
    requestAnimationFrame(() => cells.moveTo(0, 0));
    return V.card({
      title: habit.kinds[0].name === 'Induction' ? 'Heads on repeated random tokens' : 'What heads do by habit', note: `${habit.note}${maps ? ' A click shows the head\u2019s map.' : ''}`, body: [cells.element, line],
      controls: [V.choice('Show', habit.kinds.map((kind, i) => [i, kind.name]), 0, to => { at = to; drawLegend(); cells.redraw(); }), legend],
      table: () => ({head: ['layer', 'head', ...habit.kinds.map(kind => `${kind.name.toLowerCase()}${kind.unit === 'share' ? '' : `, ${kind.unit}`}`)],
                     rows: Array.from({length: R * C}, (_, i) => [habit.layers[Math.floor(i / C)], heads[i % C], ...habit.kinds.map(kind => kind.values[i])])}),
    });
  });

  if (sources.length === 0) return habits;
  if (many) choose(sources.find(each => each.kind === 'head' && each.layer === layer)); else choose(source);
  drawThumbs();
  requestAnimationFrame(() => { grid.moveTo(grid.rows.length - 1, 0); text.moveTo(source.queries[source.queries.length - 1]); });
  return [small, mapCard, queryCard, V.card({title: 'Over the text', wide: true, note: 'Point at a token: the others show how much of its attention they get.', body: [text.element]}), ...habits];
});
