// SPDX-License-Identifier: MIT
// Experiments that run a prompt again with something replaced: layers by positions, heads, neurons or components.
V.page(found => {
  const pairs = found.pairs !== undefined, over = found.over ?? 'component';
  const prompt = places => [...places].map(place => [V.tokenBox(place), ' ']);
  /** A number's values; over pairs one of 'mean', 'standard_error', 'deviation'. */
  const values = (name, which = 'mean') => pairs ? found[`${name}_${which}`] : found[name];
  const spread = (name, i, figures = 3) => pairs ? ` ± ${V.number(values(name, 'standard_error')[i], figures)}` : '';
  const trace = found.mode === 'trace';
  const ends = [['Whole model', 'whole_model'], [trace ? 'Without noise' : 'Clean', 'clean'], [trace ? 'Under noise' : 'Corrupt', 'corrupt'], ['Noise, standard deviation', 'deviation']].filter(([, name]) => values(name));
  const overview = V.card({title: 'The experiment', wide: true, body: [
    V.el('dl', {class: 'facts'}, [
      ...(pairs ? [['Pairs of prompts', `${V.count(found.pairs)}; numbers are means over them, ± their standard errors`]] : [[found.corrupt_tokens.length ? 'Clean prompt' : 'Prompt', prompt(found.clean_tokens)]]),
      ...(found.corrupt_tokens.length ? [['Corrupt prompt', prompt(found.corrupt_tokens)]] : []),
      ['Metric', found.measured], ...ends.map(([term, name]) => [term, `${V.number(values(name)[0])}${spread(name, 0)}`]), ...(found.note ? [['How', found.note]] : []), ['Effect', found.meaning],
    ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]))]});

  const kinds = [['effect', 'Effect'], ['value', 'Metric'], ['estimate', 'First-order estimate']].filter(([kind]) => values(kind));
  const width = found[over] ? found[over].length : 1;  // of a site's row, whatever the grid has
  let rowsBefore = 0;
  const view = ({title, rows, columns}, g) => {
    const first = rowsBefore;
    rowsBefore += rows.length;
    let kind = kinds[0][0];
    const reversed = rows.length - 1;
    const index = (row, column) => found.sender_at ? found.sender_at[(reversed - row) * columns.length + column] : (first + reversed - row) * width + column;
    const at = (each, row, column) => index(row, column) < 0 ? NaN : values(each)[index(row, column)];
    const zero = each => each === 'value' ? 0 : found.zero;  // of what is run again
    const places = Array.from({length: rows.length * columns.length}, (_, i) => [Math.floor(i / columns.length), i % columns.length]);
    const place = column => over === 'position' ? `position ${found.position[column]}${pairs ? '' : `, ${columns[column]}`}` : over === 'component' || over === 'whole' ? columns[column] : `${over} ${columns[column]}`;
    const name = (row, column) => `layer ${rows[reversed - row]}, ${place(column)}`;
    const limits = Object.fromEntries(kinds.map(([each]) => [each, V.largest(places.map(([row, column]) => at(each, row, column) - zero(each)))]));
    const legend = V.el('div', {});
    const drawLegend = () => V.replace(legend, V.legend(V.color.diverging, -1, 1, V.signed(zero(kind) - limits[kind]), V.signed(zero(kind) + limits[kind])));
    drawLegend();
    const detail = V.el('div', {class: 'detail', 'aria-live': 'polite'});
    const told = (each, row, column) => {
      const i = index(row, column);
      return i < 0 ? 'none' : `${V.signed(values(each)[i])}${spread(each, i)}${pairs ? `, deviation ${V.number(values(each, 'deviation')[i], 3)}` : ''}`;
    };
    const numbers = (row, column) => kinds.map(([each, text]) => [text, told(each, row, column)]);
    const grid = V.grid({
      label: `${title}: ${rows.length} layers by ${columns.length} columns`, rows: [...rows].reverse(), above: columns, corner: [over, ''],
      minWidth: columns.length > 400 ? 3 : 24, maxWidth: 104, cellHeight: rows.length * 24 > 700 ? 14 : 24,
      color: (row, column) => V.color.diverging((at(kind, row, column) - zero(kind)) / limits[kind]),
      text: (row, column) => Number.isNaN(at(kind, row, column)) ? '' : V.short(at(kind, row, column)),
      describe: (row, column) => `${name(row, column)}: ${numbers(row, column).map(pair => pair.join(' ')).join(', ')}`,
      tip: (row, column) => [V.el('div', {class: 'muted'}, name(row, column)), numbers(row, column).map(([text, value]) => V.el('div', {class: 'row'}, V.el('span', {}, text), V.el('b', {}, value)))],
      onShow: (row, column, pinned) => V.replace(detail, V.el('span', {class: 'where'}, name(row, column)), numbers(row, column).map(([text, value]) => [` · ${text} `, V.el('b', {}, value)]), pinned ? ' · pinned' : ''),
    });
    requestAnimationFrame(() => grid.moveTo(0, 0));
    const largest = () => {
      const change = ([row, column]) => at(kind, row, column) - zero(kind);
      const order = places.filter(each => Number.isFinite(change(each))).sort((a, b) => Math.abs(change(b)) - Math.abs(change(a)));
      return V.bars(order.slice(0, 12).map(each => ({name: name(...each), value: change(each), note: spread(kind, index(...each)).trim() || undefined})), {signed: true, format: V.signed});
    };
    const list = V.el('div', {class: 'largest'}, largest());
    return V.card({
      title, wide: true,
      note: found.correlation ? `Pearson's r of effects and first-order estimates: ${V.number(found.correlation[g], 3)}` : null,
      controls: [kinds.length > 1 ? V.choice('Show', kinds, kind, to => { kind = to; drawLegend(); grid.redraw(); V.replace(list, largest()); }) : null, legend],
      body: [grid.element, detail, V.el('h3', {}, found.zero ? 'Largest changes' : 'Largest'), list],
      table: () => {
        const {head, rows: all} = V.flat(found), own = found.site && new Set(found.site.slice(first, first + rows.length));
        return {head, rows: own ? all.filter(([site]) => own.has(site)) : all};
      },
    });
  };
  return [overview, ...found.grids.map(view)];
});
