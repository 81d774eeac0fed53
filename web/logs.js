/** The log page: follows sources, filters, pauses, and draws at most once per frame. */

import { Follower } from './follow.js';
import { addressOf, wantedSources } from './log-address.js';
import { KEEP_LINES, LogModel, compileFilter, highlight } from './log-model.js';
import { byId, el, onWake, oncePerFrame, storage, themeToggle } from './page.js';
import { socketUrl } from './socket.js';

/** Sources followed at once: each is a connection, and a browser has a limit for them. */
const MAX_FOLLOWED = 16;
/** Characters shown of a line until the rest is asked for. */
const SHOWN_CHARS = 2_000;
/** A view that is at most this far (CSS pixels) from its end follows it. */
const END_PX = 32;
/** A list of sources that could not be had is asked for again after this long (ms). */
const SOURCES_RETRY_MS = 5_000;

/**
 * @typedef {import('./log-model.js').Entry} Entry
 * @typedef {import('./log-model.js').Line} Line
 */

const model = new LogModel();
/** @type {Map<string, Follower>} */
const followers = new Map();
/** @type {string[]} */
let sources = [];
let filter = compileFilter('');
let following = true;
/** Number of the newest entry that was drawn or filtered out. */
let drawnId = 0;
/** Lines that came while the end was out of view. */
let unseen = 0;

const scroller = byId('scroller');
/** @type {HTMLElement} */ const list = byId('lines');

// --- drawing ---------------------------------------------------------------------------------------------------------

const draw = oncePerFrame(() => {
  const firstId = model.entries[0]?.id ?? Infinity;
  while (list.firstElementChild instanceof HTMLElement && Number(list.firstElementChild.dataset.id) < firstId) {
    list.firstElementChild.remove();
  }
  const news = document.createDocumentFragment();
  for (const entry of model.entries.slice(firstNew())) if (passes(entry)) news.append(make(entry));
  drawnId = model.entries.at(-1)?.id ?? drawnId;
  unseen = following ? 0 : unseen + news.childElementCount;
  list.append(news);
  if (following) scroller.scrollTop = scroller.scrollHeight;
  showJump();
  showCounts();
});

/** @returns {number} index of the first entry that was not drawn yet */
function firstNew() {
  let at = model.entries.length;
  while (at > 0 && model.entries[at - 1].id > drawnId) at -= 1;
  return at;
}

function redraw() {
  list.replaceChildren();
  drawnId = 0;
  unseen = 0;
  draw();
}

/** @param {Entry} entry */
function passes(entry) {
  return entry.kind === 'mark' || filter.pattern === null || entry.text.search(filter.pattern) >= 0;
}

/** @param {Entry} entry */
function make(entry) {
  if (entry.kind === 'mark') {
    const text = entry.source === '' || sources.length < 2 ? entry.text : `${entry.source}: ${entry.text}`;
    return el('div', { class: 'log-mark', 'data-id': String(entry.id), 'data-mark': entry.what }, el('span', {}, text));
  }
  const text = el('span', { class: 'text' }, ...shown(entry, SHOWN_CHARS));
  const line = el('div', { class: 'line', 'data-id': String(entry.id), 'data-level': entry.level });
  if (sources.length > 1) line.append(el('span', { class: 'source', 'data-hue': hue(entry.source) }, entry.source));
  line.append(text);
  if (entry.text.length > SHOWN_CHARS) line.append(more(entry, text));
  return line;
}

/**
 * @param {Line} line
 * @param {number} limit
 */
function shown(line, limit) {
  let left = limit;
  return highlight(line.segments, filter.pattern).flatMap(({ text, classes, hit }) => {
    const part = text.slice(0, left);
    left -= part.length;
    if (part === '') return [];
    if (hit) return [el('mark', { class: classes }, part)];
    return [classes === '' ? part : el('span', { class: classes }, part)];
  });
}

/**
 * @param {Line} line
 * @param {HTMLElement} text
 */
function more(line, text) {
  const button = el('button', { type: 'button', class: 'more' }, `… ${line.text.length - SHOWN_CHARS} more characters`);
  button.addEventListener('click', () => {
    text.replaceChildren(...shown(line, Infinity));
    button.remove();
  });
  return button;
}

/** @param {string} source */
function hue(source) {
  return String((7 + sources.indexOf(source) * 5) % 12);
}

function showJump() {
  const jump = byId('jump');
  jump.hidden = following;
  jump.textContent = unseen === 0 ? 'To the newest ↓' : `${unseen > KEEP_LINES ? `${KEEP_LINES}+` : unseen} new ↓`;
}

function showCounts() {
  const lines = `${model.entries.length} line${model.entries.length === 1 ? '' : 's'}`;
  const kept = model.entries.length >= KEEP_LINES ? `the newest ${lines}` : lines;
  byId('counts').textContent = filter.pattern === null ? kept : `${list.childElementCount} of ${kept} shown`;
  const pause = byId('pause');
  pause.setAttribute('aria-pressed', String(model.paused));
  pause.textContent = !model.paused ? 'Pause' : model.waiting === 0 ? 'Resume' : `Resume · ${model.waiting} new`;
  const empty = byId('empty');
  empty.hidden = list.childElementCount > 0 || emptyText() === '';
  empty.textContent = emptyText();
}

let problem = 'Looking for log sources…';

function emptyText() {
  if (problem !== '') return problem;
  if (followers.size === 0) return 'Choose a source to follow.';
  return filter.pattern === null ? 'Waiting for lines…' : 'No line matches the filter.';
}

