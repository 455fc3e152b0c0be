// SPDX-License-Identifier: MIT
// Sites by sites: how alike they represent the same tokens.
V.page(found => {
  const {row: rows, column: columns, row_labels: below, column_labels: across} = found, C = columns.length, of = (r, c) => found.values[r * C + c], up = r => rows.length - 1 - r;  // the last layer on top
  const components = (list, i) => list ? `, ${V.count(list[i])} components` : '';
  const rowModel = found.against ? `${found.model} ` : '', columnModel = found.against ? `${found.against} ` : '';
  const say = (r, c) => `${rowModel}${rows[r]}${components(found.row_components, r)} and ${columnModel}${columns[c]}${components(found.column_components, c)}`;

  const detail = V.el('p', {class: 'where', 'aria-live': 'polite'});
  const profile = V.lines({label: 'One site with all others', x: across, xName: `${columnModel}site`, yName: found.measure, range: [0, 1], series: [{name: below[0], values: Array.from({length: C}, (_, c) => of(0, c))}], format: value => V.number(value, 3)});
  let shown = 0;
  const show = (r, c) => {
    V.replace(detail, `${say(r, c)}: `, V.el('b', {}, V.number(of(r, c))));
    if (r !== shown) {
      shown = r;
      profile.set({series: [{name: `${rowModel}${below[r]}`, values: Array.from({length: C}, (_, c) => of(r, c))}]});
      profileCard.update();
    }
    profile.show(c);
  };
  const profileCard = V.card({title: 'One row', body: [profile.element], table: () => ({head: ['site', found.measure], rows: columns.map((site, c) => [site, of(shown, c)])})});
  const grid = V.grid({
    label: `${rows.length} by ${C} sites`, rows: [...below].reverse(), above: across, corner: [found.against || 'layer', ''], minWidth: C > 100 ? 6 : 24, maxWidth: 52,
    color: (r, c) => V.color.amount(of(up(r), c)), text: (r, c) => Number.isFinite(of(up(r), c)) ? of(up(r), c).toFixed(2).replace(/^0\./, '.') : '',
    describe: (r, c) => `${say(up(r), c)}: ${V.number(of(up(r), c))}`,
    tip: (r, c) => [V.el('div', {class: 'muted'}, say(up(r), c)), V.el('div', {class: 'row'}, V.el('span', {}, found.measure.toUpperCase()), V.el('b', {}, V.number(of(up(r), c))))],
    onShow: (r, c) => show(up(r), c),
  });
  requestAnimationFrame(() => grid.moveTo(0, 0));
  const matrix = V.card({title: 'Sites by sites', body: [grid.element, detail], controls: [V.legend(V.color.amount, 0, 1, '0', '1, alike')], note: `${V.count(found.tokens)} tokens${found.against ? `; rows: ${found.model}, columns: ${found.against}` : ''}`,
    table: () => V.flat(found)});
  matrix.classList.add('main');
  profileCard.classList.add('side');
  return [matrix, profileCard];
});
