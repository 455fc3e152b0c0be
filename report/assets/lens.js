// SPDX-License-Identifier: MIT
// The logit lens: layers by positions, a cell in detail, and the way of a rank through the layers.
/** The watched tokens of cell i, which of them is ahead, and its share of their probability. */
const watchedAt = (lens, i) => {
  const W = lens.watch.length;
  const each = Array.from(lens.watch, (token, w) => ({token, slot: w, rank: lens.watch_rank[i * W + w], logProb: lens.watch_log_probability[i * W + w]}));
  const most = Math.max(...each.map(({logProb}) => logProb)), sum = each.reduce((all, {logProb}) => all + Math.exp(logProb - most), 0);
  return {each, first: each.findIndex(({logProb}) => logProb === most), share: 1 / sum};
};
/** The shade of the one that is ahead: its own colour, deeper the more it has of their probability. */
const aheadShade = (lens, i) => {
  const {first, share} = watchedAt(lens, i), least = 1 / lens.watch.length;
  return first < 0 ? null : V.color.shade(first, 0.15 + 0.6 * (share - least) / (1 - least));
};
const shadeAhead = (element, lens, i) => {
  const rgb = lens.watch.length > 1 ? aheadShade(lens, i) : null;
  element.style.background = rgb ? V.color.css(rgb) : '';
  element.style.color = rgb ? V.color.on(rgb) : '';
};
/** A line a watched token: its colour, its rank and its probability; the one that is ahead is shaded. */
const watchedList = (lens, i) => {
  const {each, first} = watchedAt(lens, i);
  const lines = each.map(({token, slot, rank, logProb}) => V.el('li', {class: slot === first ? 'ahead' : null}, V.key(slot), V.tokenBox(token), V.el('b', {}, `rank ${V.count(rank)}`), V.el('span', {}, V.percent(Math.exp(logProb)))));
  if (lines[first]) shadeAhead(lines[first], lens, i);
  return V.el('ul', {class: 'watched'}, lines);
};
const watchedKeys = lens => V.el('div', {class: 'legend'}, Array.from(lens.watch, (token, w) => V.el('span', {}, V.key(w), ' ', V.tokenBox(token))));
const watchedSeries = (lens, column) => Array.from(lens.watch, (token, w) => ({
  name: V.token(token), slot: w, values: Array.from(lens.rows, (_, row) => lens.watch_rank[(row * lens.position.length + column) * lens.watch.length + w])}));

