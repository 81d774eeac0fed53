/**
 * A client for `fdx.v1.json` (docs/hub-protocol.md) that anyone can copy: this file needs nothing else, knows no DOM
 * and runs wherever a `WebSocket` does.
 *
 * - {@link Link} keeps one WebSocket alive: it comes back with full jitter, honours close codes, answers heartbeats
 *   and notices a dead connection.
 * - {@link Client} speaks the protocol over a link: hello, rooms that go on after every reconnect from the event they
 *   had last, requests with replies, and an outbox whose messages are sent again under the same `cid`, so that none is
 *   lost or stored twice.
 */

/** The subprotocol's name. */
export const PROTOCOL = 'fdx.v1.json';
/** The first wait before coming back is at most this long (ms); each further one may be twice as long. */
export const BACKOFF_FIRST_MS = 500;
/** No wait before coming back is longer than this (ms). */
export const BACKOFF_CAP_MS = 30_000;
/** A link that stayed open this long (ms) starts again with the shortest wait. */
export const HEALTHY_MS = 30_000;
/** An opening handshake that takes longer (ms) is given up: browsers alone would wait for minutes. */
export const CONNECT_MS = 10_000;
/** Seconds between the visible heartbeats that are asked for. */
export const HEARTBEAT_S = 20;
/** Added to two heartbeat intervals (ms) before silence means a dead link: room for a slow network. */
export const HEARTBEAT_GRACE_MS = 5_000;
/** Nothing heard for so long (ms) while a reply is due means a dead link. */
export const REPLY_MS = 10_000;
/** After sleep or a network change something has to be heard within this (ms). */
export const PROBE_MS = 3_000;
/** A request fails after this (ms), though others are answered: long enough for a busy server that takes a full window one by one. */
export const MAX_REPLY_MS = 60_000;
/** Requests that may wait for their reply at once; more messages stay in the outbox until replies come. */
export const MAX_OUTSTANDING = 64;
/** Messages that may wait in the outbox; one more is refused with `outbox_full`. */
export const MAX_OUTBOX = 200;
/** Times that one message is written, because there was no reply or a refusal that passes, before it fails. */
export const MAX_TRIES = 5;
/** No server's hint when to come back or to try again is followed for longer than this (ms). */
export const HINT_CAP_MS = 300_000;
/** Refusals that pass: a message is sent again under the same `cid`, and a room that one was in is joined again. */
const PASSING = new Set(['timeout', 'unavailable', 'not_ready', 'rate_limited', 'read_only']);

/**
 * What the outside world provides; tests put in their own.
 * @typedef {object} Env
 * @property {new (url: string, protocols?: string[]) => WebSocket} WebSocket
 * @property {() => number} now milliseconds
 * @property {(run: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} random from 0 up to but not including 1
 */

/**
 * - `idle`: not started, or stopped by the application
 * - `connecting`: an opening handshake is under way
 * - `open`: connected
 * - `waiting`: lost; the next try is at `retryAt`
 * - `stopped`: the peer said, by `code` and `reason`, that coming back is useless
 * @typedef {object} LinkState
 * @property {'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'} phase
 * @property {number} attempt tries since the link was last healthy
 * @property {number} retryAt by the clock of `Env.now`; 0 unless waiting
 * @property {number} code close code of the last end, 0 before the first
 * @property {string} reason
 */

/**
 * @typedef {object} LinkOptions
 * @property {string} url `ws:` or `wss:`
 * @property {string[]} [protocols]
 * @property {number} [heartbeatMs] interval of visible heartbeats that the server was asked for; 0 (the default) for none
 * @property {() => void} [onOpen]
 * @property {(text: string) => void} [onText] every text message
 * @property {(state: LinkState) => void} [onState]
 * @property {Partial<Env>} [env]
 */

/** The close code of an end that was meant: there is nothing to come back for. */
export const NORMAL = 1000;

/**
 * Must a client stay away after this close code? What ended as it should is over; protocol errors would only repeat;
 * 4000 to 4099 say so.
 * @param {number} code
 */
export function stopsFor(code) {
  return code === NORMAL || code === 1002 || code === 1003 || code === 1007 || code === 1009 || (code >= 4000 && code <= 4099);
}

/**
 * The wait before try number `attempt` (counted from 0): full jitter, so that a thousand clients of a restarted server
 * spread out.
 * @param {number} attempt
 * @param {number} random from 0 to 1
 */
