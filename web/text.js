/**
 * What is inside a message's text: links, emoji shortcodes. Pure functions; whoever shows the pieces puts them in as
 * text nodes.
 */

import { withEmoji } from './emoji.js';

/** @typedef {{text: string, href: string | null}} Piece `href` is null for plain text */

// No spaces, quotes or angle brackets, and none of the controls that change the direction of what follows.
const LINK = /\bhttps?:\/\/[^\s<>"'`\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gi;
const SENTENCE_END = /[.,;:!?…*_~]/;

/**
 * A link as people write it ends before the punctuation of the sentence around it, and before a bracket that it did not open.
 * @param {string} found
 * @returns {string}
 */
function trimLink(found) {
  let closing = found.split(')').length - found.split('(').length;
  let end = found.length;
  while (end > 0) {
    const last = found[end - 1];
    if (last === ')' && closing > 0) closing -= 1;
    else if (!SENTENCE_END.test(last) && last !== ']' && last !== '}') break;
    end -= 1;
  }
  return found.slice(0, end);
}

/**
 * @param {string} text
 * @returns {string | null} the address, when it is one that may be followed
 */
function address(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * @param {string} body
 * @returns {Piece[]}
 */
export function pieces(body) {
  /** @type {Piece[]} */
  const found = [];
  let from = 0;
  for (const match of body.matchAll(LINK)) {
    const text = trimLink(match[0]);
    const href = address(text);
    if (href === null) continue;
    if (match.index > from) found.push({ text: withEmoji(body.slice(from, match.index)), href: null });
    found.push({ text, href });
    from = match.index + text.length;
  }
  if (from < body.length) found.push({ text: withEmoji(body.slice(from)), href: null });
  return found;
}

/** A message of more characters or lines than this is folded: each is more than a folded one shows. */
export const FOLD_CHARS = 2_000;
export const FOLD_LINES = 20;

/**
 * Would this message push the others off the screen?
 * @param {string} body
 */
export function isLong(body) {
  return body.length > FOLD_CHARS || body.split('\n', FOLD_LINES + 1).length > FOLD_LINES;
}

const EMOJI_ONLY = /^(?:\s*(?:\p{Extended_Pictographic}|\p{RI}\p{RI}|\u200d|\ufe0f|[\u{1f3fb}-\u{1f3ff}])){1,12}\s*$/u;

/**
 * Is this a message of a few emoji and nothing else, to be shown larger?
 * @param {string} text
 */
export function isEmojiOnly(text) {
  return text.length <= 40 && EMOJI_ONLY.test(text);
}

/**
 * Bytes of a text in UTF-8.
 * @param {string} text
 */
export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

const CONTROL = /[\p{Cc}\u2028\u2029]/u;

/**
 * The protocol's rule for user names: 1 to 64 characters after trimming, no control characters.
 * @param {string} typed
 * @returns {string | null} what is wrong, in words
 */
export function nameProblem(typed) {
  const name = typed.trim();
  if (name === '') return 'Please enter a name.';
  if ([...name].length > 64) return 'A name has at most 64 characters.';
  if (CONTROL.test(name)) return 'A name cannot contain control characters.';
  return null;
}

/**
 * The protocol's rule for room names: 1 to 64 characters, no control characters or `/`, not `.` or `..`, not blank at either end.
 * @param {string} name
 * @returns {string | null} what is wrong, in words
 */
export function roomProblem(name) {
  if (name === '') return 'Please enter a room name.';
  if ([...name].length > 64) return 'A room name has at most 64 characters.';
  if (CONTROL.test(name) || name.includes('/')) return 'A room name cannot contain “/” or control characters.';
  if (name === '.' || name === '..') return 'That room name is not possible.';
  if (name !== name.trim()) return 'A room name cannot begin or end with a blank.';
  return null;
}

/**
 * The room that the address `/r/NAME` names.
 * @param {string} pathname
 * @returns {{room: string | null, problem: string}} no room and no problem: the address names none
 */
export function roomOfPath(pathname) {
  const match = /^\/r\/([^/]+)\/?$/.exec(pathname);
  if (match === null) return { room: null, problem: '' };
  const room = decoded(match[1]);
  const problem = room === null ? 'This address is not valid UTF-8.' : roomProblem(room);
  return problem === null ? { room, problem: '' } : { room: null, problem };
}

/** @param {string} part of an address */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return null;
  }
}
