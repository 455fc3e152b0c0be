// SPDX-License-Identifier: MIT
// Experiments that run a prompt again with something replaced: layers by positions, heads, neurons or components.
V.page(found => {
  const prompt = places => [...places].map(place => [V.tokenBox(place), ' ']);
  const overview = V.card({title: 'The experiment', wide: true, body: [
    V.el('dl', {class: 'facts'}, [
      [found.corrupt.length ? 'Clean prompt' : 'Prompt', prompt(found.clean)], ...(found.corrupt.length ? [['Corrupt prompt', prompt(found.corrupt)]] : []),
      ['Metric', found.metric], ...found.figures.map(({name, value}) => [name, V.number(value)]), ...(found.note ? [['How', found.note]] : []), ['Effect', found.effect],
    ].map(([term, what]) => [V.el('dt', {}, term), V.el('dd', {}, what)]))]});

  const kinds = [['effects', 'Effect'], ['values', 'Metric'], ['estimates', 'First-order estimate']];
  const view = patched => {
    const {rows, columns} = patched, there = kinds.filter(([kind]) => patched[kind]);
    let kind = there[0][0];
    const reversed = rows.length - 1, at = (row, column) => (reversed - row) * columns.length + column;
    const place = column => patched.over === 'position' ? `position ${patched.numbers[column]}, ${columns[column]}` : patched.over === 'component' ? columns[column] : `${patched.over} ${columns[column]}`;
    const name = (row, column) => `layer ${rows[reversed - row]}, ${place(column)}`;
    const limits = Object.fromEntries(there.map(([each]) => [each, V.largest(patched[each])]));
    const legend = V.el('div', {});
    const drawLegend = () => V.replace(legend, V.legend(V.color.diverging, -1, 1, V.signed(-limits[kind]), V.signed(limits[kind])));
    drawLegend();
    const detail = V.el('div', {class: 'detail', 'aria-live': 'polite'});
    const numbers = (row, column) => there.map(([each, text]) => [text, V.signed(patched[each][at(row, column)])]);
    const grid = V.grid({
      label: `${patched.title}: ${rows.length} layers by ${columns.length} columns`, rows: [...rows].reverse(), above: columns, corner: [patched.over, ''],
      minWidth: columns.length > 400 ? 3 : 24, maxWidth: 104, cellHeight: rows.length * 24 > 700 ? 14 : 24,
      color: (row, column) => V.color.diverging(patched[kind][at(row, column)] / limits[kind]),
      text: (row, column) => Number.isNaN(patched[kind][at(row, column)]) ? '' : V.short(patched[kind][at(row, column)]),
      describe: (row, column) => `${name(row, column)}: ${numbers(row, column).map(pair => pair.join(' ')).join(', ')}`,
      tip: (row, column) => [V.el('div', {class: 'muted'}, name(row, column)), numbers(row, column).map(([text, value]) => V.el('div', {class: 'row'}, V.el('span', {}, text), V.el('b', {}, value)))],
      onShow: (row, column, pinned) => V.replace(detail, V.el('span', {class: 'where'}, name(row, column)), numbers(row, column).map(([text, value]) => [` · ${text} `, V.el('b', {}, value)]), pinned ? ' · pinned' : ''),
    });
    requestAnimationFrame(() => grid.moveTo(0, 0));
    const largest = () => {
      const order = Array.from({length: rows.length * columns.length}, (_, i) => i).filter(i => Number.isFinite(patched[kind][i]));
      order.sort((a, b) => Math.abs(patched[kind][b]) - Math.abs(patched[kind][a]));
      return V.bars(order.slice(0, 12).map(i => ({name: name(reversed - Math.floor(i / columns.length), i % columns.length), value: patched[kind][i]})), {signed: true, format: V.signed});
    };
    const list = V.el('div', {class: 'largest'}, largest());
    return V.card({
      title: patched.title, wide: true,
      note: patched.correlation === undefined ? null : `Pearson's r of effects and first-order estimates: ${V.number(patched.correlation, 3)}`,
      controls: [there.length > 1 ? V.choice('Show', there, kind, to => { kind = to; drawLegend(); grid.redraw(); V.replace(list, largest()); }) : null, legend],
      body: [grid.element, detail, V.el('h3', {}, 'Largest'), list],
      table: () => ({
        head: ['layer', patched.over, ...(patched.over === 'position' ? ['token'] : []), ...there.map(([each]) => each)],
        rows: Array.from({length: rows.length * columns.length}, (_, i) => {
          const column = i % columns.length;
          return [rows[Math.floor(i / columns.length)], patched.numbers ? patched.numbers[column] : columns[column], ...(patched.over === 'position' ? [columns[column]] : []), ...there.map(([each]) => patched[each][i])];
        }),
      }),
    });
  };
  return [overview, ...found.grids.map(view)];
});
