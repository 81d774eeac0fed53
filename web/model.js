/** What the chat page knows: rooms, messages, members, sends on their way. No DOM and no network. */

/** Messages kept per room; the oldest go first. */
export const KEEP_MESSAGES = 1000;
/** Own messages per room that are on their way or have failed. */
export const MAX_SENDS = 200;
/** Messages by one person that are closer than this (ms) share one heading. */
const GROUP_MS = 5 * 60_000;

/**
 * @typedef {import('./socket.js').User} User
 * @typedef {import('./socket.js').JoinReply} JoinReply
 * @typedef {import('./socket.js').SendReply} SendReply
 * @typedef {import('./socket.js').RequestError} RequestError
 *
 * `key` names the entry for as long as it lives: an own message keeps it from the first keystroke's send to the log.
 * `body` is null once the message was deleted; `changed` is the position of what changed it last, 0 while nothing has.
 * @typedef {{kind: 'message', key: string, seq: number, ts: number, from: User, body: string | null, cid: string | null, mine: boolean,
 *   changed: number}} Message
 * @typedef {{kind: 'gap', key: string, ts: number}} Gap messages that this page never got
 * @typedef {{kind: 'restart', key: string, ts: number}} Restart the room's history began anew
 * @typedef {Message | Gap | Restart} Entry
 *
 * `acked`: the server has it, its `msg` event is still to come.
 * @typedef {{key: string, cid: string, body: string, ts: number, from: User, state: 'pending' | 'acked' | 'failed', seq: number, error: string}} Send
 * @typedef {{epoch: string, seq: number}} ReadMark
 *
 * What is shown, from top to bottom. `head`: with the author's name and picture.
 * @typedef {{kind: 'day', key: string, ts: number}} DayRow
 * @typedef {{kind: 'unread', key: string}} UnreadRow
 * @typedef {{kind: 'message', key: string, ts: number, from: User, body: string | null, mine: boolean, head: boolean,
 *   changed: number, state: 'sent' | 'pending' | 'failed', error: string}} MessageRow
 * @typedef {DayRow | UnreadRow | Gap | Restart | MessageRow} Row
 */

/** One room. */
export class Room {
  /** @type {Entry[]} */ entries = [];
  /** @type {Send[]} */ sends = [];
  /** @type {Map<string, User>} */ members = new Map();
  count = 0;
  /** Grows whenever `members` or `count` changed. */
  presenceVersion = 0;
  epoch = '';
  /** Newest position that was received; null until something is known. */
  /** @type {number | null} */ lastSeq = null;
  /** Positions up to here were there before this page joined: shown, not announced. */
  historyTo = 0;
  joined = false;
  unread = 0;
  /** Key of the entry under the "new messages" line. */
  /** @type {string | null} */ firstUnread = null;
  draft = '';
  #marks = 0;

  /**
   * @param {string} name
   * @param {ReadMark | null} read up to where the user has seen it, as far as the browser remembers
   */
  constructor(name, read) {
    this.name = name;
    this.read = read;
  }

  /** Everything that was there at the time of joining has arrived. */
  get live() {
    return this.joined && (this.lastSeq ?? 0) >= this.historyTo;
  }

  /** @param {JoinReply} reply */
  join(reply) {
    const wentBack = reply.reason === 'ahead' || reply.reason === 'mismatch';
    const restarted = this.epoch !== '' && (this.epoch !== reply.epoch || wentBack);
    if (restarted) {
      this.#settleAcked(Infinity);
      if (this.entries.length > 0) this.#mark('restart');
      this.lastSeq = null;
    }
    if (this.read?.epoch !== reply.epoch) {
      // A room seen for the first time is read; after a restart everything in it is new.
      this.read = { epoch: reply.epoch, seq: restarted ? 0 : reply.head };
    }
    this.epoch = reply.epoch;
    this.historyTo = reply.head;
    this.joined = true;
    this.members = new Map(reply.members.map((user) => [user.id, user]));
    this.count = reply.count;
    this.presenceVersion += 1;
  }

