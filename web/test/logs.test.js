import assert from 'node:assert/strict';
import { test } from 'node:test';

import { segments } from '../ansi.js';
import { BACKLOG_LINES, Follower, SETTLE_MS } from '../follow.js';
import { FOLLOWED_FIRST, addressOf, wantedSources } from '../log-address.js';
import { KEEP_CHARS, KEEP_LINES, LogModel, compileFilter, highlight, levelOf, overlap } from '../log-model.js';
import { BACKOFF_CAP_MS, BACKOFF_FIRST_MS } from '../socket.js';
import { FakeClock, fakeSockets } from './fakes.js';

const plain = (line) => segments(line).map((part) => part.text).join('');
const texts = (entries) => entries.map((entry) => entry.text);
const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => `line ${from + at}`);

test('colours and styles become classes until they are reset', () => {
  assert.deepEqual(segments('a\x1b[1;31mred\x1b[0m b'), [
    { text: 'a', classes: '' }, { text: 'red', classes: 'sgr-bold fg-1' }, { text: ' b', classes: '' },
  ]);
  assert.equal(segments('\x1b[92mx')[0].classes, 'fg-10');
  assert.equal(segments('\x1b[43mx')[0].classes, 'bg-3');
  assert.equal(segments('\x1b[1m\x1b[22mx')[0].classes, '');
  assert.equal(segments('\x1b[31m\x1b[mx')[0].classes, '', 'no parameter is a reset');
});

test('256 and true colours become the nearest of sixteen, and their numbers are not taken for styles', () => {
  assert.equal(segments('\x1b[38;5;196mx')[0].classes, 'fg-9');
  assert.equal(segments('\x1b[38;5;4mx')[0].classes, 'fg-4');
  assert.equal(segments('\x1b[38;2;250;250;250mx')[0].classes, 'fg-15');
  assert.equal(segments('\x1b[48;2;1;1;1;4mx')[0].classes, 'sgr-underline bg-0');
  assert.equal(segments('\x1b[38;2;1mx').length, 1);
});

test('other escape sequences are dropped and the text around them stays', () => {
  for (const sequence of ['\x1b[2J', '\x1b[10;20H', '\x1b[?25l', '\x1b]0;title\x07', '\x1b]8;;http://x\x1b\\', '\x1bc', '\x1b(B', '\x1bP1$r\x1b\\']) {
    assert.equal(plain(`a${sequence}b`), 'ab', JSON.stringify(sequence));
  }
});

test('an unfinished sequence hides nothing', () => {
  assert.ok(plain('\x1b]0;no end of this').includes('no end of this'));
  assert.equal(plain('text\x1b'), 'text␛');
  assert.equal(plain('text\x1b['), 'text', 'what is left looks like a short sequence');
});

test('controls, separators and changes of direction are shown, not obeyed', () => {
  assert.equal(plain('a\x00b\x07c\x7f'), 'a␀b␇c␡');
  assert.equal(plain('a\u2028b\u2029c\u202ed\u0085'), 'a<U+2028>b<U+2029>c<U+202E>d<U+0085>');
  assert.equal(plain('50%\r100%\r'), '50%␍100%');
  assert.equal(plain('a\tb'), 'a\tb');
});

test('a line of nothing but escapes takes linear time', () => {
  assert.equal(segments('\x1b['.repeat(30_000)).length, 0);
  assert.ok(segments('\x1b]'.repeat(30_000)).length >= 0);
  assert.ok(plain('\x1b]0;'.repeat(16_000)).length > 0);
});

test('levels are told by their usual spellings and not by words of prose', () => {
  for (const line of ['12:00 ERROR x', '[FATAL] x', 'level=error msg=x', '{"level":"Error"}', 'ERR x']) assert.equal(levelOf(line), 'error', line);
  for (const line of ['WARN x', 'lvl=warning']) assert.equal(levelOf(line), 'warn', line);
  for (const line of ['DEBUG x', 'level=trace']) assert.equal(levelOf(line), 'debug', line);
  for (const line of ['no errors here', 'INFO all fine', 'TERRORS', '']) assert.equal(levelOf(line), '', line);
});

test('a filter is a text in any case, or an expression between slashes', () => {
  const passes = (typed, line) => line.search(compileFilter(typed).pattern) >= 0;
  assert.ok(passes('a.b', 'xA.Bx'));
  assert.ok(!passes('a.b', 'aXb'));
  assert.ok(passes('/a.b/', 'aXb'));
  assert.ok(!passes('/a.b/', 'AXB'));
  assert.ok(passes('/a.b/i', 'AXB'));
  assert.ok(passes('/var/log', 'in /var/log now'), 'a path is a text');
  assert.equal(compileFilter('').pattern, null);
  assert.notEqual(compileFilter('/(/').problem, '');
});

