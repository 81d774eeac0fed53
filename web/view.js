/** The chat page's elements: puts what the model knows on the screen. Keeps nothing that is not in the DOM. */

import { avatar } from './avatar.js';
import { byId, el } from './page.js';
import { isEmojiOnly, isLong, pieces } from './text.js';

/** A view that is at most this far (CSS pixels) from its end follows it. */
const END_PX = 48;

/**
 * @typedef {import('./model.js').Row} Row
 * @typedef {import('./model.js').MessageRow} MessageRow
 * @typedef {import('./model.js').Room} Room
 * @typedef {import('./socket.js').User} User
 * @typedef {{kind: 'ready' | 'connecting' | 'waiting' | 'ended' | 'stopped', text: string, seconds: number}} Banner
 */

const log = byId('log');
const scroller = byId('scroller');
/** The element of each row, by key. @type {Map<string, HTMLElement>} */
const nodes = new Map();

const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** Is the end of the messages in view? */
export function atEnd() {
  return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight <= END_PX;
}

export function scrollToEnd() {
  scroller.scrollTop = scroller.scrollHeight;
}

/** Forgets the shown room's rows; the next ones belong to another. */
export function clearRows() {
  log.replaceChildren();
  nodes.clear();
  log.setAttribute('aria-live', 'off');
}

/**
 * Shows the rows, reusing the elements that are there, so that a screen reader hears only what is new.
 * @param {Row[]} rows
 */
export function showRows(rows) {
  const keys = new Set(rows.map((row) => row.key));
  for (const [key, node] of nodes) {
    if (keys.has(key)) continue;
    node.remove();
    nodes.delete(key);
  }
  let next = log.firstChild;
  for (const row of rows) {
    let node = nodes.get(row.key) ?? make(row);
    if (row.kind === 'message') {
      node = current(node, row);
      patch(node, row);
    }
    if (node === next) next = node.nextSibling;
    else log.insertBefore(node, next);
  }
}

/**
 * History is not read out, what comes later is.
 * @param {boolean} live
 */
export function setLive(live) {
  const wanted = live ? 'polite' : 'off';
  if (log.getAttribute('aria-live') !== wanted) log.setAttribute('aria-live', wanted);
}

/**
 * @param {boolean} empty
 * @param {string} room
 */
export function showEmpty(empty, room) {
  byId('empty').hidden = !empty;
  byId('empty-room').textContent = room;
}

/** @param {number} count 0 hides it unless `away` */
export function showJump(count, away = false) {
  const jump = byId('jump');
  jump.hidden = count === 0 && !away;
  jump.textContent = count === 0 ? 'To the newest ↓' : `${count} new message${count === 1 ? '' : 's'} ↓`;
}

/**
 * @param {Room} room
 * @param {string} me
 */
export function showPeople(room, me) {
  if (!isNew(byId('people'), `${room.presenceVersion} ${me} ${room.name}`)) return;
  const members = [...room.members.values()].sort(
    (one, other) => Number(other.id === me) - Number(one.id === me) || (one.name ?? '').localeCompare(other.name ?? ''),
  );
  byId('people').replaceChildren(...members.map((user) => person(user, user.id === me)));
  byId('people-count').textContent = String(room.count);
  const more = room.count - members.length;
  byId('people-more').textContent = more > 0 ? `${members.length > 0 ? 'and ' : ''}${more} more` : '';
}

/**
 * @param {User} user
 * @param {boolean} me
 */
function person(user, me) {
  const item = el('li', { 'data-user': user.id }, avatar(user), el('bdi', {}, user.name ?? ''));
  if (me) item.append(el('span', { class: 'you' }, 'you'));
  return item;
}

/**
 * @param {Room[]} rooms
 * @param {string} current
 * @param {(room: string) => string} href
 */
export function showRooms(rooms, current, href) {
  const list = byId('rooms');
  if (!isNew(list, JSON.stringify([current, rooms.map(({ name, unread }) => [name, unread])]))) return;
  const focused = document.activeElement instanceof HTMLElement && list.contains(document.activeElement) ? document.activeElement.dataset.room : undefined;
  list.replaceChildren(...rooms.map((room) => roomItem(room, room.name === current, href(room.name))));
  if (focused !== undefined) list.querySelector(`[data-room="${CSS.escape(focused)}"]`)?.focus();
  byId('room-name').textContent = current;
  let elsewhere = 0;
  for (const room of rooms) if (room.name !== current) elsewhere += room.unread;
  const badge = byId('rooms-badge');
  badge.hidden = elsewhere === 0;
  badge.textContent = short(elsewhere);
}

/**
 * @param {Room} room
 * @param {boolean} current
 * @param {string} href
 */
function roomItem(room, current, href) {
  const link = el('a', { href, 'data-room': room.name }, el('span', { class: 'hash', 'aria-hidden': 'true' }, '#'), el('bdi', {}, room.name));
  if (current) link.setAttribute('aria-current', 'page');
  if (room.unread > 0 && !current) {
    link.append(el('span', { class: 'badge' }, short(room.unread)), el('span', { class: 'visually-hidden' }, ' unread'));
  }
  const leave = el('button', { type: 'button', class: 'leave', 'data-leave': room.name, 'aria-label': `Leave ${room.name}`, title: 'Leave' }, '×');
  return el('li', {}, link, leave);
}

/** @param {number} count */
function short(count) {
  return count > 99 ? '99+' : String(count);
}