  /**
   * @param {{seq: number, prev: number, ts: number, from: User, body: string | null, cid: string | null}} event
   * @param {string} me the own user id
   * @param {boolean} watched is the user looking at the end of this room right now?
   * @returns {Message | null} null when it is known already
   */
  receive(event, me, watched) {
    if (!this.#advance(event)) return null;
    const mine = event.from.id === me;
    const send = mine ? this.#takeSend(event.cid) : undefined;
    const { seq, ts, from, body, cid } = event;
    /** @type {Message} */
    const message = { kind: 'message', key: send?.key ?? `s:${this.epoch}:${seq}`, seq, ts, from, body, cid, mine, changed: 0 };
    this.#push(message);
    this.#countUnread(message, watched);
    return message;
  }

  /**
   * An event that is no message: an edit, a deletion, or one this page has no form for.
   * @param {{ev: string, seq: number, prev: number, target?: number, body?: string | null}} event
   */
  change(event) {
    if (!this.#advance(event)) return;
    if (event.ev !== 'edit' && event.ev !== 'del') return;
    const message = this.entries.find((entry) => entry.kind === 'message' && entry.seq === event.target);
    if (message?.kind !== 'message' || message.body === null) return;
    message.body = event.ev === 'edit' ? (event.body ?? null) : null;
    message.changed = event.seq;
  }

  /** @param {{to: number}} event */
  gap(event) {
    if (event.to <= (this.lastSeq ?? 0)) return;
    this.#settleAcked(event.to + 1);
    this.#mark('gap');
    this.lastSeq = event.to;
  }

  /** @param {{in: User[], out: string[], count: number}} event */
  presence(event) {
    for (const id of event.out) this.members.delete(id);
    for (const user of event.in) this.members.set(user.id, user);
    this.count = event.count;
    this.presenceVersion += 1;
  }

  /**
   * A message that the user sends.
   * @param {string} cid
   * @param {string} body
   * @param {User} from the user, as known now
   * @param {number} ts
   * @returns {boolean} false when too many are on their way
   */
  addSend(cid, body, from, ts) {
    if (this.sends.length >= MAX_SENDS) return false;
    this.sends.push({ key: `c:${cid}`, cid, body, from, ts, state: 'pending', seq: 0, error: '' });
    this.firstUnread = null;
    return true;
  }

  /**
   * @param {string} cid
   * @param {SendReply} reply
   */
  acked(cid, reply) {
    const send = this.sends.find((each) => each.cid === cid);
    if (send === undefined) return; // its event came first
    Object.assign(send, { state: 'acked', seq: reply.seq, ts: reply.ts });
    // It went into the log before what this page already has: its event will not come again.
    if (this.lastSeq !== null && reply.seq <= this.lastSeq) this.#settleAcked(this.lastSeq + 1);
  }

  /**
   * @param {string} cid
   * @param {string} error
   */
  failed(cid, error) {
    const send = this.sends.find((each) => each.cid === cid);
    if (send !== undefined) Object.assign(send, { state: 'failed', error });
  }

  /**
   * @param {string} cid
   * @returns {string | null} the body to send again under the same `cid`, null when there is nothing to retry
   */
  retry(cid) {
    const send = this.sends.find((each) => each.cid === cid && each.state === 'failed');
    if (send === undefined) return null;
    send.state = 'pending';
    return send.body;
  }

  /** @param {string} cid */
  discard(cid) {
    this.sends = this.sends.filter((send) => send.cid !== cid || send.state !== 'failed');
  }

  /** The user has seen the end of the room. */
  markRead() {
    this.unread = 0;
    if (this.read !== null && this.lastSeq !== null) this.read = { epoch: this.epoch, seq: this.lastSeq };
  }

  /**
   * The rows to show.
   * @returns {Row[]}
   */
  rows() {
    /** @type {Row[]} */
    const rows = [];
    /** @type {MessageRow | null} */
    let above = null;
    let day = '';
    /** @param {MessageRow} row */
    const add = (row) => {
      const today = new Date(row.ts).toDateString();
      if (today !== day) {
        rows.push({ kind: 'day', key: `d:${today}:${row.key}`, ts: row.ts });
        day = today;
        above = null;
      }
      if (row.key === this.firstUnread) {
        rows.push({ kind: 'unread', key: 'unread' });
        above = null;
      }
      row.head = above === null || !sameAuthor(above, row) || row.ts - above.ts > GROUP_MS;
      rows.push(row);
      above = row;
    };
    for (const entry of this.entries) {
      if (entry.kind === 'message') {
        const { key, ts, from, body, mine, changed } = entry;
        add({ kind: 'message', key, ts, from, body, mine, head: false, changed, state: 'sent', error: '' });
      } else {
        rows.push(entry);
        above = null;
      }
    }
    for (const { key, ts, from, body, state, error } of this.sends) {
      const shown = state === 'acked' ? 'sent' : state;
      add({ kind: 'message', key, ts, from, body, mine: true, head: false, changed: 0, state: shown, error });
    }
    return rows;
  }

  /**
   * Goes on to an event's position, and says where something is missing before it.
   * @param {{seq: number, prev: number}} event
   * @returns {boolean} false when it is known already
   */
  #advance(event) {
    if (this.lastSeq !== null && event.seq <= this.lastSeq) return false;
    this.#settleAcked(event.seq);
    if (this.lastSeq !== null && event.prev > this.lastSeq) this.#mark('gap');
    this.lastSeq = event.seq;
    return true;
  }

  /**
   * Own messages that the log has before position `seq`, but whose events this page will never get, become messages.
   * @param {number} seq
   */
  #settleAcked(seq) {
    const settled = this.sends.filter((send) => send.state === 'acked' && send.seq < seq);
    if (settled.length === 0) return;
    this.sends = this.sends.filter((send) => !settled.includes(send));
    for (const { key, cid, ts, from, body, seq: at } of settled) {
      this.#push({ kind: 'message', key, seq: at, ts, from, body, cid, mine: true, changed: 0 });
    }
  }