export function backoff(attempt, random) {
  return Math.floor(random * Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16)));
}

/**
 * The browser's own clock and sockets, but for what is given.
 * @param {Partial<Env>} [given]
 * @returns {Env}
 */
export function environment(given = {}) {
  return {
    WebSocket: given.WebSocket ?? globalThis.WebSocket,
    now: given.now ?? (() => Date.now()),
    setTimeout: given.setTimeout ?? ((run, ms) => globalThis.setTimeout(run, ms)),
    clearTimeout: given.clearTimeout ?? ((timer) => globalThis.clearTimeout(timer)),
    random: given.random ?? (() => Math.random()),
  };
}

/** One WebSocket that comes back. */
export class Link {
  /** @type {LinkOptions} */ #options;
  /** @type {Env} */ #env;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {LinkState} */ #state = { phase: 'idle', attempt: 0, retryAt: 0, code: 0, reason: '' };
  /** Runs the current phase's deadline: the handshake's end, the next try, or the check for silence. */
  /** @type {unknown} */ #timer = null;
  /** @type {unknown} */ #healthTimer = null;
  #heardAt = 0;
  #heartbeatMs = 0;
  /** The first wait after this connection, as the server asked for it. */
  /** @type {{afterMs: number, spreadMs: number} | null} */ #comeback = null;

  /** @param {LinkOptions} options */
  constructor(options) {
    this.#options = options;
    this.#env = environment(options.env);
    this.#heartbeatMs = options.heartbeatMs ?? 0;
  }

  /** @returns {LinkState} */
  get state() {
    return this.#state;
  }

  /** Connects, unless that has begun already. */
  start() {
    if (this.#state.phase === 'idle' || this.#state.phase === 'stopped') {
      this.#change({ phase: 'idle', attempt: 0 });
      this.#connect();
    }
  }

  /** Ends the connection (1000) and stays away until `start`. */
  stop() {
    this.#release(1000, '');
    this.#change({ phase: 'idle' });
  }

