// SPDX-License-Identifier: MIT
// What stands around the views: the switch between light and dark, the choice between several results, the command.
{
  const main = document.getElementById('main');
  document.body.append(V.el('div', {id: 'said', class: 'hidden', role: 'status'}));
  const theme = V.el('button', {type: 'button', id: 'theme', onclick: V.switchTheme});
  const name = () => { theme.textContent = V.dark() ? 'Light' : 'Dark'; theme.setAttribute('aria-label', `Switch to ${V.dark() ? 'light' : 'dark'} colours`); };
  V.onTheme(name);
  V.refresh();
  document.querySelector('header').append(theme);
  const command = document.getElementById('copy-command');
  if (command) command.addEventListener('click', () => V.copy(command, document.getElementById('command').textContent, 'the command'));

  /** `draw(result)` gives the views of one result; several results get a list to choose from. `together(results)`: views of all of them. */
  V.page = (draw, together = () => null) => {
    const place = V.el('div', {class: 'views'}), all = V.data.results.length > 1 ? together(V.data.results) : null;
    const show = i => V.replace(place, draw(V.data.results[i]));
    const choose = i => {
      const {label, heading} = V.data.results[i];
      document.querySelector('header .subtitle').textContent = label;
      if (heading) {
        document.querySelector('h1').textContent = heading.title;
        document.querySelector('header .help').textContent = heading.help;
      }
      document.title = `${document.querySelector('h1').textContent}: ${label}`;
      show(i);
    };
    V.replace(main, all ? V.el('div', {class: 'views together'}, all) : null, V.data.results.length > 1 ? V.select('Text', V.data.results.map((result, i) => `${i + 1}: ${result.label}`), 0, choose) : null, place);
    show(0);
  };
}