  /** @param {string | null} cid */
  #takeSend(cid) {
    const at = this.sends.findIndex((send) => send.cid === cid);
    return at < 0 ? undefined : this.sends.splice(at, 1)[0];
  }

  /** @param {'gap' | 'restart'} kind */
  #mark(kind) {
    this.#marks += 1;
    this.#push({ kind, key: `m:${this.#marks}`, ts: this.entries.at(-1)?.ts ?? 0 });
  }

  /** @param {Entry} entry */
  #push(entry) {
    this.entries.push(entry);
    if (this.entries.length > KEEP_MESSAGES) this.entries.shift();
  }

  /**
   * @param {Message} message
   * @param {boolean} watched
   */
  #countUnread(message, watched) {
    const read = this.read?.seq ?? 0;
    if (message.seq <= read) return;
    if (watched || message.mine) {
      if (this.unread === 0) this.markRead();
      return;
    }
    if (this.unread === 0) this.firstUnread = message.key;
    this.unread += 1;
  }
}

/** All rooms. */
export class Model {
  /** @type {Map<string, Room>} */ rooms = new Map();
  /** @type {User} */ me = { id: '', name: null, avatar: '' };
  current = '';
  /** Is the user looking at the end of the current room? Set by whoever knows the window. */
  watching = false;

  /**
   * @param {string} name
   * @param {ReadMark | null} [read]
   * @returns {Room}
   */
  open(name, read = null) {
    const room = this.rooms.get(name) ?? new Room(name, read);
    this.rooms.set(name, room);
    return room;
  }

  /** @param {string} name */
  forget(name) {
    this.rooms.delete(name);
  }

  /** @returns {Room} */
  get room() {
    return this.open(this.current);
  }

  /** @param {string} name */
  show(name) {
    const before = this.rooms.get(this.current);
    if (before !== undefined && before.unread === 0) before.firstUnread = null;
    this.open(name);
    this.current = name;
  }

  /** Unread messages of all rooms. */
  get unread() {
    let sum = 0;
    for (const room of this.rooms.values()) sum += room.unread;
    return sum;
  }

  /** The connection ended: what is known stays, who is here is not known. */
  disconnected() {
    for (const room of this.rooms.values()) room.joined = false;
  }

  /**
   * Takes an event of the server in.
   * @param {any} event
   * @returns {boolean} false when it is unknown, or about a room that is not open
   */
  apply(event) {
    const room = this.rooms.get(event.room);
    if (room === undefined) return false;
    if (event.ev === 'msg') room.receive(event, this.me.id, this.watching && room.name === this.current);
    else if (event.ev === 'pres') room.presence(event);
    else if (event.ev === 'gap') room.gap(event);
    else if (event.ev === 'kick') room.joined = false;
    else if (typeof event.seq === 'number') room.change(event);
    else return false;
    return true;
  }
}

/**
 * @param {MessageRow} above
 * @param {MessageRow} row
 */
function sameAuthor(above, row) {
  return above.from.id === row.from.id && above.from.name === row.from.name && above.from.avatar === row.from.avatar;
}
