// SPDX-License-Identifier: MIT
// Where each position looks: a head's map, what maps become through the layers, and what each head does by habit.

/** A number of each head, layers by heads; `habit` says which ones there are to choose from. */
const habitCard = (found, habit) => {
  let at = 0;
  const layers = [...found.layer], heads = [...found.head], kinds = habit.kinds.map(kind => ({...kind, values: found[kind.field]})), R = layers.length, C = heads.length, layerAt = row => R - 1 - row;  // the last layer on top
  const format = habit => habit.unit === 'share' ? V.percent : value => `${V.number(value)} ${habit.unit}`;
  const most = kind => kind.unit === 'share' ? 1 : Math.max(...[...kind.values].filter(Number.isFinite), 1e-30);
  const of = (kind, row, column) => kind.values[layerAt(row) * C + column];
  const legend = V.el('div', {}), drawLegend = () => V.replace(legend, V.legend(V.color.amount, 0, 1, '0', format(kinds[at])(most(kinds[at]))));
  const line = V.el('p', {class: 'where', 'aria-live': 'polite'});
  const head = (row, column) => `head ${layers[layerAt(row)]}.${heads[column]}`;
  const all = (row, column) => kinds.map(kind => `${kind.name.toLowerCase()} ${format(kind)(of(kind, row, column))}`).join(', ');
  const cells = V.grid({
    label: `${R} layers by ${C} heads`, rows: [...layers].reverse().map(String), above: heads.map(String), corner: ['head', ''], minWidth: 22, maxWidth: 56, cellHeight: R > 30 ? 18 : 24,
    color: (row, column) => V.color.amount(of(kinds[at], row, column) / most(kinds[at])),
    text: (row, column) => kinds[at].unit === 'share' ? String(Math.round(100 * of(kinds[at], row, column))) : V.number(of(kinds[at], row, column), 2),
    describe: (row, column) => `${head(row, column)}: ${all(row, column)}`,
    tip: (row, column) => [V.el('div', {class: 'muted'}, head(row, column)), kinds.map(kind => V.el('div', {class: 'row'}, V.el('span', {}, kind.name), V.el('b', {}, format(kind)(of(kind, row, column)))))],
    onShow: (row, column) => V.replace(line, `${head(row, column)}: ${all(row, column)}`),
  });
  drawLegend();
  requestAnimationFrame(() => cells.moveTo(0, 0));
  return V.card({
    title: kinds[0].name === 'Induction' ? 'Heads on repeated random tokens' : 'What heads do by habit', note: habit.note, body: [cells.element, line],
    controls: [V.choice('Show', kinds.map((kind, i) => [i, kind.name]), 0, to => { at = to; drawLegend(); cells.redraw(); }), legend],
    table: () => ({head: ['layer', 'head', ...kinds.map(kind => `${kind.name.toLowerCase()}${kind.unit === 'share' ? '' : `, ${kind.unit}`}`)],
                   rows: Array.from({length: R * C}, (_, i) => [layers[Math.floor(i / C)], heads[i % C], ...kinds.map(kind => kind.values[i])])}),
  });
};