/** Texts beside each other, each at the same place from its end, with the same colours. */
const together = results => {
  const watched = [...results[0].watch].join();
  if (watched === '' || results.some(lens => [...lens.watch].join() !== watched)) return null;
  const places = Math.min(...results.map(lens => lens.position.length));
  const columnOf = (lens, back) => lens.position.length - 1 - back;
  let back = 0;
  const one = lens => {
    const last = Math.max(lens.vocab, 2);
    const lines = V.lines({label: `Ranks of the watched tokens by layer: ${lens.label}`, x: lens.rows, series: watchedSeries(lens, columnOf(lens, 0)), scale: 'rank', range: [1, last], xName: 'layer', yName: 'rank (1 is best)', format: V.count});
    const where = V.el('p', {class: 'note'}), body = V.el('tbody', {});
    const fill = () => {
      const column = columnOf(lens, back), columns = lens.position.length;
      V.replace(where, `Position ${lens.position[column]}, after `, V.tokenBox(lens.token[column]));
      V.replace(body, [...lens.rows.keys()].reverse().map(row => {
        const i = row * columns + column, {each, first} = watchedAt(lens, i);
        const cells = each.map(({slot, rank, logProb}) => V.el('td', {class: slot === first ? 'number ahead' : 'number'}, V.count(rank), V.el('small', {}, V.percent(Math.exp(logProb)))));
        if (cells[first]) shadeAhead(cells[first], lens, i);
        return V.el('tr', {}, V.el('th', {scope: 'row'}, lens.rows[row]), cells);
      }));
    };
    V.onTheme(fill);
    fill();
    const head = V.el('tr', {}, V.el('th', {scope: 'col'}, 'layer'), Array.from(lens.watch, (token, w) => V.el('th', {scope: 'col', class: 'number'}, V.key(w), ' ', V.tokenBox(token))));
    const element = V.el('div', {class: 'pair'}, V.el('h3', {}, lens.label), where, lines.element, V.el('div', {class: 'scroll', tabindex: 0}, V.el('table', {}, V.el('thead', {}, head), body)));
    return {element, update: () => { fill(); lines.set({series: watchedSeries(lens, columnOf(lens, back))}); }};
  };
  const pairs = results.map(one);
  const words = Array.from({length: places}, (_, b) => `${-1 - b}: after ${results.map(lens => V.token(lens.token[columnOf(lens, b)])).join(' / ')}`.replace('-', '−'));
  const card = V.card({
    title: 'Side by side', wide: true, note: 'The watched tokens after each layer, in the same colours for all texts; in each row the likeliest of them is shaded.',
    controls: [places > 1 ? V.select('Position', words, 0, to => { back = to; pairs.forEach(pair => pair.update()); card.update(); }) : null, watchedKeys(results[0])],
    body: [V.el('div', {class: 'pairs'}, pairs.map(({element}) => element))],
    table: () => ({
      head: ['text', 'site', 'position', ...Array.from(results[0].watch).flatMap(place => [`rank of ${V.token(place)}`, `log-probability of ${V.token(place)}`]), 'ahead'],
      rows: results.flatMap(lens => lens.site.map((site, row) => {
        const column = columnOf(lens, back), {each, first} = watchedAt(lens, row * lens.position.length + column);
        return [lens.label, site, lens.position[column], ...each.flatMap(({rank, logProb}) => [rank, logProb]), first < 0 ? null : V.token(lens.watch[first])];
      })),
    }),
  });
  return card;
};

