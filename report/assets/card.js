// SPDX-License-Identifier: MIT
// A card is one view: a title, what it shows, and its numbers as a table, to look at or to copy.
{
  const say = text => { document.getElementById('said').textContent = text; };
  /** To the clipboard; where the browser refuses that to files, into a box to copy from by hand. */
  const copy = async (button, text, what) => {
    try {
      await navigator.clipboard.writeText(text);
      say(`Copied ${what}`);
      const before = button.textContent;
      button.textContent = 'Copied';
      setTimeout(() => { button.textContent = before; }, 1200);
    } catch {
      const box = V.el('textarea', {readonly: true, rows: 8, 'aria-label': what});
      box.value = text;
      const dialog = V.el('dialog', {class: 'copy', onclose: () => dialog.remove()}, V.el('p', {}, 'Copy from here:'), box,
                          V.el('form', {method: 'dialog'}, V.el('button', {}, 'Close')));
      document.body.append(dialog);
      dialog.showModal();
      box.select();
    }
  };
  V.copy = copy;

  const kMostRows = 2000;  // of a table on the page
  const plain = value => typeof value === 'number' && !Number.isFinite(value) ? null : value;
  const shown = value => value === null || value === undefined ? '' : typeof value === 'number' && !Number.isInteger(value) ? V.number(value, 5) : String(value);

  /** {head: [...], rows: [[...]]} to look at. */
  const draw = V.table = ({head, rows}) => {
    const body = rows.slice(0, kMostRows).map(row => V.el('tr', {}, row.map(
        (value, i) => V.el(i === 0 ? 'th' : 'td', i === 0 ? {scope: 'row'} : {class: typeof value === 'number' ? 'number' : null}, shown(value)))));
    return V.el('div', {class: 'scroll', tabindex: 0}, V.el('table', {}, V.el('thead', {}, V.el('tr', {}, head.map(text => V.el('th', {scope: 'col'}, text)))),
                                                            V.el('tbody', {}, body)),
                rows.length > kMostRows ? V.el('p', {class: 'note'}, `The first ${V.count(kMostRows)} of ${V.count(rows.length)} rows; what is copied has all.`) : null);
  };

  /** {title, note, controls: [...], body: [...], table: () => ({head: [...], rows: [[...]]}), wide}. Numbers in tables are whole: the reader rounds. */
  V.card = ({title, note = null, controls = [], body, table = null, wide = false}) => {
    const id = V.id('card'), card = V.el('section', {class: wide ? 'card wide' : 'card', 'aria-labelledby': id});
    const tools = V.el('div', {class: 'tools'});
    if (table) {
      const tsv = () => {
        const {head, rows} = table();
        return [head, ...rows].map(row => row.map(value => String(plain(value) ?? '').replace(/[\t\n\r]/g, ' ')).join('\t')).join('\n') + '\n';
      };
      const json = () => {
        const {head, rows} = table();
        return JSON.stringify(rows.map(row => Object.fromEntries(row.map((value, i) => [head[i], plain(value)]))), null, 1) + '\n';
      };
      const place = V.el('div', {class: 'table', hidden: true});
      const open = V.el('button', {type: 'button', 'aria-expanded': 'false', onclick: () => {
        place.hidden = !place.hidden;
        open.setAttribute('aria-expanded', String(!place.hidden));
        if (!place.hidden) place.replaceChildren(draw(table()));
      }}, 'Table');
      const copyTsv = V.el('button', {type: 'button', class: 'copy-tsv', onclick: () => copy(copyTsv, tsv(), 'as TSV')}, 'Copy TSV');
      const copyJson = V.el('button', {type: 'button', class: 'copy-json', onclick: () => copy(copyJson, json(), 'as JSON')}, 'Copy JSON');
      tools.append(open, copyTsv, copyJson);
      card.numbers = {tsv, json};
      /** The open table follows when what is shown changes. */
      card.update = () => { if (!place.hidden) place.replaceChildren(draw(table())); };
      body = [body, place];
    }
    return V.fill(card, {}, [V.el('div', {class: 'card-head'}, V.el('h2', {id}, title), tools), note ? V.el('p', {class: 'note'}, note) : null,
                             controls.length ? V.el('div', {class: 'controls'}, controls) : null, body]);
  };
}