/** The network of a flow, layers above each other: what can pass from the tokens below to one position. {card, show(row, query, source)} */
const network = (found, queries, texts) => {
  const edges = Array.from(found.edge_from, (from, i) => ({block: found.edge_block[i], from, to: found.edge_to[i], capacity: found.edge_capacity[i]}));
  const blocks = [];
  for (const edge of edges) (blocks[edge.block] ??= []).push(edge);
  const T = texts.length, kLeft = 62, kTop = 22, step = T > 16 ? 46 : 64, letters = T > 16 ? 5 : 8;
  const place = V.el('div', {class: 'scroll network-place', tabindex: 0, 'aria-label': 'The network of one position'}), line = V.el('p', {class: 'where', 'aria-live': 'polite'}), title = V.el('h3', {});
  let source = null, query = -1, row = -1;
  const kEdges = 3000;  // that are drawn, the widest ones
  /** The edges that a way from the query can take, and the nodes it comes by. */
  const reached = () => {
    const top = Number(source.layer), nodes = new Set([`${top + 1}.${query}`]), used = [];
    for (let block = top; block >= 0; --block) {
      for (const edge of blocks[block] ?? []) if (nodes.has(`${block + 1}.${edge.from}`)) { used.push(edge); nodes.add(`${block}.${edge.to}`); }
    }
    return {top, nodes, used: used.length > kEdges ? used.sort((a, b) => b.capacity - a.capacity).slice(0, kEdges) : used};
  };
  const draw = () => {
    if (row < 0) { V.replace(place); V.replace(title, 'No network: this position is not among the requested queries'); return; }
    const {top, nodes, used} = reached(), count = query + 1, rise = Math.max(26, Math.min(54, 420 / (top + 1))), x = i => kLeft + (i + 0.5) * step, y = level => kTop + (top + 1 - level) * rise, ink = V.color.page('accent');
    const most = Math.max(...Array.from({length: count}, (_, key) => source.at(row, key)).filter(Number.isFinite), 1e-30);
    const say = edge => `block ${edge.block}: ${texts[edge.from]} ${edge.from === edge.to ? 'keeps, and looks at itself' : `looks at ${texts[edge.to]}`}: ${V.percent(edge.capacity)} wide`;
    const share = key => `${texts[key]}: ${V.percent(source.at(row, key))} of what could pass`;
    V.replace(title, `To ${texts[query]}, position ${query}, after layer ${top}`);
    V.replace(place, V.svg('svg', {class: 'network', width: kLeft + T * step + 8, height: y(0) + 40, role: 'img', 'aria-label': `${used.length} pipes from ${count} tokens to ${texts[query]} through ${top + 1} layers`},
      Array.from({length: top + 2}, (_, level) => V.svg('text', {x: kLeft - 8, y: y(level) + 4, 'text-anchor': 'end'}, level === 0 ? 'input' : `layer ${level - 1}`)),
      used.map(edge => V.svg('path', {class: 'edge', d: `M${x(edge.from)} ${y(edge.block + 1)}L${x(edge.to)} ${y(edge.block)}`, stroke: ink, 'stroke-width': (0.75 + 9 * edge.capacity).toFixed(2), 'stroke-opacity': (0.18 + 0.6 * edge.capacity).toFixed(2),
        onpointerenter: event => { V.replace(line, say(edge)); V.showTip(event.clientX, event.clientY, say(edge)); }, onpointerleave: V.hideTip})),
      [...nodes].map(node => node.split('.').map(Number)).map(([level, i]) => V.svg('circle', {class: 'node', cx: x(i), cy: y(level), r: level === 0 ? 11 : 5, fill: level === 0 ? V.color.css(V.color.amount(source.at(row, i) / most) ?? [128, 128, 128]) : ink,
        onpointerenter: level === 0 ? event => { V.replace(line, share(i)); V.showTip(event.clientX, event.clientY, share(i)); } : () => {}, onpointerleave: V.hideTip})),
      Array.from({length: count}, (_, i) => V.svg('text', {x: x(i), y: y(0) + 30, 'text-anchor': 'middle', 'data-key': i}, texts[i].length > letters ? `${texts[i].slice(0, letters - 1)}…` : texts[i]))));
    requestAnimationFrame(() => { place.scrollLeft = x(query) + step - place.clientWidth; });
  };
  V.onTheme(() => { if (place.isConnected) draw(); });
  const card = V.card({title: 'The network', wide: true, body: [title, place, line],
    note: `A pipe is as wide as the layer’s mean attention, half of it the stream itself; pipes under 1 % are left out, and of more than ${V.count(kEdges)} the thin ones. The stronger an input’s colour, the more could pass from it.`,
    table: () => ({head: ['block', 'from', 'from token', 'to', 'to token', 'capacity'], rows: edges.map(edge => [edge.block, edge.from, texts[edge.from], edge.to, texts[edge.to], edge.capacity])})});
  const show = (nextRow, next, from) => {
    if (nextRow === row && next === query && from === source) return;
    [row, query, source] = [nextRow, next, from];
    draw();
  };
  return {card, show};
};

