// Colours that mean something, for eyes of every kind: lightness alone carries each scale. The empty end is the page itself, so scales
// run from pale to deep on a light page and from deep to pale on a dark one.
{
  const stops = hex => hex.split(' ').map(each => [0, 2, 4].map(at => parseInt(each.slice(at, at + 2), 16)));
  const scales = {
    light: {
      amount: stops('f6f8fa dde9f1 b9d4e6 8bb8d8 5a98c5 3377ac 17568c 0b3a66'),  // how much: probability, share, attention
      rank: stops('f7f6fa e9e2f0 d5c5e3 bda2d3 a47dc0 8a57aa 71418f 552a73'),  // from the last rank to the first
      minus: stops('f7f7f5 fbe3cc f6c391 ea9c55 d27422 a9530b 7d3a05'),
      plus: stops('f7f7f5 d7e6f2 aacbe5 74a8d3 4383bb 22609a 0f4274'),
    },
    dark: {
      amount: stops('1d2227 1f3342 22485f 286380 3382a5 56a5c6 8fc8e0 cdeaf6'),
      rank: stops('211f27 322a41 4a3a63 674d88 8765ab a985c8 c9abe0 ead8f5'),
      minus: stops('24262a 43301f 6a431b 985a18 c47a2c e4a161 fbd3a6'),
      plus: stops('24262a 213446 23506f 2f719b 4e95c2 85bbdf c5e1f4'),
    },
  };
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
    dashes: i => ['', '7 3', '2 3', '9 3 2 3', '5 5', '12 4'][i % 6],
    /** A colour of the page's stylesheet. */
    page: name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim(),
  };

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
