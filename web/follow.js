/** Follows one log source into a model. No DOM. */

import { overlap } from './log-model.js';
import { HEARTBEAT_S, Link, NORMAL, environment, parse } from './socket.js';

/** Newest lines asked for at each connection. */
export const BACKLOG_LINES = 100;
/** After a reconnect so long (ms) is waited for the repeated lines, to leave them out. */
export const SETTLE_MS = 300;

/** @type {Record<string, string>} */
const FILE_MARKS = {
  rotated: 'the file was rotated',
  truncated: 'the file was truncated',
  gone: 'the file is gone; waiting for it',
  back: 'the file is back',
};

/**
 * @typedef {object} FollowerOptions
 * @property {string} name the source
 * @property {string} url without query
 * @property {import('./log-model.js').LogModel} model
 * @property {() => void} onChange lines, marks or the state of the connection
 * @property {Partial<import('./socket.js').Env>} [env]
 */

/** One source over one link. */
export class Follower {
  /** @type {FollowerOptions} */ #options;
  /** @type {import('./socket.js').Env} */ #env;
  /** @type {Link} */ #link;
  /** The newest lines, to know them again. @type {string[]} */ #had = [];
  /** Lines since a reconnect while it is not known which are new; null otherwise. @type {string[] | null} */ #fresh = null;
  /** @type {unknown} */ #settling = null;
  #opened = false;

  /** @param {FollowerOptions} options */
  constructor(options) {
    this.#options = options;
    this.#env = environment(options.env);
    this.#link = new Link({
      url: `${options.url}?n=${BACKLOG_LINES}&hb=${HEARTBEAT_S}`,
      heartbeatMs: HEARTBEAT_S * 1000,
      onText: (text) => this.#received(parse(text)),
      onState: (state) => {
        if (state.phase !== 'open') this.#settle();
        if (this.ended) this.#mark('ended', state.reason || 'the log has ended');
        options.onChange();
      },
      env: options.env,
    });
  }

  get state() {
    return this.#link.state;
  }

  /** The source came to its end; there is nothing more to follow. */
  get ended() {
    const { phase, code } = this.#link.state;
    return phase === 'stopped' && code === NORMAL;
  }

  start() {
    this.#link.start();
  }

  stop() {
    this.#link.stop();
  }

  retryNow() {
    this.#link.retryNow();
  }

  wake() {
    this.#link.wake();
  }

  /** @param {any} event */
  #received(event) {
    switch (event?.ev) {
      case 'hb':
        this.#link.write('{"op":"hb"}');
        return;
      case 'log.open':
        this.#open();
        break;
      case 'log':
        this.#lines(event.lines);
        break;
      case 'log.skip':
        this.#mark('skip', `skipped ${event.lines} lines: this page was too slow`);
        break;
      case 'log.file':
        this.#mark(event.what, FILE_MARKS[event.what] ?? `the file: ${event.what}`);
        break;
      default:
        return;
    }
    this.#options.onChange();
  }

  #open() {
    if (!this.#opened) {
      this.#opened = true;
      return;
    }
    this.#fresh = [];
    this.#settling = this.#env.setTimeout(() => {
      this.#settle();
      this.#options.onChange();
    }, SETTLE_MS);
  }

  /** @param {string[]} lines */
  #lines(lines) {
    if (this.#fresh === null) {
      this.#add(lines);
      return;
    }
    this.#fresh.push(...lines);
    if (this.#fresh.length >= BACKLOG_LINES) this.#settle();
  }

  /** What came since the reconnect is enough: shows what is new of it. */
  #settle() {
    const fresh = this.#fresh;
    if (fresh === null) return;
    this.#fresh = null;
    this.#env.clearTimeout(this.#settling);
    const known = overlap(this.#had, fresh);
    const sure = known > 0 || this.#had.length === 0 || fresh.length === 0;
    this.#mark('reconnected', sure ? 'reconnected' : 'reconnected; lines may be missing here');
    this.#add(fresh.slice(known));
  }

  /** @param {string[]} lines */
  #add(lines) {
    this.#had = [...this.#had, ...lines.slice(-BACKLOG_LINES)].slice(-BACKLOG_LINES);
    this.#options.model.add(this.#options.name, lines);
  }

  /**
   * @param {string} what
   * @param {string} text
   */
  #mark(what, text) {
    this.#settle();
    this.#options.model.mark(this.#options.name, what, text);
  }
}
