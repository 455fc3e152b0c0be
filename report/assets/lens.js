// SPDX-License-Identifier: MIT
// The logit lens: layers by positions, a cell in detail, and the way of a rank through the layers.
V.page(lens => {
  const rows = lens.layers.length, columns = lens.positions.length, K = lens.topK, W = lens.watch.length, last = Math.max(lens.vocab, 2);
  const texts = [...lens.tokens].map(V.token), targets = [...lens.targets].map(V.token);
  let colour = 'rank', cell = K > 0 && !lens.prompt ? 'token' : 'rank';
  // The picture has the last layer on top, as the model is drawn; arrays begin with the first.
  const at = (row, column) => (rows - 1 - row) * columns + column;
  const name = (row, column) => `layer ${lens.layers[rows - 1 - row]}, position ${lens.positions[column]}`;
  const top = (i, k) => ({token: lens.topTokens[i * K + k], probability: Math.exp(lens.topLogProbs[i * K + k])});
  const hits = i => K > 0 && lens.topTokens[i * K] === lens.targets[i % columns];
  const entropyMost = Math.log(last), klMost = lens.kl ? V.largest(lens.kl) : 0;

  // --- one cell

  const detail = V.el('div', {class: 'detail'});
  const detailCard = V.card({title: 'Cell', body: [detail]});
  detailCard.classList.add('side');
  const facts = i => [['Target', V.tokenBox(lens.targets[i % columns])], ['Rank', `${V.count(lens.ranks[i])} of ${V.count(lens.vocab)}`],
                      ['Probability', V.percent(Math.exp(lens.logProbs[i]))], ['Log-probability', `${V.number(lens.logProbs[i])} nats`],
                      ['Entropy', `${V.number(lens.entropies[i])} nats`], ...(lens.kl ? [['KL from the output', `${V.number(lens.kl[i])} nats`]] : [])];
  const describe = (row, column) => {
    const i = at(row, column);
    return `${name(row, column)}, after ${texts[column]}: ${K > 0 ? `says ${V.token(lens.topTokens[i * K])} ${V.percent(top(i, 0).probability)}; ` : ''}` +
           `target ${targets[column]} rank ${V.count(lens.ranks[i])}, ${V.percent(Math.exp(lens.logProbs[i]))}`;
  };
  const show = (row, column, pinned) => {
    const i = at(row, column);
    V.replace(detail, V.el('p', {class: 'where'}, name(row, column), ', after ', V.tokenBox(lens.tokens[column]), pinned ? V.el('span', {class: 'muted'}, ' · pinned') : null),
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
    {name: targets[column], values: Array.from({length: rows}, (_, row) => lens.ranks[row * columns + column])},
    ...Array.from({length: W}, (_, w) => w).filter(w => lens.watch[w] !== lens.targets[column]).map(
        w => ({name: V.token(lens.watch[w]), values: Array.from({length: rows}, (_, row) => lens.watchRanks[(row * columns + column) * W + w])})),
  ];
  const rise = V.lines({label: 'Rank by layer', x: lens.layers, series: series(0), scale: 'rank', range: [1, last], xName: 'layer', yName: 'rank (1 is best)', format: V.count});
  const riseTitle = V.el('p', {class: 'note'});
  const columnTable = column => ({
    head: ['layer', ...[lens.targets[column], ...lens.watch].flatMap(place => [`rank of ${V.token(place)}`, `log-probability of ${V.token(place)}`])],
    rows: lens.layers.map((layer, row) => {
      const i = row * columns + column;
      return [layer, lens.ranks[i], lens.logProbs[i], ...Array.from({length: W}, (_, w) => [lens.watchRanks[i * W + w], lens.watchLogProbs[i * W + w]]).flat()];
    }),
  });
  const riseCard = V.card({title: W > 0 ? 'Ranks through the layers, side by side' : 'The rank through the layers', body: [riseTitle, rise.element], table: () => columnTable(shownColumn)});
  riseCard.classList.add('main', 'rise');
  const showColumn = column => {
    shownColumn = column;
    V.replace(riseTitle, `Position ${lens.positions[column]}, after `, V.tokenBox(lens.tokens[column]), ': what follows is ', V.tokenBox(lens.targets[column]),
              W > 0 ? [', compared with ', ...[...lens.watch].map(place => [V.tokenBox(place), ' '])] : null);
    rise.set({series: series(column)});
    riseCard.update();
  };

  // --- the picture

  const colours = {rank: i => V.color.rank(lens.ranks[i], last), probability: i => V.color.amount(Math.exp(lens.logProbs[i])), top: i => V.color.amount(top(i, 0).probability),
                   entropy: i => V.color.amount(lens.entropies[i] / entropyMost), kl: i => V.color.amount(lens.kl[i] / klMost)};
  const written = {token: i => V.token(lens.topTokens[i * K]), rank: i => V.count(lens.ranks[i]), probability: i => V.percent(Math.exp(lens.logProbs[i]))};
  const grid = V.grid({
    label: `${rows} layers by ${columns} positions`, rows: [...lens.layers].reverse(), above: targets, below: texts, corner: ['follows', 'text'],
    minWidth: 58, maxWidth: 108, cellHeight: 25, describe, onShow: show,
    color: (row, column) => colours[colour](at(row, column)), text: (row, column) => written[cell](at(row, column)), mark: (row, column) => hits(at(row, column)),
    tip: (row, column) => {
      const i = at(row, column), best = Array.from({length: Math.min(K, 3)}, (_, k) => top(i, k));
      return [V.el('div', {class: 'muted'}, name(row, column)), best.map(({token, probability}) => V.el('div', {class: 'row'}, V.tokenBox(token), V.el('span', {}, V.percent(probability)))),
              V.el('div', {class: 'row'}, V.el('span', {class: 'muted'}, `rank of ${targets[column]}`), V.el('b', {}, V.count(lens.ranks[i])))];
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
  const table = () => ({
    head: ['layer', 'position', 'token', 'target', 'rank', 'log-probability', 'entropy', ...(lens.kl ? ['kl'] : []), ...Array.from({length: K}, (_, k) => [`top ${k + 1}`, `top ${k + 1} log-probability`]).flat()],
    rows: Array.from({length: rows * columns}, (_, i) => {
      const row = Math.floor(i / columns), column = i % columns;
      return [lens.layers[row], lens.positions[column], texts[column], targets[column], lens.ranks[i], lens.logProbs[i], lens.entropies[i], ...(lens.kl ? [lens.kl[i]] : []),
              ...Array.from({length: K}, (_, k) => [V.token(lens.topTokens[i * K + k]), lens.topLogProbs[i * K + k]]).flat()];
    }),
  });
  const picture = V.card({
    title: 'Layers by positions', wide: true, table, body: [grid.element],
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
    const step = column => ({text: targets[column], rank: lens.ranks[at(0, column)]});
    const buttons = targets.map((_, column) => V.el('button', {type: 'button', class: 'word', 'data-step': column, onclick: () => grid.pin({row: 0, column}), onfocus: () => grid.moveTo(0, column), onpointerenter: () => grid.moveTo(0, column)},
                                                     V.token(lens.targets[column]), V.el('small', {}, `rank ${V.count(step(column).rank)}`)));
    const paint = () => buttons.forEach((button, column) => {
      const rgb = V.color.rank(step(column).rank, last);
      button.style.background = V.color.css(rgb);
      button.style.color = V.color.on(rgb);
    });
    V.onTheme(paint);
    paint();
    return V.card({title: 'What was generated', wide: true, note: 'The prompt, then each new token with its rank in the model\u2019s own output. Point at one to follow it through the layers.',
                   body: [V.el('div', {class: 'text'}, [...lens.prompt].map(place => V.el('span', {class: 'word'}, V.token(place), V.el('small', {}, '\u00a0'))), buttons)],
                   table: () => ({head: ['step', 'position', 'token', 'rank', 'log-probability'], rows: targets.map((text, column) => [column, lens.positions[column], text, lens.ranks[at(0, column)], lens.logProbs[at(0, column)]])})});
  };
  requestAnimationFrame(() => grid.moveTo(0, columns - 1));
  return [generation(), picture, riseCard, detailCard];
});
