/** The chat page: wires the connection, the model and the view together. */

import { composer } from './composer.js';
import { MAX_DRAFT_CHARS, MAX_ROOMS, RESEND_MS, Unsent, knownDrafts, knownGuest, knownRooms, knownUser } from './kept.js';
import { Model } from './model.js';
import { byId, onWake, oncePerFrame, storage, tabStorage, themeToggle } from './page.js';
import { Client, NORMAL, randomText, socketUrl } from './socket.js';
import { byteLength, nameProblem, roomOfPath, roomProblem } from './text.js';
import * as view from './view.js';

/** The room of `/`. */
const HOME = 'general';
/** Newest messages asked for in the shown room, and in the others. */
const BACKLOG = 200;
const BACKLOG_BEHIND = 50;
/** What a server takes in one message, until its hello says otherwise (bytes). */
const DEFAULT_BODY = 16_384;

const model = new Model();
let bodyLimit = DEFAULT_BODY;
/** Has there been a hello since the page was loaded? */
let everReady = false;
/** Does the view follow the end? */
let following = true;

const unsent = new Unsent(storage);
let who = knownUser(storage.get('user'));
const guest = knownGuest(storage.get('guest'));
if (who.name) model.me.name = who.name;

const client = new Client({
  url: socketUrl(location, '/ws'),
  hello: { ...who, ...(guest && { guest }), client: 'web/1' },
  onState: (state) => {
    if (!state.ready) model.disconnected();
    showConnection();
  },
  onHello(reply) {
    everReady = true;
    if (reply.guest) storage.set('guest', reply.guest);
    bodyLimit = reply.limits.body;
    model.me = reply.user;
    changed();
  },
  onJoin(reply) {
    model.open(reply.room).join(reply);
    changed();
  },
  onJoinRefused(room, error) {
    if (room === model.current) byId('composer-error').textContent = `#${room} could not be joined: ${error.message}`;
  },
  onEvent(event) {
    if (event.ev === 'kick' && event.room === model.current) {
      byId('composer-error').textContent = `The server took you out of #${event.room} (${event.reason}).`;
    }
    if (event.ev === 'error') byId('composer-error').textContent = String(event.msg);
    else if (model.apply(event)) changed();
  },
});

const draw = oncePerFrame(() => {
  const { room, me } = model;
  const rows = room.rows();
  view.showRows(rows);
  view.setLive(room.live);
  view.showEmpty(rows.length === 0 && room.joined, model.current);
  view.showPeople(room, me.id);
  view.showRooms([...model.rooms.values()], model.current, path);
  view.showMe(me);
  if (following) view.scrollToEnd();
  view.showJump(following ? 0 : room.unread, !following);
});

/** Something in the model changed. The title does not wait for a frame: hidden pages draw none. */
function changed() {
  const { unread } = model;
  document.title = `${unread > 0 ? `(${unread}) ` : ''}#${model.current} · chat`;
  rememberSoon();
  draw();
}

/** Is the end of the current room being looked at? Then it is read. */
function look() {
  model.watching = following && !document.hidden;
  if (!model.watching) return;
  model.room.markRead();
  changed();
}

// --- rooms -----------------------------------------------------------------------------------------------------------

/** @param {string} room */
function path(room) {
  return room === HOME ? '/' : `/r/${encodeURIComponent(room)}`;
}

/** Shows the room that the address names, or the home room, and then says why. */
function showRoomOfAddress() {
  const { room, problem } = roomOfPath(location.pathname);
  if (problem !== '') history.replaceState(null, '', path(HOME));
  show(room ?? HOME);
  byId('composer-error').textContent = problem === '' ? '' : `The address names no room, so this is #${HOME}. ${problem}`;
}

/** @param {string} name */
function show(name) {
  if (model.current !== '') model.room.draft = field.text;
  if (!model.rooms.has(name) && model.rooms.size >= MAX_ROOMS) {
    const [oldest] = [...model.rooms.keys()].filter((room) => room !== model.current);
    leave(oldest);
  }
  view.clearRows();
  model.show(name);
  client.join(name, BACKLOG);
  field.text = model.room.draft;
  following = true;
  look();
  changed();
}

/** @param {string} name */
function go(name) {
  if (name !== model.current) {
    history.pushState(null, '', path(name));
    show(name);
  }
  drawer(null);
  // On a phone the keyboard would hide what the user came to read.
  if (matchMedia('(hover: hover)').matches) field.focus();
}

/** @param {string} name */
function leave(name) {
  client.leave(name);
  model.forget(name);
  unsent.remove(({ room }) => room === name);
  if (name === model.current) {
    model.current = '';
    go(model.rooms.keys().next().value ?? HOME);
  }
  changed();
}

let remembering = false;

/** Keeps the visited rooms and how far they were read, at most once a second. */
function rememberSoon() {
  if (remembering) return;
  remembering = true;
  setTimeout(() => {
    remembering = false;
    storage.set('rooms', [...model.rooms.values()].map(({ name, read }) => ({ name, read })));
  }, 1000);
}