  /** Tries at once when waiting or stopped. */
  retryNow() {
    if (this.#state.phase === 'waiting') this.#connect();
    else if (this.#state.phase === 'stopped') this.start();
  }

  /** To be called when the page woke up or the network changed: timers may have stood still meanwhile. */
  wake() {
    if (this.#state.phase === 'waiting') this.retryNow();
    else if (this.#state.phase === 'open') this.#watch();
  }

  /**
   * @param {string} text
   * @returns {boolean} false when there is no connection to write to
   */
  write(text) {
    if (this.#state.phase !== 'open' || this.#socket === null) return false;
    this.#socket.send(text);
    return true;
  }

  /**
   * Gives this connection up. `code` decides what follows, as if the peer had closed with it.
   * @param {number} code 1000 or 3000 to 4999
   * @param {string} reason at most 123 bytes
   */
  drop(code, reason) {
    if (this.#socket === null) return;
    this.#release(code, reason);
    this.#ended(code, reason);
  }

  /** When something came last, or the connection was opened, by `Env.now`. */
  get heardAt() {
    return this.#heardAt;
  }

  /**
   * The interval that the server agreed to; 0 for none.
   * @param {number} ms
   */
  setHeartbeat(ms) {
    this.#heartbeatMs = ms;
    if (this.#state.phase === 'open') this.#watch();
  }

  /**
   * The server says when to come back after this connection: not before `afterMs`, spread over `spreadMs`.
   * @param {number} afterMs
   * @param {number} spreadMs
   */
  setComeback(afterMs, spreadMs) {
    this.#comeback = { afterMs: hint(afterMs), spreadMs: hint(spreadMs) };
  }

  #connect() {
    this.#clearTimers();
    this.#comeback = null;
    const socket = new this.#env.WebSocket(this.#options.url, this.#options.protocols);
    this.#socket = socket;
    this.#change({ phase: 'connecting' });
    this.#timer = this.#env.setTimeout(() => this.drop(4201, 'connecting took too long'), CONNECT_MS);
    socket.onopen = () => this.#opened();
    socket.onmessage = (event) => {
      this.#heardAt = this.#env.now();
      if (typeof event.data === 'string') this.#options.onText?.(event.data);
    };
    socket.onclose = (event) => {
      this.#release(0, '');
      this.#ended(event.code, event.reason);
    };
  }

  #opened() {
    this.#clearTimers();
    this.#heardAt = this.#env.now();
    this.#healthTimer = this.#env.setTimeout(() => this.#change({ attempt: 0 }), HEALTHY_MS);
    this.#change({ phase: 'open' });
    this.#watch();
    this.#options.onOpen?.();
  }

  /** Drops a link that has been silent for too long, and looks again when the present silence would be. */
  #watch() {
    this.#env.clearTimeout(this.#timer);
    if (this.#heartbeatMs === 0) return;
    const limit = 2 * this.#heartbeatMs + HEARTBEAT_GRACE_MS;
    const left = this.#heardAt + limit - this.#env.now();
    if (left <= 0) this.drop(4201, 'heartbeat lost');
    else this.#timer = this.#env.setTimeout(() => this.#watch(), left);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #ended(code, reason) {
    const { attempt } = this.#state;
    if (stopsFor(code)) {
      this.#change({ phase: 'stopped', code, reason });
      return;
    }
    const random = this.#env.random();
    const comeback = this.#comeback;
    const wait = comeback === null ? backoff(attempt, random) : comeback.afterMs + Math.floor(random * comeback.spreadMs);
    this.#timer = this.#env.setTimeout(() => this.#connect(), wait);
    this.#change({ phase: 'waiting', attempt: attempt + 1, retryAt: this.#env.now() + wait, code, reason });
  }

  /**
   * Lets go of the socket without waiting for its close handshake, which a dead network would never finish.
   * @param {number} code 0 when it has closed already
   * @param {string} reason
   */
  #release(code, reason) {
    this.#clearTimers();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (code !== 0) socket.close(code, reason);
  }

  #clearTimers() {
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#healthTimer);
  }

  /** @param {Partial<LinkState>} change */
  #change(change) {
    this.#state = { ...this.#state, retryAt: 0, ...change };
    this.#options.onState?.(this.#state);
  }
}

/**
 * @typedef {{id: string, name: string | null, avatar: string}} User
 * @typedef {{frame: number, body: number, rooms: number, backlog: number}} Limits
 * @typedef {{session: string, user: User, guest?: string, now: number, hb: number, limits: Limits, features: string[]}} HelloReply
 * @typedef {{room: string, resume?: 'ok' | 'reset', reason?: string, epoch: string, head: number, floor: number,
 *   cursor: string, count: number, members: User[]}} JoinReply
 * @typedef {{seq: number, id: string, ts: number, dup: boolean}} SendReply
 * @typedef {{name?: string, email?: string, guest?: string, client?: string}} Hello
 * @typedef {{ev: string, [key: string]: any}} ServerEvent
 */

/**
 * Why a request or a message failed: the server's `code` and `msg`, or `lost`, `timeout`, `not_joined`, `busy`, `outbox_full`,
 * `stopped`. With `timeout` a message may be stored, with anything else it is not.
 */
export class RequestError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number | null} [retryMs] when to try again, if the server said so
   */
  constructor(code, message, retryMs = null) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
    this.retryMs = retryMs;
  }
}

/** Where a client is in a room: what it goes on from, and how it knows that it has everything up to there. */
class Place {
  #epoch = '';
  /** Position of the newest event; null while there was none. */
  /** @type {number | null} */ #seq = null;
  /** Is the next event to follow the newest one directly? */
  #chained = false;
  /** @type {string | null} what a join goes on from */ cursor = null;

  /**
   * A join was answered.
   * @param {JoinReply} reply
   * @param {number} backlog as asked for
   */
  joined(reply, backlog) {
    if (reply.resume === 'ok') return;
    const nothingComes = backlog === 0 || reply.floor > reply.head;
    this.#epoch = reply.epoch;
    this.#seq = nothingComes ? reply.head : null;
    this.#chained = nothingComes;
    this.cursor = nothingComes ? reply.cursor : null;
  }

