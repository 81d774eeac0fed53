/** Avatars, drawn here: no request to anybody. */

const GRID = 5;
const SVG = 'http://www.w3.org/2000/svg';
/** Hues that style.css knows as `[data-hue]`. */
const HUES = 12;

/**
 * FNV-1a: spreads a few bytes well, which is all that is needed here.
 * @param {string} text
 * @returns {number} an unsigned 32-bit number
 */
export function hash(text) {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  // A last mix, so that seeds that differ in one character differ in all bits.
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}

/**
 * The cells of a symmetric pattern.
 * @param {string} seed
 * @returns {boolean[][]} rows of columns
 */
export function pattern(seed) {
  const half = Math.ceil(GRID / 2);
  const drawn = hash(`${seed}/cells`) & (2 ** (half * GRID) - 1);
  const dark = drawn.toString(2).replaceAll('0', '').length;
  const bits = dark < (half * GRID) / 2 ? ~drawn : drawn; // a few lost dots would be hard to tell apart
  return Array.from({ length: GRID }, (_row, y) =>
    Array.from({ length: GRID }, (_column, x) => ((bits >>> (y * half + Math.min(x, GRID - 1 - x))) & 1) === 1),
  );
}

/**
 * @param {string} name
 * @returns {string} one or two letters
 */
export function initials(name) {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = [...(words[0] ?? '?')][0];
  const last = words.length > 1 ? [...words[words.length - 1]][0] : '';
  return (first + last).toLocaleUpperCase();
}

/**
 * A picture for a user: the seed's pattern, or the name's letters when there is no seed. Names stand beside it, so it
 * is hidden from screen readers.
 * @param {{id: string, name: string | null, avatar?: string | null}} user
 * @returns {SVGSVGElement}
 */
export function avatar(user) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.classList.add('avatar');
  svg.setAttribute('viewBox', '0 0 28 28');
  svg.setAttribute('aria-hidden', 'true');
  svg.dataset.hue = String(hash(user.avatar || `${user.id}/${user.name}`) % HUES);
  svg.append(shape('rect', { class: 'avatar-ground', width: 28, height: 28, rx: 8 }));
  if (user.avatar) svg.append(...cells(user.avatar));
  else svg.append(letters(initials(user.name ?? '')));
  return svg;
}

/** @param {string} seed */
function cells(seed) {
  const size = 4;
  return pattern(seed).flatMap((row, y) =>
    row.flatMap((on, x) =>
      on ? [shape('rect', { class: 'avatar-ink', x: 4 + x * size, y: 4 + y * size, width: size, height: size })] : [],
    ),
  );
}

/** @param {string} text */
function letters(text) {
  const label = shape('text', { class: 'avatar-ink', x: 14, y: 18.5, 'text-anchor': 'middle' });
  label.textContent = text;
  return label;
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}