test('matches are marked across colours and nothing is lost', () => {
  const parts = [{ text: 'abc', classes: 'x' }, { text: 'def', classes: 'y' }];
  assert.deepEqual(highlight(parts, /cd/g), [
    { text: 'ab', classes: 'x', hit: false }, { text: 'c', classes: 'x', hit: true },
    { text: 'd', classes: 'y', hit: true }, { text: 'ef', classes: 'y', hit: false },
  ]);
  for (const pattern of [null, /z/g, /./g, /x*/g, /^/g, /abcdef/g, /b|e/g]) {
    assert.equal(highlight(parts, pattern).map((part) => part.text).join(''), 'abcdef', String(pattern));
  }
  assert.deepEqual(highlight(parts, /ab|c/g).filter((part) => part.hit).map((part) => part.text).join(''), 'abc');
});

test('lines that come again after a reconnect are told from new ones', () => {
  assert.equal(overlap(['a', 'b', 'c'], ['b', 'c', 'd']), 2);
  assert.equal(overlap(['a', 'b', 'c'], ['a', 'b', 'c']), 3);
  assert.equal(overlap(['b', 'c'], ['a', 'b', 'c']), 0);
  assert.equal(overlap(['a', 'b'], ['x', 'y']), 0);
  assert.equal(overlap([], ['x']), 0);
});

test('lines are bounded by number and by characters', () => {
  const model = new LogModel();
  model.add('app', numbers(1, KEEP_LINES + 10));
  assert.equal(model.entries.length, KEEP_LINES);
  assert.equal(model.entries[0].text, 'line 11');
  model.clear();
  const big = 'x'.repeat(64 * 1024);
  for (let at = 0; at < 300; at += 1) model.add('app', [big]);
  assert.equal(model.entries.length, KEEP_CHARS / big.length);
});

test('a pause changes nothing on the page and loses no line', () => {
  const model = new LogModel();
  model.add('app', ['before']);
  model.pause();
  model.add('app', numbers(1, 100));
  assert.deepEqual(texts(model.entries), ['before']);
  assert.equal(model.waiting, 100);
  model.resume();
  assert.deepEqual(texts(model.entries), ['before', ...numbers(1, 100)]);
  assert.equal(model.waiting, 0);
});

test('what does not fit into a long pause is counted and marked', () => {
  const model = new LogModel();
  model.pause();
  model.add('app', numbers(1, KEEP_LINES));
  model.add('app', ['a', 'b']);
  assert.equal(model.waiting, KEEP_LINES + 2);
  model.resume();
  assert.equal(model.entries.length, KEEP_LINES);
  assert.equal(model.entries[0].text, 'skipped 3 lines during the pause');
  assert.equal(model.entries[1].text, 'line 4');
  assert.equal(model.entries.at(-1).text, 'b');
});

test('numbers of entries rise through pauses and marks', () => {
  const model = new LogModel();
  model.add('app', ['a']);
  model.mark('app', 'rotated', 'rotated');
  model.pause();
  model.add('app', ['b', 'c']);
  model.resume();
  model.add('app', ['d']);
  const ids = model.entries.map((entry) => entry.id);
  assert.deepEqual(ids, [...new Set(ids)].sort((one, other) => one - other));
});

function follow() {
  const clock = new FakeClock();
  const net = fakeSockets();
  const env = { WebSocket: net.WebSocket, now: clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, random: () => 0.5 };
  const model = new LogModel();
  const follower = new Follower({ name: 'a b', url: 'ws://host/logs/a%20b', model, onChange: () => {}, env });
  follower.start();
  net.last.accept();
  net.last.say({ ev: 'log.open', source: 'a b' });
  const again = () => {
    net.last.end();
    clock.pass(BACKOFF_FIRST_MS);
    net.last.accept();
    net.last.say({ ev: 'log.open', source: 'a b' });
  };
  return { clock, net, model, follower, again };
}

test('a follower asks for heartbeats and answers them', () => {
  const { net } = follow();
  assert.equal(net.last.url, `ws://host/logs/a%20b?n=${BACKLOG_LINES}&hb=20`);
  net.last.say({ ev: 'hb' });
  assert.deepEqual(net.last.sent, [{ op: 'hb' }]);
});

test('lines, skips and what happens to the file are shown in order', () => {
  const { net, model } = follow();
  net.last.say({ ev: 'log', lines: ['one', 'two'] });
  net.last.say({ ev: 'log.skip', lines: 1200 });
  net.last.say({ ev: 'log.file', what: 'truncated' });
  net.last.say({ ev: 'log.new-kind' });
  net.last.say({ ev: 'log', lines: ['three'] });
  assert.deepEqual(texts(model.entries), ['one', 'two', 'skipped 1200 lines: this page was too slow', 'the file was truncated', 'three']);
});