  /**
   * @param {{seq: number, prev: number, id: string}} event
   * @returns {'next' | 'known' | 'broken'} broken: something is missing before it
   */
  take({ seq, prev, id }) {
    if (this.#seq !== null && seq <= this.#seq) return 'known';
    if (this.#chained && prev !== this.#seq) return 'broken';
    this.#seq = seq;
    this.#chained = true;
    this.cursor = `${this.#epoch}.${seq}.${String(id).slice(-6)}`;
    return 'next';
  }

  /** Something is missing, and will not come. */
  skip() {
    this.#chained = false;
  }

  get next() {
    return (this.#seq ?? 0) + 1;
  }
}

/**
 * Every handler is called at once, in the order in which frames arrive.
 * @typedef {object} ClientOptions
 * @property {string} url of the server's `/ws`, without query
 * @property {Hello} [hello]
 * @property {(state: LinkState & {ready: boolean}) => void} [onState] `ready`: hello was answered
 * @property {(reply: HelloReply) => void} [onHello] after each hello: the first, those of reconnects, those of `rename`; a new `guest` is to be kept
 * @property {(reply: JoinReply) => void} [onJoin] after each join, those of reconnects too. What was missed follows as events
 *   (`resume` is `ok`), or the newest ones do: at the first join, and where `resume` is `reset`
 * @property {(room: string, error: RequestError) => void} [onJoinRefused] the room is forgotten; one that the client was in is not for
 *   a refusal that passes, but joined again later
 * @property {(event: ServerEvent) => void} [onEvent] every event but `hb`; those with a position once each and in order, and
 *   where some are missing for good a `gap`
 * @property {Partial<Env>} [env]
 */

/**
 * @typedef {(error: RequestError | null, ok: any) => void} Done
 * @typedef {{done: Done, since: number, limitMs: number, timer: unknown}} Waiting
 * @typedef {{cid: string, room: string, body: string, tries: number, written: boolean, unsure: boolean, timer: unknown, done: Done}} Unsent
 *
 * `written`: on this connection, and there is no reply; `unsure`: before, and nobody said what became of that; `timer`: is to be written later.
 *
 * `known`: the application knows that it is in the room; `repairing`: joined again because something was missing, and nothing came since;
 * `tries`: joins since it was in; `timer`: is to be joined later.
 * @typedef {{backlog: number, asked: boolean, joined: boolean, known: boolean, place: Place, repairing: boolean, tries: number, timer: unknown}} Wanted
 */

/** A chat client over one {@link Link}. */
export class Client {
  /** @type {ClientOptions} */ #options;
  /** @type {Env} */ #env;
  /** @type {Link} */ #link;
  /** @type {Hello} */ #hello;
  /** @type {string | undefined} by which the server knows this user again */ #guest;
  #ready = false;
  #probing = false;
  #lastId = 0;
  /** @type {Map<number, Waiting>} */ #waiting = new Map();
  /** @type {Map<string, Wanted>} */ #rooms = new Map();
  /** @type {Unsent[]} */ #outbox = [];

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    this.#env = environment(options.env);
    const { guest, ...hello } = options.hello ?? {};
    this.#guest = guest;
    this.#hello = hello;
    this.#link = new Link({
      url: `${options.url}?hb=${HEARTBEAT_S}`,
      protocols: [PROTOCOL],
      heartbeatMs: HEARTBEAT_S * 1000,
      onOpen: () => this.#sayHello(() => {}),
      onText: (text) => this.#received(text),
      onState: (state) => this.#linkChanged(state),
      env: options.env,
    });
  }

  get state() {
    return { ...this.#link.state, ready: this.#ready };
  }

  /** Messages that have no reply yet. */
  get unsent() {
    return this.#outbox.length;
  }

  start() {
    this.#link.start();
  }

  /** Ends the connection; unsent messages stay and are sent after the next `start`. */
  stop() {
    this.#link.stop();
  }

  retryNow() {
    this.#link.retryNow();
  }

  /** To be called on `visibilitychange` (to visible), `online` and `pageshow`: is the link still alive? */
  wake() {
    this.#link.wake();
    if (!this.#ready || this.#probing) return;
    this.#probing = true;
    this.#request('ping', {}, PROBE_MS, () => {
      this.#probing = false;
    });
  }

