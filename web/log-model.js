/** What the log page knows: lines and marks, bounded; the filter; the pause. No DOM and no network. */

import { segments } from './ansi.js';

/** Lines and marks kept; the oldest go first. As many again are held while paused. */
export const KEEP_LINES = 5_000;
/** Characters kept in these lines: five thousand lines of 64 KiB would be too much for a phone. */
export const KEEP_CHARS = 16 * 1024 * 1024;
/** Characters in which a line's level is looked for. */
const LEVEL_CHARS = 240;

/**
 * @typedef {import('./ansi.js').Segment} Segment
 * @typedef {'error' | 'warn' | 'debug' | ''} Level
 * @typedef {{id: number, kind: 'line', source: string, text: string, segments: Segment[], level: Level}} Line
 * @typedef {{id: number, kind: 'mark', source: string, text: string, what: string}} Mark
 * @typedef {Line | Mark} Entry
 */

/** @param {string} text */
export function levelOf(text) {
  const head = text.slice(0, LEVEL_CHARS);
  // Words in capitals, or the values of `level=` and `"level":` in any case.
  const word = /\b(?:FATAL|PANIC|CRITICAL|CRIT|SEVERE|ERROR|ERR|WARNING|WARN|DEBUG|TRACE)\b/.exec(head)?.[0];
  const value = /\b(?:level|severity|lvl)["']?\s*[=:]\s*["']?([a-z]+)/i.exec(head)?.[1];
  const level = (word ?? value ?? '').toUpperCase();
  if (/^(?:FATAL|PANIC|CRIT|SEVERE|ERR)/.test(level)) return 'error';
  if (level.startsWith('WARN')) return 'warn';
  return level === 'DEBUG' || level === 'TRACE' ? 'debug' : '';
}

/**
 * A filter as typed: a text, found in any case, or `/expression/` with optional flags.
 * @param {string} typed
 * @returns {{pattern: RegExp | null, problem: string}} no pattern lets everything pass
 */
export function compileFilter(typed) {
  if (typed === '') return { pattern: null, problem: '' };
  const expression = /^\/(.+)\/([imsu]*)$/.exec(typed);
  try {
    if (expression !== null) return { pattern: new RegExp(expression[1], `g${expression[2]}`), problem: '' };
  } catch (error) {
    return { pattern: null, problem: error instanceof Error ? error.message : String(error) };
  }
  return { pattern: new RegExp(typed.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'gi'), problem: '' };
}

/**
 * Cuts a line where its colours and the filter's matches change.
 * @param {Segment[]} parts
 * @param {RegExp | null} pattern
 * @returns {(Segment & {hit: boolean})[]}
 */
export function highlight(parts, pattern) {
  if (pattern === null) return parts.map((part) => ({ ...part, hit: false }));
  const text = parts.map((part) => part.text).join('');
  const edges = [...text.matchAll(pattern)].flatMap((match) => [match.index, match.index + match[0].length]);
  const found = [];
  let at = 0;
  let edge = 0;
  for (const { text: part, classes } of parts) {
    const end = at + part.length;
    while (at < end) {
      while (edge < edges.length && edges[edge] <= at) edge += 1;
      const stop = Math.min(end, edges[edge] ?? end);
      found.push({ text: part.slice(part.length - (end - at), part.length - (end - stop)), classes, hit: edge % 2 === 1 });
      at = stop;
    }
  }
  return found;
}

/**
 * After a reconnect the newest lines come once more. How many of `fresh` does this page have already?
 * @param {string[]} had the newest lines before, oldest first
 * @param {string[]} fresh the first lines after
 * @returns {number} the longest beginning of `fresh` that is the end of `had`
 */
export function overlap(had, fresh) {
  for (let length = Math.min(had.length, fresh.length); length > 0; length -= 1) {
    const from = had.length - length;
    if (fresh.slice(0, length).every((line, at) => line === had[from + at])) return length;
  }
  return 0;
}

/** The lines of all followed sources in the order of their arrival. */
export class LogModel {
  /** @type {Entry[]} */ entries = [];
  /** What came while paused. @type {Entry[]} */ held = [];
  paused = false;
  #heldLost = 0;
  #lastId = 0;
  #chars = 0;
  #heldChars = 0;

  /** Lines that wait for the end of the pause, those that no longer fit included. */
  get waiting() {
    return this.held.length + this.#heldLost;
  }

  /**
   * @param {string} source
   * @param {string[]} lines
   */
  add(source, lines) {
    for (const line of lines) {
      const parts = segments(line);
      const text = parts.length === 1 ? parts[0].text : parts.map((part) => part.text).join('');
      this.#put({ id: this.#nextId(), kind: 'line', source, text, segments: parts, level: levelOf(text) });
    }
    this.#trim();
  }

  /**
   * @param {string} source
   * @param {string} what names the mark's kind
   * @param {string} text
   */
  mark(source, what, text) {
    this.#put({ id: this.#nextId(), kind: 'mark', source, text, what });
    this.#trim();
  }

  pause() {
    this.paused = true;
  }

  resume() {
    if (!this.paused) return;
    this.paused = false;
    const { held } = this;
    const lost = this.#heldLost;
    this.held = [];
    this.#heldLost = this.#heldChars = 0;
    if (lost > 0) this.mark('', 'skip', `skipped ${lost} lines during the pause`);
    // A mark has taken a number above those of the held: they get new ones, so that numbers go on rising.
    for (const entry of held) this.#put({ ...entry, id: this.#nextId() });
    this.#trim();
  }

  clear() {
    this.entries = [];
    this.#chars = 0;
  }

  #nextId() {
    this.#lastId += 1;
    return this.#lastId;
  }

  /** @param {Entry} entry */
  #put(entry) {
    if (this.paused) {
      this.held.push(entry);
      this.#heldChars += entry.text.length;
    } else {
      this.entries.push(entry);
      this.#chars += entry.text.length;
    }
  }

  #trim() {
    this.#chars -= trim(this.entries, KEEP_LINES, this.#chars).chars;
    const lost = trim(this.held, KEEP_LINES - 1, this.#heldChars); // one place is for the mark that says what was lost
    this.#heldChars -= lost.chars;
    this.#heldLost += lost.count;
  }
}

/**
 * Drops the oldest entries that are too many.
 * @param {Entry[]} entries
 * @param {number} keep
 * @param {number} chars in all of them
 */
function trim(entries, keep, chars) {
  let count = Math.max(0, entries.length - keep);
  let gone = 0;
  for (let at = 0; at < count; at += 1) gone += entries[at].text.length;
  while (chars - gone > KEEP_CHARS && count < entries.length) {
    gone += entries[count].text.length;
    count += 1;
  }
  if (count > 0) entries.splice(0, count);
  return { count, chars: gone };
}
