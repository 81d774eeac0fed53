// npm's `ws` as a viewer of log files: `fdx tail` and the log sources of `fdx serve`.
import assert from 'node:assert/strict';
import { appendFile, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen } from './lib/process.mjs';
import { folder } from './lib/tls.mjs';
import { dial } from './lib/ws.mjs';

/** A log file with a few lines. */
async function logFile(t, text) {
  const file = join(await folder(t), 'app.log');
  await writeFile(file, text);
  return file;
}

/** The next `count` lines of a viewer in text mode, where each line is one message. */
async function next(viewer, count) {
  const lines = [];
  while (lines.length < count) lines.push(await viewer.next());
  return lines;
}

/** Everything until `count` lines were seen: lines as strings, other events as objects. */
async function events(viewer, count) {
  const seen = [];
  while (seen.filter((each) => typeof each === 'string').length < count) {
    const event = await viewer.json();
    seen.push(...(event.ev === 'log' ? event.lines : [event]));
  }
  return seen;
}

for (const [command, options] of [['tail', (file) => [file]], ['serve', (file) => ['--log', `app.log=${file}`]]]) {
  test(`fdx ${command} sends a file from its first line on and follows it, one text message per line`, async (t) => {
    const file = await logFile(t, 'one\ntwo\n');
    const { ws } = await listen(t, command, ...options(file));
    const viewer = await dial(t, `${ws}/logs/app.log?mode=text&n=all`);
    assert.deepEqual(await next(viewer, 2), ['one', 'two']);
    await appendFile(file, 'three\nhalf of ');
    assert.deepEqual(await next(viewer, 1), ['three']);
    await appendFile(file, 'four\n');
    assert.deepEqual(await next(viewer, 1), ['half of four']);
  });

  test(`fdx ${command} names its sources`, async (t) => {
    const { http } = await listen(t, command, ...options(await logFile(t, '')));
    const answer = await fetch(`${http}/api/v1/logs`);
    assert.deepEqual(await answer.json(), { sources: [{ name: 'app.log' }] });
  });
}

test('only the newest lines come first when so many are asked for', async (t) => {
  const file = await logFile(t, Array.from({ length: 500 }, (_, n) => `line ${n}\n`).join(''));
  const { ws } = await listen(t, 'tail', file);
  assert.deepEqual(await next(await dial(t, `${ws}/logs/app.log?mode=text&n=2`), 2), ['line 498', 'line 499']);
  assert.equal((await next(await dial(t, `${ws}/logs/app.log?mode=text&from=start`), 500))[0], 'line 0');
});

test('a rotated file is read to its end before the new one, without gap or repeat', async (t) => {
  const file = await logFile(t, 'old 1\n');
  const { ws } = await listen(t, 'tail', file);
  const viewer = await dial(t, `${ws}/logs/app.log?n=all`);
  assert.deepEqual(await events(viewer, 1), [{ ev: 'log.open', source: 'app.log' }, 'old 1']);
  await appendFile(file, 'old 2\n');
  await rename(file, `${file}.1`);
  await appendFile(`${file}.1`, 'old 3, after the rename\n');
  await writeFile(file, 'new 1\n');
  const seen = await events(viewer, 3);
  assert.deepEqual(seen.filter((each) => typeof each === 'string'), ['old 2', 'old 3, after the rename', 'new 1']);
  assert.ok(seen.some(({ ev, what }) => ev === 'log.file' && ['rotated', 'back'].includes(what)), JSON.stringify(seen));
});

test('a truncated file is announced and read from its start', async (t) => {
  const file = await logFile(t, 'a long first line\nand a second\n');
  const { ws } = await listen(t, 'tail', file);
  const viewer = await dial(t, `${ws}/logs/app.log?n=all`);
  await events(viewer, 2);
  await truncate(file, 0);
  const first = await viewer.json();
  assert.deepEqual(first, { ev: 'log.file', what: 'truncated' });
  await appendFile(file, 'fresh\n');
  assert.deepEqual(await events(viewer, 1), ['fresh']);
});

test('a file that is not there yet is waited for', async (t) => {
  const file = join(await folder(t), 'later.log');
  const { ws } = await listen(t, 'tail', file);
  const viewer = await dial(t, `${ws}/logs/later.log?mode=text&n=all`);
  await writeFile(file, 'here I am\n');
  assert.deepEqual(await next(viewer, 1), ['here I am']);
});

test('bad UTF-8 is shown safely and a very long line is cut', async (t) => {
  const file = await logFile(t, Buffer.concat([Buffer.from([0x61, 0xff, 0xc3, 0x0a]), Buffer.alloc(1 << 20, 'x'), Buffer.from('\nshort\n')]));
  const { ws } = await listen(t, 'tail', file);
  const [bad, long, short] = await next(await dial(t, `${ws}/logs/app.log?mode=text&n=all`), 3);
  assert.match(bad, /^a\ufffd+$/);
  assert.match(long, /^x+…\[cut \d+ bytes\]$/);
  assert.ok(Buffer.byteLength(long) <= 65 * 1024, `${long.length}`);
  assert.equal(short, 'short');
});

test('files of the same name get the names of their folders', async (t) => {
  const files = [await logFile(t, 'first\n'), await logFile(t, 'second\n')];
  const { ws, http } = await listen(t, 'tail', ...files);
  const { sources } = await (await fetch(`${http}/api/v1/logs`)).json();
  assert.equal(new Set(sources.map(({ name }) => name)).size, 2);
  const lines = [];
  for (const { name } of sources) {
    lines.push(...(await next(await dial(t, `${ws}/logs/${encodeURIComponent(name)}?mode=text&n=all`), 1)));
  }
  assert.deepEqual(lines, ['first', 'second']);
});

test('nothing but the named files is served, and /logs only where there are some', async (t) => {
  const file = await logFile(t, 'public\n');
  await writeFile(`${file}.secret`, 'secret\n');
  const { http } = await listen(t, 'serve', '--log', `app=${file}`);
  for (const path of ['app.log', 'app.log.secret', '..%2Fapp.log.secret', encodeURIComponent(file)]) {
    assert.equal((await fetch(`${http}/logs/${path}`)).status, 404, path);
  }
  assert.equal((await fetch(`${http}/logs`)).status, 200);
  const bare = await listen(t, 'serve');
  assert.equal((await fetch(`${bare.http}/logs`)).status, 404);
});