  /**
   * Chooses or changes the name, now and for every later connection.
   * @param {{name: string, email?: string}} who
   * @returns {Promise<HelloReply | null>} null when not connected: it is told at the next hello
   */
  rename(who) {
    const before = this.#hello;
    const said = (this.#hello = { ...before, ...who });
    if (!this.#ready) return Promise.resolve(null);
    return promised((done) =>
      this.#sayHello((error, ok) => {
        if (error?.code === 'lost') error = null; // the next hello will tell
        // A refused name must not be said again: as a first hello it would end the connection.
        if (error && this.#hello === said) this.#hello = before;
        done(error, ok);
      }),
    );
  }

  /**
   * Wants to be in a room, now and after every reconnect.
   * @param {string} room
   * @param {number} [backlog] newest messages to get where there is nothing to go on from
   */
  join(room, backlog = 50) {
    if (this.#rooms.has(room)) return;
    const place = new Place();
    this.#rooms.set(room, { backlog, asked: false, joined: false, known: false, place, repairing: false, tries: 0, timer: null });
    this.#pump();
  }

  /** @param {string} room */
  leave(room) {
    if (this.#rooms.get(room)?.asked) this.#leaveNow(room);
    this.#forget(room, new RequestError('not_joined', 'the room was left'));
  }

  /**
   * Sends a message as soon as its room is joined, again after each reconnect until there is a reply.
   * @param {string} room
   * @param {string} body
   * @param {string} [cid] the same as before for a retry, so that it is not stored twice
   * @returns {Promise<SendReply>} rejects with a {@link RequestError}
   */
  send(room, body, cid = randomText()) {
    if (this.#link.state.phase === 'stopped') {
      return Promise.reject(new RequestError('stopped', this.#link.state.reason || 'the server ended the connection'));
    }
    if (!this.#rooms.has(room)) {
      return Promise.reject(new RequestError('not_joined', 'join the room first'));
    }
    if (this.#outbox.length >= MAX_OUTBOX) {
      return Promise.reject(new RequestError('outbox_full', 'too many messages are waiting to be sent'));
    }
    return promised((done) => {
      this.#outbox.push({ cid, room, body, tries: 0, written: false, unsure: false, timer: null, done });
      this.#pump();
    });
  }

  /** @param {Done} done */
  #sayHello(done) {
    const said = this.#hello;
    this.#request('hello', this.#guest ? { ...said, guest: this.#guest } : said, REPLY_MS, (error, ok) => {
      this.#guest = ok?.guest ?? this.#guest;
      done(error, ok);
      if (error) {
        // A changed name that is refused leaves the old one in force; without a first hello nothing works.
        if (!this.#ready && error.code !== 'lost') this.#link.drop(PASSING.has(error.code) ? 4201 : 4000, 'hello was refused');
        return;
      }
      const first = !this.#ready;
      this.#ready = true;
      if (first) {
        this.#link.setHeartbeat(ok.hb);
        this.#options.onState?.(this.state);
      }
      this.#options.onHello?.(ok);
      if (first && said !== this.#hello) this.#sayHello(() => {}); // renamed while the first hello was under way
      this.#pump();
    });
  }

  /** Writes what may be written: first the joins, then the messages for joined rooms, in their order. */
  #pump() {
    if (!this.#ready) return;
    for (const [room, wanted] of this.#rooms) {
      if (this.#waiting.size >= MAX_OUTSTANDING) return;
      if (!wanted.asked && wanted.timer === null) this.#joinNow(room, wanted);
    }
    for (const unsent of this.#outbox) {
      if (this.#waiting.size >= MAX_OUTSTANDING) return;
      if (!unsent.written && unsent.timer === null && this.#rooms.get(unsent.room)?.joined) this.#sendNow(unsent);
    }
  }

  /**
   * @param {string} room
   * @param {Wanted} wanted
   */
  #joinNow(room, wanted) {
    wanted.asked = true;
    wanted.tries += 1;
    const { backlog, place } = wanted;
    const since = place.cursor === null ? {} : { since: place.cursor };
    this.#request('join', { room, backlog, ...since }, REPLY_MS, (error, ok) => {
      if (error?.code === 'lost' || this.#rooms.get(room) !== wanted) return;
      // It may be answered yet, and does not count any more.
      if (error?.code === 'timeout') this.#leaveNow(room);
      if (error && wanted.known && PASSING.has(error.code)) {
        wanted.asked = false;
        this.#tryLater(wanted, error.retryMs);
        return;
      }
      if (error) {
        this.#options.onJoinRefused?.(room, error);
        this.#forget(room, error);
        return;
      }
      wanted.tries = 0;
      wanted.joined = wanted.known = true;
      place.joined(ok, backlog);
      this.#options.onJoin?.(ok);
    });
  }

  /**
   * An event with a position: given on once, and only behind all that come before it.
   * @param {ServerEvent} event
   */
  #placed(event) {
    const { room } = event;
    const wanted = this.#rooms.get(room);
    // What comes before a join is answered belongs to one that was given up.
    if (!wanted?.joined) return;
    let found = wanted.place.take(/** @type {any} */ (event));
    if (found === 'broken') {
      if (!wanted.repairing) {
        wanted.repairing = true;
        this.#joinAgain(room, wanted);
        return;
      }
      this.#gap({ ev: 'gap', room, from: wanted.place.next, to: event.seq - 1, reason: 'missing' });
      found = wanted.place.take(/** @type {any} */ (event));
    }
    if (found !== 'next') return;
    wanted.repairing = false;
    this.#options.onEvent?.(event);
  }

  /**
   * Leaves a room and joins it again from the event it had last.
   * @param {string} room
   * @param {Wanted} wanted
   */
  #joinAgain(room, wanted) {
    wanted.asked = wanted.joined = false;
    this.#leaveNow(room);
    this.#pump();
  }

  /**
   * Without an `id`, for which there might be no place: there is nothing to wait for.
   * @param {string} room
   */
  #leaveNow(room) {
    this.#link.write(JSON.stringify({ op: 'leave', room }));
  }

  /**
   * The server has taken the client out of a room: it is not joined again by itself.
   * @param {ServerEvent} event
   */
  #kicked(event) {
    const { room } = event;
    const wanted = this.#rooms.get(room);
    // Else it was left already, or joined anew by the application, of which the reply tells.
    if (!wanted?.known) return;
    // The way back to what was missing has crossed it, and leads in again.
    if (wanted.asked && !wanted.joined) this.#leaveNow(room);
    this.#forget(room, new RequestError('not_joined', 'the server took you out of the room'));
    this.#options.onEvent?.(event);
  }

  /**
   * A room that this client is not to be in.
   * @param {string} room
   * @param {RequestError} why its messages fail
   */
  #forget(room, why) {
    this.#env.clearTimeout(this.#rooms.get(room)?.timer);
    this.#rooms.delete(room);
    this.#failOutbox((unsent) => unsent.room === room, why);
  }

