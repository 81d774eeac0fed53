// Chromium's own WebSocket against `fdx`: echoes, compressed or not, and codes and reasons both ways.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch, visit } from '../lib/chromium.mjs';
import { listen } from '../lib/process.mjs';
import { certificates } from '../lib/tls.mjs';

/** Runs in the page: sends each message, waits for its echo, closes, and tells what came. */
async function converse({ origin = location.origin.replace(/^http/, 'ws'), path = '/', messages, close }) {
  const socket = new WebSocket(origin + path);
  socket.binaryType = 'arraybuffer';
  const received = [];
  const ended = new Promise((resolve) => (socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean })));
  await new Promise((resolve) => (socket.onopen = resolve));
  for (const message of messages) {
    socket.send(typeof message === 'string' ? message : new Uint8Array(message));
    const next = new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(data)));
    const data = await Promise.race([next, ended.then(() => undefined)]);
    if (data !== undefined) received.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
  }
  if (close) socket.close(...close);
  return { received, extensions: socket.extensions, ...(await ended) };
}

/** Runs in the page: opens a connection and keeps the promise of its end. */
async function hold(path) {
  const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + path);
  globalThis.held = new Promise((resolve) => (socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean })));
  await new Promise((resolve) => (socket.onopen = resolve));
}

test('text and binary come back as what they were', async (t) => {
  const browser = await launch(t);
  const messages = ['', 'hello', 'übergröße 你好 👋🏽', 'x'.repeat(60_000), [], [0, 1, 255], Array(60_000).fill(7)];
  for (const [flags, extensions] of [
    [[], ''],
    [['--deflate'], 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
  ]) {
    const hub = await listen(t, 'serve', ...flags);
    const page = await visit(browser, hub.http);
    const seen = await page.evaluate(converse, { path: '/echo', messages, close: [1000, 'Goodbye, server!'] });
    assert.deepEqual(seen.received, messages);
    assert.equal(seen.code, 1000);
    assert.equal(seen.wasClean, true);
    assert.equal(seen.extensions, extensions);
    await hub.match(/1000.*Goodbye, server!/);
  }
});

test('with fdx echo compression is agreed on, and all comes back as what it was', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  // The page's own policy would keep it from dialling elsewhere.
  const page = await (await browser.newContext({ bypassCSP: true })).newPage();
  await page.goto(hub.http);
  const messages = ['', 'hello', 'hello', 'hello', 'übergröße 你好 👋🏽', 'x'.repeat(1 << 20), [], [0, 1, 255], Array(60_000).fill(7)];
  for (const [flags, extensions] of [
    [[], 'permessage-deflate; server_no_context_takeover; client_no_context_takeover'],
    [['--deflate-takeover'], 'permessage-deflate'],
    [['--no-deflate'], ''],
  ]) {
    const echo = await listen(t, 'echo', '--allow-origin', hub.http, ...flags);
    const seen = await page.evaluate(converse, { origin: echo.ws, messages: [...messages, ...messages], close: [1000] });
    assert.equal(seen.extensions, extensions);
    assert.deepEqual(seen.received, [...messages, ...messages]);
    assert.deepEqual([seen.code, seen.wasClean], [1000, true]);
  }
});

test('the code of the page comes back to it', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const page = await visit(browser, hub.http);
  for (const close of [[3000, 'unauthorized'], [4999, 'ü'.repeat(60)]]) {
    const seen = await page.evaluate(converse, { path: '/echo', messages: [], close });
    assert.deepEqual([seen.code, seen.wasClean], [close[0], true]);
    await hub.match(new RegExp(`${close[0]}.*${close[1]}`));
  }
  const empty = await page.evaluate(converse, { path: '/echo', messages: [], close: [] });
  assert.deepEqual([empty.code, empty.reason, empty.wasClean], [1005, '', true]);
});

test('the code and reason of the server reach the page', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const page = await visit(browser, hub.http);
  const bad = await page.evaluate(converse, { path: '/ws', messages: ['{"message":'] });
  assert.deepEqual([bad.code, bad.wasClean], [1007, true]);
  assert.notEqual(bad.reason, '');
  const binary = await page.evaluate(converse, { path: '/ws', messages: [[1, 2, 3]] });
  assert.deepEqual([binary.code, binary.wasClean], [1003, true]);
  await page.evaluate(hold, '/echo');
  hub.signal('SIGTERM');
  const { code, wasClean } = await page.evaluate(() => globalThis.held);
  assert.deepEqual([code, wasClean], [1001, true]);
});

test('the page and its connection work over wss', async (t) => {
  const { cert, key, spki } = await certificates(t);
  const hub = await listen(t, 'serve', '--tls-cert', cert, '--tls-key', key);
  const browser = await launch(t, [`--ignore-certificate-errors-spki-list=${spki}`]);
  const page = await visit(browser, hub.url);
  await page.locator('#banner[data-phase="ready"]').waitFor({ state: 'attached' });
  const seen = await page.evaluate(converse, { path: '/echo', messages: ['over TLS', [1, 2]], close: [1000] });
  assert.deepEqual(seen.received, ['over TLS', [1, 2]]);
});

test('a page of another origin is refused until it is allowed', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const page = await visit(browser, hub.http);
  /** Runs in the page: does a connection to `url` open? */
  const opens = (url) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.onopen = () => resolve(true);
      socket.onerror = () => resolve(false); // a connection that the policy forbids never gets a close
    });
  // The page's own policy would keep it from dialling elsewhere, so a document without one asks.
  const bare = await (await browser.newContext({ bypassCSP: true })).newPage();
  await bare.goto(hub.http);
  const strict = await listen(t, 'echo');
  const open = await listen(t, 'echo', '--allow-origin', hub.http);
  assert.equal(await bare.evaluate(opens, strict.ws), false);
  assert.equal(await bare.evaluate(opens, open.ws), true);
  assert.equal(await page.evaluate(opens, open.ws), false);
});
