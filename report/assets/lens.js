// SPDX-License-Identifier: MIT
// The logit lens: layers by positions, a cell in detail, and the way of a rank through the layers.
V.page(lens => {
  const rows = lens.rows.length, columns = lens.position.length, K = lens.top.length, W = lens.watch.length, last = Math.max(lens.vocab, 2);
  const texts = [...lens.token].map(V.token), targets = [...lens.target].map(V.token);
  let colour = 'rank', cell = K > 0 && !lens.prompt ? 'token' : 'rank';
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
           `target ${targets[column]} rank ${V.count(lens.target_rank[i])}, ${V.percent(Math.exp(lens.target_log_probability[i]))}`;
  };
  const show = (row, column, pinned) => {
    const i = at(row, column);
    V.replace(detail, V.el('p', {class: 'where'}, name(row, column), ', after ', V.tokenBox(lens.token[column]), pinned ? V.el('span', {class: 'muted'}, ' · pinned') : null),
              V.el('dl', {class: 'facts'}, facts(i).map(([term, text]) => [V.el('dt', {}, term), V.el('dd', {}, text)])),
              K > 0 ? [V.el('h3', {}, 'Likeliest next tokens'), V.bars(Array.from({length: K}, (_, k) => {
                const {token, probability} = top(i, k);
                return {name: V.tokenBox(token), value: probability};
              }), {format: V.percent, most: 1})] : null);
    if (column !== shownColumn) showColumn(column);
  };

  // --- one position through the layers

  let shownColumn = -1;
  const series = column => [
    {name: targets[column], values: Array.from({length: rows}, (_, row) => lens.target_rank[row * columns + column])},
    ...Array.from({length: W}, (_, w) => w).filter(w => lens.watch[w] !== lens.target[column]).map(
        w => ({name: V.token(lens.watch[w]), values: Array.from({length: rows}, (_, row) => lens.watch_rank[(row * columns + column) * W + w])})),
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
                   entropy: i => V.color.amount(lens.entropy[i] / entropyMost), kl: i => V.color.amount(lens.kl[i] / klMost)};
  const written = {token: i => V.token(lens.top_token[i * K]), rank: i => V.count(lens.target_rank[i]), probability: i => V.percent(Math.exp(lens.target_log_probability[i]))};
  const grid = V.grid({
    label: `${rows} layers by ${columns} positions`, rows: [...lens.rows].reverse(), above: targets, below: texts, corner: ['follows', 'text'],
    minWidth: 58, maxWidth: 108, cellHeight: 25, describe, onShow: show,
    color: (row, column) => colours[colour](at(row, column)), text: (row, column) => written[cell](at(row, column)), mark: (row, column) => hits(at(row, column)),
    tip: (row, column) => {
      const i = at(row, column), best = Array.from({length: Math.min(K, 3)}, (_, k) => top(i, k));
      return [V.el('div', {class: 'muted'}, name(row, column)), best.map(({token, probability}) => V.el('div', {class: 'row'}, V.tokenBox(token), V.el('span', {}, V.percent(probability)))),
              V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, `rank of ${targets[column]}`), V.el('b', {}, V.count(lens.target_rank[i])))];
    },
  });
  const legends = {
    rank: () => V.legend(part => V.color.rank(last ** (1 - part), last), 0, 1, `rank ${V.count(last)}`, 'rank 1'),
    probability: () => V.legend(V.color.amount, 0, 1, '0 %', '100 %'),
    top: () => V.legend(V.color.amount, 0, 1, '0 %', '100 %'),
    entropy: () => V.legend(V.color.amount, 0, 1, '0 nats', `${V.number(entropyMost, 3)} nats`),
    kl: () => V.legend(V.color.amount, 0, 1, '0 nats', `${V.number(klMost, 3)} nats`),
  };
  const legend = V.el('div', {}, legends[colour]());
  const picture = V.card({
    title: 'Layers by positions', wide: true, table: () => V.flat(lens), body: [grid.element],
    controls: [
      V.choice('Colour', [['rank', 'Rank'], ['probability', 'Probability'], ...(K > 0 ? [['top', 'Confidence']] : []), ['entropy', 'Entropy'], ...(lens.kl ? [['kl', 'KL']] : [])], colour, to => {
        colour = to;
        V.replace(legend, legends[to]());
        grid.redraw();
      }),
      V.choice('Cells', [...(K > 0 ? [['token', 'Token']] : []), ['rank', 'Rank'], ['probability', 'Probability']], cell, to => { cell = to; grid.redraw(); }),
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
                   body: [V.el('div', {class: 'text'}, [...lens.ids.slice(0, lens.prompt)].map(place => V.el('span', {class: 'word'}, V.token(place), V.el('small', {}, '\u00a0'))), buttons)],
                   table: () => ({head: ['step', 'position', 'token', 'rank', 'log-probability'], rows: targets.map((text, column) => [column, lens.position[column], text, lens.target_rank[at(0, column)], lens.target_log_probability[at(0, column)]])})});
  };
  requestAnimationFrame(() => grid.moveTo(0, columns - 1));
  return [generation(), picture, riseCard, detailCard];
});