/** @param {User} me */
export function showMe(me) {
  const button = byId('me');
  if (!isNew(button, JSON.stringify(me))) return;
  if (me.name === null) button.replaceChildren('Choose a name');
  else button.replaceChildren(avatar(me), el('bdi', {}, me.name), el('span', { class: 'visually-hidden' }, ', change name'));
  button.classList.toggle('unnamed', me.name === null);
}

/** @param {Banner} banner */
export function showBanner({ kind, text, seconds }) {
  const banner = byId('banner');
  banner.hidden = kind === 'ready';
  banner.dataset.phase = kind;
  const label = byId('banner-text');
  if (label.textContent !== text) label.textContent = text;
  byId('banner-countdown').textContent = kind === 'waiting' ? `Next try in ${seconds} s` : '';
  byId('retry-now').hidden = kind === 'ready' || kind === 'connecting';
}

/**
 * Elements made anew would lose focus and selection: only when what they show has changed.
 * @param {HTMLElement} element
 * @param {string} shown
 */
function isNew(element, shown) {
  if (element.dataset.shown === shown) return false;
  element.dataset.shown = shown;
  return true;
}

/** @param {Row} row */
function make(row) {
  const node = row.kind === 'message' ? makeMessage(row) : makeMark(row);
  node.dataset.key = row.key;
  nodes.set(row.key, node);
  return node;
}

/** @param {Exclude<Row, MessageRow>} row */
function makeMark(row) {
  if (row.kind === 'day') return el('div', { class: 'mark day', role: 'separator' }, el('span', {}, dayLabel(row.ts)));
  if (row.kind === 'unread') return el('div', { class: 'mark unread', role: 'separator' }, el('span', {}, 'New messages'));
  const text = row.kind === 'gap' ? 'Some messages are missing here' : 'The server started this room anew';
  return el('div', { class: `mark ${row.kind}` }, el('span', {}, text));
}

/** @param {number} ts */
function dayLabel(ts) {
  const day = new Date(ts).toDateString();
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (day === today.toDateString()) return 'Today';
  if (day === yesterday.toDateString()) return 'Yesterday';
  return dayFormat.format(ts);
}

/**
 * A message's element, made anew in its place if the message was changed since.
 * @param {HTMLElement} node
 * @param {MessageRow} row
 */
function current(node, row) {
  if (node.dataset.changed === String(row.changed)) return node;
  const made = make(row);
  node.replaceWith(made);
  return made;
}

/** @param {MessageRow} row */
function makeMessage(row) {
  const time = el('time', { datetime: new Date(row.ts).toISOString(), title: fullFormat.format(row.ts) }, timeFormat.format(row.ts));
  const meta = el('div', { class: 'meta' }, el('bdi', { class: 'author' }, row.from.name ?? ''), time);
  if (row.changed > 0 && row.body !== null) meta.append(el('span', { class: 'edited' }, 'edited'));
  const body = row.body === null ? tombstone() : makeBody(row.body);
  const message = el('div', { class: 'message', 'data-changed': String(row.changed) }, meta, body, el('div', { class: 'status' }));
  message.classList.toggle('mine', row.mine);
  if (row.body !== null && isLong(row.body)) {
    const button = el('button', { type: 'button', class: 'unfold', 'data-unfold': '' });
    body.after(button);
    fold(button, true);
  }
  return message;
}

/** @param {string} text */
function makeBody(text) {
  const body = el('div', { class: 'body', dir: 'auto' }, ...bodyNodes(text));
  if (isEmojiOnly(body.textContent ?? '')) body.classList.add('emoji-only');
  return body;
}

function tombstone() {
  return el('div', { class: 'body deleted' }, 'This message was deleted');
}

/**
 * @param {HTMLElement} button of a long message
 * @param {boolean} folded
 */
function fold(button, folded) {
  button.previousElementSibling?.classList.toggle('folded', folded);
  button.setAttribute('aria-expanded', String(!folded));
  button.textContent = folded ? 'Show all' : 'Show less';
}

/** @param {HTMLElement} button as clicked */
export function toggleFold(button) {
  fold(button, button.getAttribute('aria-expanded') === 'true');
}

/**
 * Links stand apart from the text around them, whose direction must not turn what they show.
 * @param {string} body
 */
function bodyNodes(body) {
  return pieces(body).map(({ text, href }) =>
    href === null ? text : el('bdi', { dir: 'ltr' }, el('a', { href, target: '_blank', rel: 'noopener nofollow noreferrer' }, text)),
  );
}

/**
 * Brings a message's element up to date, touching only what changed.
 * @param {HTMLElement} node
 * @param {MessageRow} row
 */
function patch(node, row) {
  if (row.head !== node.classList.contains('head')) {
    node.classList.toggle('head', row.head);
    node.querySelector('.avatar')?.remove();
    if (row.head) node.prepend(avatar(row.from));
  }
  if (node.dataset.state === row.state) return;
  node.dataset.state = row.state;
  const status = /** @type {HTMLElement} */ (node.querySelector('.status'));
  if (row.state === 'sent') status.replaceChildren();
  else if (row.state === 'pending') status.replaceChildren('Sending…');
  else {
    const retry = el('button', { type: 'button', 'data-retry': row.key }, 'Retry');
    const discard = el('button', { type: 'button', 'data-discard': row.key }, 'Discard');
    status.replaceChildren(el('span', { role: 'alert' }, `Not sent: ${row.error}`), retry, discard);
  }
}