  /**
   * The room has another history: the reply to a join with what there is of the old one says so, and its newest events follow.
   * @param {ServerEvent} event
   */
  #reset({ room }) {
    const wanted = this.#rooms.get(room);
    if (wanted?.joined) this.#joinAgain(room, wanted);
  }

  /** @param {ServerEvent} event */
  #gap(event) {
    this.#rooms.get(event.room)?.place.skip();
    this.#options.onEvent?.(event);
  }

  /** @param {Unsent} unsent */
  #sendNow(unsent) {
    unsent.written = true;
    unsent.tries += 1;
    const { room, cid, body } = unsent;
    this.#request('send', { room, cid, body }, REPLY_MS, (error, ok) => {
      if (error?.code === 'lost' && unsent.tries < MAX_TRIES) return;
      const at = this.#outbox.indexOf(unsent);
      if (at < 0) return;
      if (error && PASSING.has(error.code) && unsent.tries < MAX_TRIES) {
        unsent.unsure ||= error.code === 'timeout';
        unsent.written = false;
        this.#tryLater(unsent, error.retryMs);
        return;
      }
      this.#outbox.splice(at, 1);
      // A refusal says nothing of what was written before.
      unsent.done(error && unsent.unsure ? unknown() : error, ok);
    });
  }

  /**
   * What was refused for now is written again when the server says, else after a wait as before coming back.
   * @param {Unsent | Wanted} refused
   * @param {number | null} retryMs
   */
  #tryLater(refused, retryMs) {
    const wait = hint(retryMs) || backoff(refused.tries - 1, this.#env.random());
    refused.timer = this.#env.setTimeout(() => {
      refused.timer = null;
      this.#pump();
    }, wait);
  }

  /**
   * @param {string} op
   * @param {object} fields
   * @param {number} limitMs of silence until the link counts as dead
   * @param {Done} done called once, with the reply or an error
   */
  #request(op, fields, limitMs, done) {
    if (this.#waiting.size >= MAX_OUTSTANDING) {
      done(new RequestError('busy', 'too many requests are waiting for a reply'), null);
      return;
    }
    const id = (this.#lastId += 1);
    this.#waiting.set(id, { done, since: this.#env.now(), limitMs, timer: null });
    this.#watch(id);
    if (!this.#link.write(JSON.stringify({ op, id, ...fields }))) {
      this.#settle(id, new RequestError('lost', 'not connected'), null);
    }
  }

  /**
   * A reply is waited for while anything is heard, up to a limit: a server that was just started takes many joins one after another.
   * @param {number} id
   */
  #watch(id) {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    const now = this.#env.now();
    const silent = Math.max(waiting.since, this.#link.heardAt) + waiting.limitMs;
    const late = waiting.since + MAX_REPLY_MS;
    if (silent <= now) {
      this.#link.drop(4201, 'no reply');
    } else if (late <= now) {
      this.#settle(id, new RequestError('timeout', 'there was no reply'), null);
      this.#pump();
    } else {
      waiting.timer = this.#env.setTimeout(() => this.#watch(id), Math.min(silent, late) - now);
    }
  }

  /** @param {string} text */
  #received(text) {
    const frame = parse(text);
    if (frame === null) return;
    if (frame.ev === 'hb') {
      // Answered here and not by a timer, which browsers slow down in background tabs.
      this.#link.write('{"op":"hb"}');
    } else if (typeof frame.ev === 'string') {
      this.#happened(frame);
    } else if (typeof frame.re === 'number') {
      const { code = 'internal', msg = '', retry_ms = null } = frame.err ?? {};
      this.#settle(frame.re, frame.ok ? null : new RequestError(code, msg, retry_ms), frame.ok);
      this.#pump();
    }
  }

  /** @param {ServerEvent} event */
  #happened(event) {
    if (event.ev === 'bye') this.#link.setComeback(event.reconnect_ms, event.jitter_ms);
    if (event.ev === 'gap') this.#gap(event);
    else if (event.ev === 'reset') this.#reset(event);
    else if (event.ev === 'kick') this.#kicked(event);
    // A read mark has a position, too, and no place in the order.
    else if (typeof event.prev === 'number') this.#placed(event);
    else this.#options.onEvent?.(event);
  }

  /**
   * @param {number} id
   * @param {RequestError | null} error
   * @param {any} ok
   */
  #settle(id, error, ok) {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#env.clearTimeout(waiting.timer);
    waiting.done(error, ok);
  }

  /** @param {LinkState} state */
  #linkChanged(state) {
    if (state.phase !== 'open') this.#disconnected();
    if (state.phase === 'stopped') {
      this.#failOutbox(() => true, new RequestError('stopped', state.reason || 'the server ended the connection'));
    }
    this.#options.onState?.(this.state);
  }

  #disconnected() {
    this.#ready = false;
    for (const wanted of this.#rooms.values()) {
      wanted.asked = wanted.joined = wanted.repairing = false;
      this.#env.clearTimeout(wanted.timer);
      wanted.timer = null;
    }
    for (const unsent of this.#outbox) {
      unsent.unsure ||= unsent.written;
      unsent.written = false;
      this.#env.clearTimeout(unsent.timer);
      unsent.timer = null;
    }
    for (const id of [...this.#waiting.keys()]) {
      this.#settle(id, new RequestError('lost', 'the connection was lost'), null);
    }
  }

  /**
   * Gives messages up.
   * @param {(unsent: Unsent) => boolean} which
   * @param {RequestError} error why, of those that are certainly not stored
   */
  #failOutbox(which, error) {
    const failed = this.#outbox.filter(which);
    this.#outbox = this.#outbox.filter((unsent) => !failed.includes(unsent));
    for (const unsent of failed) {
      this.#env.clearTimeout(unsent.timer);
      unsent.done(unsent.written || unsent.unsure ? unknown() : error, null);
    }
  }
}

function unknown() {
  return new RequestError('timeout', 'it is unknown whether the message was stored');
}

/**
 * A wait that a server asks for, within bounds.
 * @param {unknown} ms
 */
function hint(ms) {
  return typeof ms === 'number' ? Math.min(Math.max(ms, 0), HINT_CAP_MS) : 0;
}

/**
 * A random text of 26 characters for `cid`. `getRandomValues` also exists on plain-http pages, unlike `randomUUID`.
 * @returns {string}
 */
export function randomText() {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => '0123456789abcdefghjkmnpqrstvwxyz'[byte & 31]).join('');
}

/**
 * The WebSocket address of a path on the page's own server.
 * @param {{protocol: string, host: string}} location
 * @param {string} path
 */
export function socketUrl(location, path) {
  return `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}${path}`;
}

/**
 * @param {string} text
 * @returns {any} null when it is not a JSON object
 */
export function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {(done: Done) => void} start
 * @returns {Promise<any>}
 */
function promised(start) {
  return new Promise((resolve, reject) => {
    start((error, ok) => (error ? reject(error) : resolve(ok)));
  });
}