// --- sources ---------------------------------------------------------------------------------------------------------

function showSources() {
  byId('sources').replaceChildren(
    ...sources.map((name) => {
      const button = el('button', { type: 'button', class: 'chip', 'data-source': name, 'data-hue': hue(name) }, name);
      return button;
    }),
  );
  showFollowed();
}

/** Brings the buttons up to date without making them anew: the keyboard's focus stays. */
function showFollowed() {
  for (const button of byId('sources').children) {
    const follower = followers.get(button.dataset.source);
    button.setAttribute('aria-pressed', String(follower !== undefined));
    button.dataset.phase = follower?.ended ? 'ended' : (follower?.state.phase ?? 'idle');
  }
}

/** @param {string} name */
function follow(name) {
  if (followers.size >= MAX_FOLLOWED) return;
  const url = socketUrl(location, `/logs/${encodeURIComponent(name)}`);
  const follower = new Follower({ name, url, model, onChange: changed });
  followers.set(name, follower);
  follower.start();
}

/** @param {string} name */
function unfollow(name) {
  const follower = followers.get(name);
  followers.delete(name);
  follower?.stop();
}

function changed() {
  showFollowed();
  showConnection();
  draw();
}

byId('sources').addEventListener('click', (/** @type {Event} */ event) => {
  const name = /** @type {HTMLElement} */ (event.target).dataset.source;
  if (name === undefined) return;
  if (followers.has(name)) unfollow(name);
  else follow(name);
  rememberInAddress();
  changed();
});

function rememberInAddress() {
  const followed = sources.filter((name) => followers.has(name));
  history.replaceState(null, '', addressOf(location.pathname, sources, followed, byId('filter').value));
}

async function findSources() {
  try {
    const answer = await fetch('/api/v1/logs');
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const found = await answer.json();
    sources = found.sources.map((/** @type {{name: string}} */ source) => source.name);
    problem = sources.length === 0 ? 'This server follows no log files. Start it with --log NAME=FILE.' : '';
  } catch {
    problem = 'The server cannot be reached. Trying again…';
    setTimeout(findSources, SOURCES_RETRY_MS);
  }
  for (const name of wantedSources(location, sources)) follow(name);
  document.title = sources.length === 1 ? `${sources[0]} · logs` : 'Logs';
  showSources();
  changed();
}

// --- tools -----------------------------------------------------------------------------------------------------------

function applyFilter() {
  filter = compileFilter(byId('filter').value);
  byId('filter-problem').textContent = filter.problem;
  redraw();
}

byId('filter').addEventListener('input', () => {
  applyFilter();
  rememberInAddress();
});

byId('pause').addEventListener('click', () => {
  if (model.paused) model.resume();
  else model.pause();
  draw();
});

byId('clear').addEventListener('click', () => {
  model.clear();
  redraw();
});

/** @param {boolean} on */
function wrap(on) {
  list.classList.toggle('wrap', on);
  byId('wrap').setAttribute('aria-pressed', String(on));
  if (following) scroller.scrollTop = scroller.scrollHeight;
}

byId('wrap').addEventListener('click', () => {
  const on = !list.classList.contains('wrap');
  storage.set('wrap', on);
  wrap(on);
});

scroller.addEventListener(
  'scroll',
  () => {
    following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight <= END_PX;
    if (following) unseen = 0;
    showJump();
  },
  { passive: true },
);

new ResizeObserver(() => {
  if (following) scroller.scrollTop = scroller.scrollHeight;
}).observe(scroller);

byId('jump').addEventListener('click', () => {
  following = true;
  draw();
});

// --- connection ------------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;

/**
 * A source that has ended is not lost: its last line and a mark say so.
 * @param {Follower} follower
 */
function isLost({ state, ended }) {
  return state.phase === 'waiting' || (state.phase === 'stopped' && !ended);
}

/** One banner for all links: the one that tries next is the one to wait for. */
function showConnection() {
  const lost = [...followers].filter(([, follower]) => isLost(follower));
  const again = [...followers.values()].filter(({ state }) => state.phase === 'connecting' && state.attempt > 0);
  const banner = byId('banner');
  banner.hidden = lost.length === 0 && again.length === 0;
  banner.dataset.phase = lost.length > 0 ? 'waiting' : banner.hidden ? 'ready' : 'connecting';
  byId('retry-now').hidden = lost.length === 0;
  const names = lost.length === followers.size ? '' : ` to ${lost.map(([name]) => name).join(', ')}`;
  const text = lost.length > 0 ? `Connection${names} lost.` : 'Reconnecting…';
  if (byId('banner-text').textContent !== text) byId('banner-text').textContent = text;
  const next = Math.min(...lost.map(([, { state }]) => state.retryAt || Infinity));
  const seconds = Math.max(0, Math.ceil((next - Date.now()) / 1000));
  byId('banner-countdown').textContent = Number.isFinite(next) ? `Next try in ${seconds} s` : '';
  clearInterval(countdown);
  if (Number.isFinite(next)) countdown = setInterval(showConnection, 250);
}

byId('retry-now').addEventListener('click', () => {
  for (const follower of followers.values()) if (isLost(follower)) follower.retryNow();
});
onWake(() => {
  for (const follower of followers.values()) follower.wake();
});

// --- start -----------------------------------------------------------------------------------------------------------

themeToggle(byId('theme'));
wrap(storage.get('wrap') !== false);
byId('filter').value = new URLSearchParams(location.search).get('q') ?? '';
applyFilter();
void findSources();