test('after a reconnect the repeated lines are left out and the break is marked', () => {
  const { clock, net, model, again } = follow();
  net.last.say({ ev: 'log', lines: ['one', 'two', 'three'] });
  again();
  net.last.say({ ev: 'log', lines: ['one', 'two'] });
  net.last.say({ ev: 'log', lines: ['three', 'four'] });
  clock.pass(SETTLE_MS);
  net.last.say({ ev: 'log', lines: ['five'] });
  assert.deepEqual(texts(model.entries), ['one', 'two', 'three', 'reconnected', 'four', 'five']);
});

test('when nothing repeats after a reconnect the mark says that lines may be missing', () => {
  const { net, model, again } = follow();
  net.last.say({ ev: 'log', lines: ['one'] });
  again();
  net.last.say({ ev: 'log', lines: numbers(1, BACKLOG_LINES) });
  assert.equal(model.entries[1].text, 'reconnected; lines may be missing here');
  assert.equal(model.entries.length, 2 + BACKLOG_LINES);
});

test('a mark that comes during the wait after a reconnect ends it', () => {
  const { net, model, again } = follow();
  net.last.say({ ev: 'log', lines: ['one'] });
  again();
  net.last.say({ ev: 'log', lines: ['one', 'two'] });
  net.last.say({ ev: 'log.file', what: 'rotated' });
  assert.deepEqual(texts(model.entries), ['one', 'reconnected', 'two', 'the file was rotated']);
});

test('a connection that breaks during the wait loses nothing', () => {
  const { clock, net, model, again } = follow();
  net.last.say({ ev: 'log', lines: ['one'] });
  again();
  net.last.say({ ev: 'log', lines: ['one', 'two'] });
  again();
  net.last.say({ ev: 'log', lines: ['one', 'two', 'three'] });
  clock.pass(SETTLE_MS);
  assert.deepEqual(texts(model.entries).filter((text) => !text.startsWith('reconnected')), ['one', 'two', 'three']);
});

test('a stopped follower is quiet', () => {
  const { clock, net, follower } = follow();
  follower.stop();
  assert.equal(net.last.closed.code, 1000);
  assert.equal(clock.pending, 0);
});

test('a source that has ended says so once and is not asked for again', () => {
  const { clock, net, model, follower } = follow();
  net.last.say({ ev: 'log', lines: ['one'] });
  assert.equal(follower.ended, false);
  net.last.end(1000, 'the log has ended');
  clock.pass(10 * BACKOFF_CAP_MS);
  follower.wake();
  assert.equal(follower.ended, true);
  assert.equal(net.sockets.length, 1);
  assert.deepEqual(texts(model.entries), ['one', 'the log has ended']);
});

test('a source that was lost or refused has not ended', () => {
  for (const code of [1001, 1006, 1003]) {
    const { net, follower } = follow();
    net.last.end(code);
    assert.equal(follower.ended, false, String(code));
  }
});

const SOURCES = Array.from({ length: FOLLOWED_FIRST + 2 }, (_, at) => (at === 1 ? 'a b/ü' : `s${at}`));

test('the address names the sources: by query, by path, or the first ones', () => {
  const wanted = (pathname, search = '') => wantedSources({ pathname, search }, SOURCES);
  assert.deepEqual(wanted('/logs'), SOURCES.slice(0, FOLLOWED_FIRST));
  assert.deepEqual(wanted('/'), SOURCES.slice(0, FOLLOWED_FIRST));
  assert.deepEqual(wanted('/logs/s9'), ['s9']);
  assert.deepEqual(wanted(`/logs/${encodeURIComponent('a b/ü')}`), ['a b/ü']);
  assert.deepEqual(wanted('/logs/nosuch'), []);
  assert.deepEqual(wanted('/logs', '?source=s2&source=s0&source=x'), ['s0', 's2']);
  assert.deepEqual(wanted('/logs', '?source='), []);
  assert.deepEqual(wanted('/logs/%ff'), SOURCES.slice(0, FOLLOWED_FIRST));
});

test('the address that is made from a view leads back to it', () => {
  for (const pathname of ['/', '/logs', '/logs/s9']) {
    for (const followed of [[], ['s9'], ['s0', 's9'], SOURCES.slice(0, FOLLOWED_FIRST), SOURCES]) {
      const url = new URL(addressOf(pathname, SOURCES, followed, 'x&y'), 'http://host');
      assert.deepEqual(wantedSources(url, SOURCES), followed, `${pathname} ${followed}`);
      assert.equal(url.searchParams.get('q'), 'x&y');
    }
  }
  assert.equal(addressOf('/logs/s9', SOURCES, ['s9'], ''), '/logs/s9');
  assert.equal(addressOf('/logs/s9', SOURCES, ['s0'], ''), '/logs?source=s0');
});