V.page(found => {
  const {mode} = found;
  if (mode === 'heads') return found.habits.map(habit => habitCard(found, habit));
  const texts = [...found.key_token].map(V.token), T = texts.length, queries = [...found.position], Q = queries.length;
  const name = i => `${texts[i]}, position ${i}`;

  // --- what can be shown large: heads, their mean, rollout or flow to a layer

  const sources = [], at = (values, block) => (row, key) => key > queries[row] ? 0 : values[(block * Q + row) * T + key];
  found.layers.forEach((layer, l) => {
    if (mode !== 'maps') {
      sources.push({kind: mode, layer, head: null, title: `${mode === 'rollout' ? 'Rollout' : 'Flow'} to layer ${layer}`, at: at(found[mode], l)});
      return;
    }
    const heads = Array.from(found.head, (head, h) => ({kind: 'head', layer, head, title: `Head ${layer}.${head}`, at: at(found.attention, l * found.head.length + h)})), H = heads.length;
    sources.push(...heads);
    if (H > 1) sources.push({kind: 'mean', layer, head: null, title: `Layer ${layer}, mean of ${H} heads`, at: (row, key) => heads.reduce((sum, each) => sum + each.at(row, key), 0) / H});
  });
  const kinds = [['head', 'Heads'], ['mean', 'Mean over heads']].filter(([kind]) => sources.some(source => source.kind === kind));
  const value = mode === 'maps' ? 'attention' : mode, verb = {maps: 'looks at', rollout: 'consists of', flow: 'can draw on'}[mode];
  let kind = sources[0].kind, source = sources[0], sink = false, layer = 'all';

  /** With the first token left out, what is left is shared out anew. */
  const rest = row => 1 - source.at(row, 0);
  const shade = (row, key) => {
    const value = source.at(row, key);
    if (!sink || !Number.isFinite(value)) return value;
    return key === 0 || queries[row] === 0 ? 0 : rest(row) > 1e-6 ? value / rest(row) : 0;
  };

  /** Attention is drawn as it is, a share of all that reaches an input against the row's largest: of long texts all are small. */
  const scales = new Map();
  const scale = row => {
    if (mode === 'maps') return 1;
    if (!scales.has(row)) scales.set(row, Math.max(...Array.from({length: queries[row] + 1}, (_, key) => shade(row, key)).filter(Number.isFinite), 1e-30));
    return scales.get(row);
  };
  const tint = (row, key) => V.color.amount(shade(row, key) / scale(row));

  // --- small maps

  const kThumb = 64, kFew = 64;
  const thumb = each => {
    const canvas = V.el('canvas', {width: kThumb, height: kThumb, 'aria-hidden': 'true'}), R = Q, draw = () => {
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
  const layerChoice = headLayers.length > 1 ? V.select('Layer', ['all layers', ...headLayers], many ? headLayers.length : 0, at => {
    layer = at === 0 ? 'all' : headLayers[at - 1];
    drawThumbs();
  }) : null;

  // --- the large map

  const row = query => queries.indexOf(query);
  const mapTitle = V.el('h3', {}), mapPlace = V.el('div', {}), detail = V.el('div', {class: 'detail', 'aria-live': 'polite'});
  let grid = null;
  const makeGrid = () => {
    grid = V.grid({
      label: `${source.title}: ${Q} queries by ${T} keys`, rows: queries.map(query => `${texts[query]} ${query}`), above: texts, corner: [mode === 'maps' ? 'looks at' : 'of', ''],
      minWidth: T > 300 ? 3 : T > 60 ? 9 : 16, maxWidth: 46,
      color: (row, key) => key > queries[row] ? null : tint(row, key),
      text: (row, key) => key > queries[row] ? '' : String(Math.round(100 * shade(row, key))),
      describe: (row, key) => `${name(queries[row])} ${verb} ${name(key)}: ${key > queries[row] ? 'nothing, it comes later' : V.percent(source.at(row, key))}`,
      tip: (row, key) => [V.el('div', {class: 'muted'}, `${name(queries[row])} ${verb}`), V.el('div', {class: 'row'}, V.el('span', {}, name(key)), V.el('b', {}, key > queries[row] ? 'comes later' : V.percent(source.at(row, key))))],
      onShow: row => showQuery(queries[row]),
    });
    V.replace(mapPlace, grid.element);
  };

  // --- one query

  let query = -1;
  const list = V.el('div', {}), where = V.el('p', {class: 'where'});
  const text = V.text({
    label: 'The text', places: found.key_token,
    color: i => row(query) < 0 || i > query ? null : tint(row(query), i),
    small: i => row(query) < 0 || i > query ? '' : V.percent(source.at(row(query), i)),
    describe: i => row(query) < 0 ? `${name(i)}: not requested` : `${name(i)}: ${i > query ? 'comes later' : `${V.percent(source.at(row(query), i))} of ${texts[query]}`}`,
    onShow: i => showQuery(i),
  });
  const showQuery = to => {
    if (graph) graph.show(row(to), to, source);
    if (row(to) < 0) { query = to; V.replace(where, name(to), ' is not among the requested queries.'); V.replace(list); text.redraw(); return; }
    query = to;
    const order = Array.from({length: to + 1}, (_, key) => key).filter(key => Number.isFinite(source.at(row(to), key))).sort((a, b) => source.at(row(to), b) - source.at(row(to), a));
    const lost = to + 1 - order.length;
    V.replace(where, V.tokenBox(found.key_token[to]), ` at position ${to} ${verb}`, lost > 0 ? ` (${lost} of ${to + 1} values are not finite)` : null);
    V.replace(list, V.bars(order.slice(0, 10).map(key => ({name: [V.tokenBox(found.key_token[key]), ' ', String(key)], value: source.at(row(to), key)})), {format: V.percent, most: 1}));
    text.redraw();
  };

  const table = () => ({head: ['query', 'query token', 'key', 'key token', value],
                        rows: queries.flatMap((query, row) => Array.from({length: query + 1}, (_, key) => [query, texts[query], key, texts[key], source.at(row, key)]))});
  const mapCard = V.card({title: 'One map', note: found.caution ?? null, body: [mapTitle, mapPlace, detail], table, controls: [
    V.choice('Colour', [['all', 'All'], ['rest', 'Without the first token']], 'all', to => { sink = to === 'rest'; scales.clear(); grid.redraw(); text.redraw(); }), V.legend(V.color.amount, 0, 1, '0 %', mode === 'maps' ? '100 %' : 'the most of a row')]});
  mapCard.classList.add('main', 'map');
  const queryCard = V.card({title: 'One position', body: [where, list], table: () => ({head: ['key', 'token', value], rows: row(query) < 0 ? [] : Array.from({length: query + 1}, (_, key) => [key, texts[key], source.at(row(query), key)])})});
  queryCard.classList.add('side');

  const graph = found.edge_from ? network(found, queries, texts) : null;

  const choose = to => {
    source = to;
    scales.clear();
    V.replace(mapTitle, source.title);
    makeGrid();
    press();
    showQuery(row(query) >= 0 ? query : queries[Q - 1]);
    mapCard.update();
  };
  const kindChoice = kinds.length > 1 ? V.choice('Of', kinds, kind, to => {
    kind = to;
    if (layerChoice) layerChoice.hidden = kind !== 'head';
    choose(sources.find(each => each.kind === kind && each.layer === source.layer && (each.head === null || each.head === 0)) ?? sources.filter(each => each.kind === kind).pop());
    drawThumbs();
  }) : null;
  const small = sources.length > 1 ? V.card({title: 'All maps', wide: true, body: [thumbs], controls: [kindChoice, layerChoice]}) : null;

  if (many) choose(sources.find(each => each.kind === 'head' && each.layer === layer)); else choose(source);
  drawThumbs();
  requestAnimationFrame(() => { grid.moveTo(grid.rows.length - 1, 0); text.moveTo(queries[Q - 1]); });
  return [small, mapCard, queryCard, graph ? graph.card : null, V.card({title: 'Over the text', wide: true, note: mode === 'maps' ? 'Point at a token: the others show how much of its attention they get.' : `Point at a token: the others show what it ${verb}.`, body: [text.element]})];
});