V.page(lens => {
  const rows = lens.rows.length, columns = lens.position.length, K = lens.top.length, W = lens.watch.length, last = Math.max(lens.vocab, 2);
  const texts = [...lens.token].map(V.token), targets = [...lens.target].map(V.token);
  let colour = W > 1 ? 'watch' : 'rank', cell = W > 1 ? 'watch' : K > 0 && !lens.prompt ? 'token' : 'rank';
  // The picture has the last layer on top, as the model is drawn; arrays begin with the first.
  const at = (row, column) => (rows - 1 - row) * columns + column;
  const name = (row, column) => `${lens.site[rows - 1 - row]}, position ${lens.position[column]}`;
  const top = (i, k) => ({token: lens.top_token[i * K + k], probability: Math.exp(lens.top_log_probability[i * K + k])});
  const hits = i => K > 0 && lens.top_token[i * K] === lens.target[i % columns];
  const entropyMost = Math.log(last), klMost = lens.kl ? V.largest(lens.kl) : 0;

  // --- one cell

  const detail = V.el('div', {class: 'detail'});
  const detailCard = V.card({title: 'Cell', body: [detail]});
  detailCard.classList.add('side');
  const facts = i => [['Target', V.tokenBox(lens.target[i % columns])], ['Rank', `${V.count(lens.target_rank[i])} of ${V.count(lens.vocab)}`],
                      ['Probability', V.percent(Math.exp(lens.target_log_probability[i]))], ['Log-probability', `${V.number(lens.target_log_probability[i])} nats`],
                      ['Entropy', `${V.number(lens.entropy[i])} nats`], ...(lens.kl ? [['KL from the output', `${V.number(lens.kl[i])} nats`]] : [])];
  const describe = (row, column) => {
    const i = at(row, column);
    return `${name(row, column)}, after ${texts[column]}: ${K > 0 ? `says ${V.token(lens.top_token[i * K])} ${V.percent(top(i, 0).probability)}; ` : ''}` +
           `target ${targets[column]} rank ${V.count(lens.target_rank[i])}, ${V.percent(Math.exp(lens.target_log_probability[i]))}` +
           watchedAt(lens, i).each.map(({token, rank}) => `; ${V.token(token)} rank ${V.count(rank)}`).join('');
  };
  const show = (row, column, pinned) => {
    const i = at(row, column);
    V.replace(detail, V.el('p', {class: 'where'}, name(row, column), ', after ', V.tokenBox(lens.token[column]), pinned ? V.el('span', {class: 'muted'}, ' · pinned') : null),
              V.el('dl', {class: 'facts'}, facts(i).map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)])),
              W > 0 ? [V.el('h3', {}, 'Watched'), watchedList(lens, i)] : null,
              K > 0 ? [V.el('h3', {}, 'Likeliest next tokens'), V.bars(Array.from({length: K}, (_, k) => {
                const {token, probability} = top(i, k);
                return {name: V.tokenBox(token), value: probability};
              }), {format: V.percent, most: 1})] : null);
    if (column !== shownColumn) showColumn(column);
  };

  // --- one position through the layers

  let shownColumn = -1;
  // A watched token has the same colour whatever follows; what follows comes after them.
  const series = column => [
    ...watchedSeries(lens, column),
    ...(lens.watch.includes(lens.target[column]) ? [] : [{name: targets[column], slot: W, values: Array.from({length: rows}, (_, row) => lens.target_rank[row * columns + column])}]),
  ];
  const rise = V.lines({label: 'Rank by layer', x: lens.rows, series: series(0), scale: 'rank', range: [1, last], xName: 'layer', yName: 'rank (1 is best)', format: V.count});
  const riseTitle = V.el('p', {class: 'note'});
  const columnTable = column => ({
    head: ['site', ...[lens.target[column], ...lens.watch].flatMap(place => [`rank of ${V.token(place)}`, `log-probability of ${V.token(place)}`])],
    rows: lens.site.map((site, row) => {
      const i = row * columns + column;
      return [site, lens.target_rank[i], lens.target_log_probability[i], ...Array.from({length: W}, (_, w) => [lens.watch_rank[i * W + w], lens.watch_log_probability[i * W + w]]).flat()];
    }),
  });
  const riseCard = V.card({title: W > 0 ? 'Ranks through the layers, side by side' : 'The rank through the layers', body: [riseTitle, rise.element], table: () => columnTable(shownColumn)});
  riseCard.classList.add('main', 'rise');
  const showColumn = column => {
    shownColumn = column;
    V.replace(riseTitle, `Position ${lens.position[column]}, after `, V.tokenBox(lens.token[column]), ': what follows is ', V.tokenBox(lens.target[column]),
              W > 0 ? [', compared with ', ...[...lens.watch].map(place => [V.tokenBox(place), ' '])] : null);
    rise.set({series: series(column)});
    riseCard.update();
  };

  // --- the picture

  const colours = {rank: i => V.color.rank(lens.target_rank[i], last), probability: i => V.color.amount(Math.exp(lens.target_log_probability[i])), top: i => V.color.amount(top(i, 0).probability),
                   watch: i => W > 1 ? aheadShade(lens, i) : V.color.rank(lens.watch_rank[i], last),
                   entropy: i => V.color.amount(lens.entropy[i] / entropyMost), kl: i => V.color.amount(lens.kl[i] / klMost)};
  const written = {token: i => V.token(lens.top_token[i * K]), rank: i => V.count(lens.target_rank[i]), probability: i => V.percent(Math.exp(lens.target_log_probability[i])),
                   watch: i => watchedAt(lens, i).each.map(({rank}) => V.count(rank)).join(' · ')};
  const grid = V.grid({
    label: `${rows} layers by ${columns} positions`, rows: [...lens.rows].reverse(), above: targets, below: texts, corner: ['follows', 'text'],
    minWidth: 58 + 26 * Math.min(Math.max(W - 1, 0), 3), maxWidth: Math.max(108, 58 + 26 * W), cellHeight: 25, describe, onShow: show,
    color: (row, column) => colours[colour](at(row, column)), text: (row, column) => written[cell](at(row, column)), mark: (row, column) => hits(at(row, column)),
    tip: (row, column) => {
      const i = at(row, column), best = Array.from({length: Math.min(K, 3)}, (_, k) => top(i, k));
      return [V.el('div', {class: 'muted'}, name(row, column)), best.map(({token, probability}) => V.el('div', {class: 'row'}, V.tokenBox(token), V.el('span', {}, V.percent(probability)))),
              V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, `rank of ${targets[column]}`), V.el('b', {}, V.count(lens.target_rank[i]))), W > 0 ? watchedList(lens, i) : null];
    },
  });
  const legends = {
    rank: () => V.legend(part => V.color.rank(last ** (1 - part), last), 0, 1, `rank ${V.count(last)}`, 'rank 1'),
    watch: () => W > 1 ? watchedKeys(lens) : legends.rank(),
    probability: () => V.legend(V.color.amount, 0, 1, '0 %', '100 %'),
    top: () => V.legend(V.color.amount, 0, 1, '0 %', '100 %'),
    entropy: () => V.legend(V.color.amount, 0, 1, '0 nats', `${V.number(entropyMost, 3)} nats`),
    kl: () => V.legend(V.color.amount, 0, 1, '0 nats', `${V.number(klMost, 3)} nats`),
  };
  const legend = V.el('div', {}, legends[colour]());
  const picture = V.card({
    title: 'Layers by positions', wide: true, table: () => V.flat(lens), body: [grid.element],
    controls: [
      V.choice('Colour', [...(W > 0 ? [['watch', W > 1 ? 'Ahead' : 'Watched']] : []), ['rank', 'Rank'], ['probability', 'Probability'], ...(K > 0 ? [['top', 'Confidence']] : []), ['entropy', 'Entropy'], ...(lens.kl ? [['kl', 'KL']] : [])], colour, to => {
        colour = to;
        V.replace(legend, legends[to]());
        grid.redraw();
      }),
      V.choice('Cells', [...(W > 0 ? [['watch', 'Watched']] : []), ...(K > 0 ? [['token', 'Token']] : []), ['rank', 'Rank'], ['probability', 'Probability']], cell, to => { cell = to; grid.redraw(); }),
      legend,
    ],
  });
  /** Of a generation: what was said, each new token as dark as its rank in the model's own output is high. */
  const generation = () => {
    if (!lens.prompt) return null;
    const step = column => ({text: targets[column], rank: lens.target_rank[at(0, column)]});
    const buttons = targets.map((_, column) => V.el('button', {type: 'button', class: 'word', 'data-step': column, onclick: () => grid.pin({row: 0, column}), onfocus: () => grid.moveTo(0, column), onpointerenter: () => grid.moveTo(0, column)},
                                                     V.token(lens.target[column]), V.el('small', {}, `rank ${V.count(step(column).rank)}`)));
    const paint = () => buttons.forEach((button, column) => {
      const rgb = V.color.rank(step(column).rank, last);
      button.style.background = V.color.css(rgb);
      button.style.color = V.color.on(rgb);
    });
    V.onTheme(paint);
    paint();
    return V.card({title: 'What was generated', wide: true, note: 'The prompt, then each new token with its rank in the model\u2019s own output. Point at one to follow it through the layers.',
                   body: [V.el('div', {class: 'text'}, [...lens.ids.slice(0, lens.prompt)].map(place => [V.el('span', {class: 'word'}, V.token(place), V.el('small', {}, '\u00a0')), V.lineEnd(place)]),
                                                                      buttons.map((button, column) => [button, V.lineEnd(lens.target[column])]))],
                   table: () => ({head: ['step', 'position', 'token', 'rank', 'log-probability'], rows: targets.map((text, column) => [column, lens.position[column], text, lens.target_rank[at(0, column)], lens.target_log_probability[at(0, column)]])})});
  };
  V.onTheme(() => { if (detail.isConnected && shownColumn >= 0) show(grid.shown.row, grid.shown.column, Boolean(grid.pinned)); });
  requestAnimationFrame(() => grid.moveTo(0, columns - 1));
  return [generation(), picture, riseCard, detailCard];
}, together);
