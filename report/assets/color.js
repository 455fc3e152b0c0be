// SPDX-License-Identifier: MIT
// Colours that mean something: amount (probabilities, shares), rank (from the last to the first), minus and plus. The page's data brings
// their stops; the empty end is the page itself, so scales run from pale to deep on a light page and from deep to pale on a dark one.
{
  const stops = hex => hex.split(' ').map(each => [0, 2, 4].map(at => parseInt(each.slice(at, at + 2), 16)));
  const scales = Object.fromEntries(Object.entries(V.data.palette).map(([theme, names]) => [theme, Object.fromEntries(Object.entries(names).map(([name, hex]) => [name, stops(hex)]))]));
  const along = (scale, part) => {
    const at = Math.min(Math.max(part, 0), 1) * (scale.length - 1), low = Math.min(Math.floor(at), scale.length - 2);
    return scale[low].map((value, i) => Math.round(value + (scale[low + 1][i] - value) * (at - low)));
  };
  const now = () => scales[V.dark() ? 'dark' : 'light'];
  const absent = value => value === null || value === undefined || Number.isNaN(value);

  V.color = {
    /** 0..1 to a colour [r, g, b]; nothing for nothing. */
    amount: part => absent(part) ? null : along(now().amount, part),
    /** −1..1; what is below zero is orange, what is above blue. */
    diverging: part => absent(part) ? null : along(part < 0 ? now().minus : now().plus, Math.abs(part)),
    /** 1..last, logarithmic: most of the way up is made in the first factors. */
    rank: (rank, last) => along(now().rank, last > 1 ? 1 - Math.log(rank) / Math.log(last) : 1),
    /** What is read on it. */
    on: rgb => {
      const [r, g, b] = rgb.map(value => (value / 255) ** 2.2);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.2 ? '#14181c' : '#ffffff';
    },
    css: rgb => `rgb(${rgb.join(',')})`,
    /** Lines that are told apart; each has its dashes and its mark as well. */
    line: i => (V.dark() ? ['#6db3f2', '#f2a65a', '#c39bea', '#5cc8a8', '#e88bb0', '#d6c85a'] : ['#1f6fb5', '#c2620b', '#7a3fa6', '#12806a', '#b03060', '#7d7000'])[i % 6],
    dashes: i => ['', '7 3', '2 3', '9 3 2 3', '5 5', '12 4'][(i + Math.floor(i / 6)) % 6],
    /** A line's colour as a shade, 0: that of the page, 1: its own. */
    shade: (i, part) => {
      const [line, page] = [V.color.line(i), V.color.page('surface')].map(hex => stops(hex.slice(1))[0]);
      return page.map((value, c) => Math.round(value + (line[c] - value) * part));
    },
    /** A colour of the page's stylesheet. */
    page: name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(),
  };

  // For what the browser itself colours anew.
  V.onTheme(() => { for (let i = 0; i < 6; ++i) document.documentElement.style.setProperty(`--line-${i}`, V.color.line(i)); });
  /** A bar that explains a scale: texts under its ends. */
  V.legend = (color, from, to, low, high) => {
    const canvas = V.el('canvas', {width: 128, height: 1, 'aria-hidden': 'true'});
    const draw = () => {
      const context = canvas.getContext('2d');
      for (let i = 0; i < 128; ++i) {
        context.fillStyle = V.color.css(color(from + (to - from) * i / 127));
        context.fillRect(i, 0, 1, 1);
      }
    };
    V.onTheme(draw);
    draw();
    return V.el('div', {class: 'legend'}, V.el('span', {}, low), canvas, V.el('span', {}, high));
  };
}
