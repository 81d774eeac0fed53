/**
 * What the pages keep in the browser, so that a reload or a closed tab loses nothing. Other versions and people with
 * developer tools write there too: whatever is found is checked. No DOM.
 */

import { nameProblem, roomProblem } from './text.js';

/** Rooms that are remembered and joined; the one visited first is forgotten. */
export const MAX_ROOMS = 20;
/** Unsent messages that are kept: as many as the outbox holds. */
export const MAX_UNSENT = 200;
/** Characters in them: a browser gives a site about five million. */
export const MAX_UNSENT_CHARS = 1_000_000;
/** An older one (ms) is not sent by itself: the talk has moved on, and the server may not know its `cid` any more. */
export const RESEND_MS = 60 * 60_000;
/** A longer draft (characters) is not kept: no server takes it, and twenty rooms of them have to fit. */
export const MAX_DRAFT_CHARS = 65_536;

/**
 * @typedef {{get: (key: string) => any, set: (key: string, value: unknown) => boolean}} Store
 * @typedef {import('./socket.js').User} User
 * @typedef {{room: string, cid: string, body: string, ts: number, from: User}} Kept a message that has no reply yet
 */

/**
 * @param {unknown} value
 * @returns {{name?: string, email?: string}} empty when no usable name is known
 */
export function knownUser(value) {
  const { name, email } = record(value);
  if (typeof name !== 'string' || nameProblem(name) !== null) return {};
  return { name, email: typeof email === 'string' ? email : '' };
}

/**
 * @param {unknown} value
 * @returns {string | null} a secret that the server takes, as it was kept
 */
export function knownGuest(value) {
  return typeof value === 'string' && /^[\x21-\x7e]{16,128}$/.test(value) ? value : null;
}

/**
 * @param {unknown} value
 * @returns {{name: string, read: import('./model.js').ReadMark | null}[]}
 */
export function knownRooms(value) {
  return list(value)
    .map(record)
    .filter(({ name }) => isRoom(name))
    .slice(-MAX_ROOMS)
    .map(({ name, read }) => {
      const { epoch, seq } = record(read);
      return { name, read: typeof epoch === 'string' && typeof seq === 'number' ? { epoch, seq } : null };
    });
}

/**
 * @param {unknown} value
 * @returns {[room: string, text: string][]}
 */
export function knownDrafts(value) {
  return Object.entries(record(value))
    .filter(([room, text]) => isRoom(room) && typeof text === 'string' && text !== '' && text.length <= MAX_DRAFT_CHARS)
    .slice(0, MAX_ROOMS);
}

/**
 * The messages that have no reply yet, of all tabs: two that send the same one do no harm, as its `cid` is the same.
 */
export class Unsent {
  /** @type {Store} */ #store;

  /** @param {Store} store */
  constructor(store) {
    this.#store = store;
  }

  /** @returns {Kept[]} oldest first */
  all() {
    return list(this.#store.get('unsent')).filter(isKept).slice(0, MAX_UNSENT);
  }

  /**
   * @param {Kept} kept
   * @returns {boolean} false when there is no room for it: it would not survive a reload
   */
  add(kept) {
    const all = [...this.all(), kept];
    const chars = all.reduce((sum, { body }) => sum + body.length, 0);
    return all.length <= MAX_UNSENT && chars <= MAX_UNSENT_CHARS && this.#store.set('unsent', all);
  }

  /** @param {(kept: Kept) => boolean} which those that were sent or given up */
  remove(which) {
    const all = this.all();
    const left = all.filter((kept) => !which(kept));
    if (left.length < all.length) this.#store.set('unsent', left);
  }
}

/** @param {unknown} value */
function isKept(value) {
  const { room, cid, body, ts, from } = record(value);
  const { id, name, avatar } = record(from);
  const texts = [cid, body, id, avatar].every((each) => typeof each === 'string');
  return texts && isRoom(room) && Number.isFinite(ts) && (name === null || typeof name === 'string');
}

/** @param {unknown} value */
function isRoom(value) {
  return typeof value === 'string' && roomProblem(value) === null;
}

/**
 * @param {unknown} value
 * @returns {Record<string, any>}
 */
function record(value) {
  return typeof value === 'object' && value !== null ? value : {};
}

/**
 * @param {unknown} value
 * @returns {any[]}
 */
function list(value) {
  return Array.isArray(value) ? value : [];
}
