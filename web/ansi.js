/**
 * Terminal output as text: colours become classes, every other escape sequence is dropped, and characters that would be
 * obeyed (controls, line separators, changes of direction) are shown instead. Nothing carries over from line to line.
 */

/** @typedef {{text: string, classes: string}} Segment `classes` is empty for plain text */

const SPECIAL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const SPECIALS = new RegExp(SPECIAL, 'g');
// One escape sequence: CSI with its parameters; a string (OSC, DCS and such) up to its end; a short one.
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])/g;

/** The 16 colours of a terminal, roughly, to find the nearest for others. */
const PALETTE = [
  [0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
  [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255],
];

/**
 * @param {string} line
 * @returns {Segment[]}
 */
export function segments(line) {
  const text = line.endsWith('\r') ? line.slice(0, -1) : line;
  if (!SPECIAL.test(text)) return text === '' ? [] : [{ text, classes: '' }];
  /** @type {Segment[]} */
  const found = [];
  /** @type {Style} */
  let style = {};
  let from = 0;
  for (const match of text.matchAll(SEQUENCE)) {
    put(found, text.slice(from, match.index), style);
    if (match[2] === 'm' && /^[0-9;:]*$/.test(match[1])) style = restyled(style, match[1]);
    from = match.index + match[0].length;
  }
  put(found, text.slice(from), style);
  return found;
}

/**
 * @param {Segment[]} found
 * @param {string} text
 * @param {Style} style
 */
function put(found, text, style) {
  if (text !== '') found.push({ text: text.replace(SPECIALS, shown), classes: classesOf(style) });
}

/**
 * @param {string} char
 * @returns {string} something to see: the control pictures, or the number
 */
function shown(char) {
  const code = char.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
}

/**
 * @typedef {{bold?: boolean, dim?: boolean, italic?: boolean, underline?: boolean, strike?: boolean, inverse?: boolean,
 *   fg?: number, bg?: number}} Style
 */

/** @param {Style} style */
function classesOf(style) {
  const { fg, bg, ...flags } = style;
  const names = Object.entries(flags).flatMap(([name, on]) => (on ? [`sgr-${name}`] : []));
  if (fg !== undefined) names.push(`fg-${fg}`);
  if (bg !== undefined) names.push(`bg-${bg}`);
  return names.join(' ');
}

/**
 * Select Graphic Rendition (ECMA-48 8.3.117).
 * @param {Style} style
 * @param {string} parameters
 * @returns {Style}
 */
function restyled(style, parameters) {
  let next = { ...style };
  const codes = parameters.split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code === 29) next.strike = false;
    else if (code === 39) next.fg = undefined;
    else if (code === 49) next.bg = undefined;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 38 || code === 48) {
      const { colour, used } = extended(codes.slice(at + 1, at + 6));
      if (code === 38) next.fg = colour;
      else next.bg = colour;
      at += used;
    }
  }
  return next;
}

/**
 * The colour after 38 or 48: `5;n` of 256, or `2;r;g;b`.
 * @param {number[]} codes
 * @returns {{colour: number | undefined, used: number}}
 */
function extended(codes) {
  const [kind, ...values] = codes;
  if (kind === 5) return { colour: indexed(values[0] ?? 0), used: 2 };
  if (kind === 2) return { colour: nearest(values.slice(0, 3)), used: 4 };
  return { colour: undefined, used: 1 };
}

/** @param {number} index */
function indexed(index) {
  if (index < 16) return index;
  if (index >= 232) return nearest(Array(3).fill(8 + (index - 232) * 10));
  const cube = index - 16;
  return nearest([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((step) => (step === 0 ? 0 : 55 + step * 40)));
}

/** @param {number[]} rgb */
function nearest(rgb) {
  const distances = PALETTE.map((colour) => colour.reduce((sum, part, at) => sum + (part - (rgb[at] ?? 0)) ** 2, 0));
  return distances.indexOf(Math.min(...distances));
}