function restoreRooms() {
  const shown = roomOfPath(location.pathname).room ?? HOME;
  for (const { name, read } of knownRooms(storage.get('rooms'))) {
    model.open(name, read);
    if (name !== shown) client.join(name, BACKLOG_BEHIND);
  }
}

byId('rooms').addEventListener('click', (/** @type {MouseEvent} */ event) => {
  const target = /** @type {Element} */ (event.target);
  const left = target.closest('[data-leave]');
  const link = target.closest('[data-room]');
  if (left instanceof HTMLElement) leave(left.dataset.leave ?? '');
  if (!(link instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(link.dataset.room ?? HOME);
});

byId('join-room').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  const input = byId('join-room-name');
  const name = input.value.trim().replace(/^#+(?=.)/, '');
  const problem = roomProblem(name);
  byId('join-room-error').textContent = problem ?? '';
  if (problem !== null) return;
  input.value = '';
  go(name);
});

window.addEventListener('popstate', showRoomOfAddress);

// --- messages --------------------------------------------------------------------------------------------------------

const field = composer(submit);

function submit() {
  const body = field.text.trim();
  if (body === '') return;
  if (byteLength(body) > bodyLimit) {
    byId('composer-error').textContent = `This message is too long: ${byteLength(body)} of at most ${bodyLimit} bytes.`;
    return;
  }
  if (model.me.name === null) {
    openNameDialog();
    return;
  }
  const cid = randomText();
  const ts = Date.now();
  if (!model.room.addSend(cid, body, model.me, ts)) {
    byId('composer-error').textContent = 'Too many messages are waiting to be sent.';
    return;
  }
  unsent.add({ room: model.current, cid, body, ts, from: model.me });
  byId('composer-error').textContent = '';
  field.clear();
  following = true;
  void deliver(model.current, cid, body);
  look();
  changed();
}

/**
 * @param {string} name
 * @param {string} cid
 * @param {string} body
 */
async function deliver(name, cid, body) {
  const room = model.open(name);
  try {
    room.acked(cid, await client.send(name, body, cid));
    unsent.remove((kept) => kept.cid === cid);
  } catch (error) {
    room.failed(cid, error instanceof Error ? error.message : String(error));
  }
  changed();
}

byId('log').addEventListener('click', (/** @type {Event} */ event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const { retry, discard, unfold } = target.dataset;
  if (unfold !== undefined) {
    view.toggleFold(target);
    following = view.atEnd();
  }
  if (discard !== undefined) {
    const cid = discard.slice(2);
    model.room.discard(cid);
    unsent.remove((kept) => kept.cid === cid);
  }
  if (retry !== undefined) {
    const cid = retry.slice(2);
    const body = model.room.retry(cid);
    client.join(model.current, BACKLOG);
    if (body !== null) void deliver(model.current, cid, body);
  }
  changed();
});

byId('scroller').addEventListener(
  'scroll',
  () => {
    following = view.atEnd();
    look();
    draw();
  },
  { passive: true },
);

// A soft keyboard or a growing field takes height away; the end stays in view.
new ResizeObserver(() => {
  if (following) view.scrollToEnd();
}).observe(byId('scroller'));

byId('jump').addEventListener('click', () => {
  following = true;
  view.scrollToEnd();
  look();
  draw();
});

document.addEventListener('visibilitychange', look);

// --- over a reload ---------------------------------------------------------------------------------------------------

/** Sends what an earlier page could not. */
function restoreUnsent() {
  for (const { room: name, cid, body, ts, from } of unsent.all()) {
    const room = model.open(name);
    if (!room.addSend(cid, body, from, ts)) continue;
    client.join(name, name === model.current ? BACKLOG : BACKLOG_BEHIND);
    if (Date.now() - ts < RESEND_MS) void deliver(name, cid, body);
    else room.failed(cid, 'the page was closed before it could be sent');
  }
  changed();
}

/** @returns {[room: string, text: string][]} */
function drafts() {
  model.room.draft = field.text;
  return [...model.rooms.values()].filter(({ draft }) => draft !== '').map(({ name, draft }) => [name, draft]);
}

function restoreDrafts() {
  for (const [room, text] of knownDrafts(tabStorage.get('drafts'))) model.open(room).draft = text;
}

/** @returns {boolean} false when something written here would be gone with the page */
function keepDrafts() {
  const all = drafts();
  return tabStorage.set('drafts', Object.fromEntries(all)) && all.every(([, text]) => text.length <= MAX_DRAFT_CHARS);
}

window.addEventListener('pagehide', keepDrafts);
window.addEventListener('beforeunload', (event) => {
  const kept = new Set(unsent.all().map(({ cid }) => cid));
  const pending = [...model.rooms.values()].flatMap(({ sends }) => sends.filter(({ state }) => state === 'pending'));
  const safe = keepDrafts() || drafts().length === 0;
  if (!safe || pending.some(({ cid }) => !kept.has(cid))) event.preventDefault();
});

// --- name ------------------------------------------------------------------------------------------------------------

/** @type {HTMLDialogElement} */ const dialog = byId('name-dialog');

function openNameDialog() {
  drawer(null);
  byId('name-input').value = who.name ?? '';
  byId('email-input').value = who.email ?? '';
  byId('name-error').textContent = '';
  byId('name-submit').textContent = model.me.name === null ? 'Join the chat' : 'Save';
  dialog.showModal();
  byId('name-input').focus();
}

/** @param {string} problem */
function refuseName(problem) {
  const error = byId('name-error');
  // Emptied first: the same words again would not be announced.
  error.textContent = '';
  requestAnimationFrame(() => error.replaceChildren(problem));
  byId('name-input').setAttribute('aria-invalid', 'true');
  byId('name-input').focus();
}

byId('name-form').addEventListener('submit', async (/** @type {Event} */ event) => {
  event.preventDefault();
  const name = byId('name-input').value.trim();
  const problem = nameProblem(name);
  if (problem !== null) {
    refuseName(problem);
    return;
  }
  const email = byId('email-input').value.trim();
  const first = model.me.name === null;
  try {
    await client.rename({ name, email });
  } catch (error) {
    refuseName(error instanceof Error ? error.message : String(error));
    return;
  }
  who = { name, email };
  storage.set('user', who);
  model.me = { ...model.me, name };
  dialog.close();
  field.focus();
  if (client.state.phase === 'stopped') client.retryNow();
  if (first) submit();
  changed();
});

// Another tab of the same user changed the name.
window.addEventListener('storage', async ({ key }) => {
  const user = knownUser(storage.get('user'));
  if (key !== 'fdx.user' || user.name === undefined) return;
  const { name, email } = user;
  try {
    await client.rename({ name, email });
  } catch {
    return; // the other tab has shown why
  }
  who = user;
  model.me = { ...model.me, name };
  changed();
});

byId('name-input').addEventListener('input', () => byId('name-input').removeAttribute('aria-invalid'));
byId('name-cancel').addEventListener('click', () => dialog.close());
byId('me').addEventListener('click', openNameDialog);

// --- connection ------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;

function showConnection() {
  const state = client.state;
  clearInterval(countdown);
  if (state.phase === 'waiting') countdown = setInterval(showBanner, 250);
  showBanner();
}

function showBanner() {
  const { phase, ready, retryAt, code, reason } = client.state;
  if (ready || phase === 'idle') view.showBanner({ kind: 'ready', text: '', seconds: 0 });
  else if (phase === 'stopped' && code === NORMAL) {
    view.showBanner({ kind: 'ended', text: `The server has closed the connection${reason && `: ${reason}`}.`, seconds: 0 });
  } else if (phase === 'stopped') {
    view.showBanner({ kind: 'stopped', text: `The server ended the connection: ${reason || `code ${code}`}.`, seconds: 0 });
  } else if (phase === 'waiting') {
    const text = everReady ? 'Connection lost.' : 'The server cannot be reached.';
    view.showBanner({ kind: 'waiting', text, seconds: Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) });
  } else view.showBanner({ kind: 'connecting', text: everReady ? 'Reconnecting…' : 'Connecting…', seconds: 0 });
}

byId('retry-now').addEventListener('click', () => client.retryNow());
onWake(() => client.wake());

// --- panels ----------------------------------------------------------------------------------------------------------

const drawers = [
  { panel: byId('rooms-panel'), button: byId('rooms-toggle') },
  { panel: byId('people-panel'), button: byId('people-toggle') },
];

/**
 * On narrow windows the panels slide over the messages, one at a time.
 * @param {HTMLElement | null} wanted
 */
function drawer(wanted) {
  for (const { panel, button } of drawers) {
    const open = panel === wanted;
    panel.classList.toggle('open', open);
    button.setAttribute('aria-expanded', String(open));
  }
  byId('shade').hidden = wanted === null;
  /** @type {HTMLElement | null | undefined} */ (wanted?.querySelector('a, button'))?.focus();
}

for (const { panel, button } of drawers) {
  button.addEventListener('click', () => drawer(panel.classList.contains('open') ? null : panel));
}
byId('shade').addEventListener('click', () => drawer(null));
byId('people-close').addEventListener('click', () => drawer(null));
document.addEventListener('keydown', (event) => {
  const open = drawers.find(({ panel }) => panel.classList.contains('open'));
  if (event.key !== 'Escape' || open === undefined) return;
  drawer(null);
  open.button.focus();
});

// --- start -----------------------------------------------------------------------------------------------------------

async function offerLogs() {
  try {
    const answer = await fetch('/api/v1/logs');
    byId('logs-link').hidden = !answer.ok || (await answer.json()).sources.length === 0;
  } catch {
    // No answer, no link.
  }
}

themeToggle(byId('theme'));
restoreRooms();
restoreDrafts();
showRoomOfAddress();
restoreUnsent();
client.start();
void offerLogs();
if (matchMedia('(hover: hover)').matches) field.focus();
