// Chromium on the log page of `fdx tail` and `fdx serve --log`.
import assert from 'node:assert/strict';
import { appendFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, launch, visit } from '../lib/chromium.mjs';
import { ROOT, listen } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';
import { folder } from '../lib/tls.mjs';

const FOLDER = process.env.SCREENSHOTS ?? join(ROOT, '.check', 'screenshots');

/** The lines on the page, from the top. */
const lines = (page) => page.locator('#lines .line .text').allInnerTexts();

async function logFile(t, text) {
  const file = join(await folder(t), 'app.log');
  await writeFile(file, text);
  return file;
}

test('the page follows a file through a rotation, and shows each line once', async (t) => {
  const file = await logFile(t, 'one\ntwo\n');
  const [tail, browser] = [await listen(t, 'tail', file), await launch(t)];
  const page = await visit(browser, tail.http);
  await eventually(() => lines(page), ['one', 'two']);
  await appendFile(file, '<b>three</b>\n');
  await eventually(() => lines(page), ['one', 'two', '<b>three</b>']);
  await appendFile(file, 'last of the old\n');
  await rename(file, `${file}.1`);
  await writeFile(file, 'first of the new\n');
  await eventually(() => lines(page), ['one', 'two', '<b>three</b>', 'last of the old', 'first of the new']);
  assert.notEqual(await page.locator('#lines .log-mark').count(), 0);
  await appendFile(file, 'second of the new\n');
  await eventually(async () => (await lines(page)).at(-1), 'second of the new');
  assert.deepEqual(page.faults, []);
});

test('a viewer whose connection was cut gets the lines it missed, once', async (t) => {
  const file = await logFile(t, 'before\n');
  const [tail, browser] = [await listen(t, 'tail', file), await launch(t)];
  const network = await relay(t, tail.port);
  const page = await visit(browser, network.http);
  await eventually(() => lines(page), ['before']);
  network.cut();
  await page.locator('#banner:not([data-phase="ready"])').waitFor();
  await appendFile(file, 'missed 1\nmissed 2\n');
  network.restore();
  await eventually(() => lines(page), ['before', 'missed 1', 'missed 2']);
  await appendFile(file, 'after\n');
  await eventually(() => lines(page), ['before', 'missed 1', 'missed 2', 'after']);
});

test('filter, pause and clear do what they say', async (t) => {
  const file = await logFile(t, 'GET /a 200\nGET /b 500\nGET /c 200\n');
  const [tail, browser] = [await listen(t, 'tail', file), await launch(t)];
  const page = await visit(browser, tail.http);
  await page.locator('#filter').fill('500');
  await eventually(() => lines(page), ['GET /b 500']);
  await page.locator('#filter').fill('/[ac] 2/');
  await eventually(() => lines(page), ['GET /a 200', 'GET /c 200']);
  await page.locator('#filter').fill('');
  await page.locator('#pause').click();
  await appendFile(file, 'while paused\n');
  await page.locator('#pause:has-text("1 new")').waitFor();
  assert.equal((await lines(page)).length, 3);
  await page.locator('#pause').click();
  await eventually(async () => (await lines(page)).at(-1), 'while paused');
  await page.locator('#clear').click();
  await eventually(() => lines(page), []);
});

test('the page keeps a bounded number of lines', async (t) => {
  const file = await logFile(t, 'first\n');
  const [tail, browser] = [await listen(t, 'tail', file), await launch(t)];
  const page = await visit(browser, tail.http);
  await eventually(() => lines(page), ['first']);
  await appendFile(file, Array.from({ length: 6_000 }, (_, n) => `line ${n}\n`).join('') + 'last\n');
  await eventually(async () => (await lines(page)).at(-1), 'last');
  assert.ok((await lines(page)).length <= 5_000);
});

test('fdx serve shows its logs behind a link of the chat page', async (t) => {
  await mkdir(FOLDER, { recursive: true });
  const text = ['INFO starting', 'WARN slow client', '\u001b[31mERROR\u001b[0m something broke', 'x'.repeat(300)].join('\n');
  const file = await logFile(t, `${text}\n`);
  const [hub, browser] = [await listen(t, 'serve', '--log', `app=${file}`, '--log', `other=${file}`), await launch(t)];
  const page = await visit(browser, hub.http);
  await page.locator('#logs-link').click();
  await page.locator('#sources [data-source="app"]').waitFor();
  await eventually(async () => (await lines(page)).length, 8);
  await page.screenshot({ path: join(FOLDER, 'logs-light.png') });
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: join(FOLDER, 'logs-phone-dark.png') });
  assert.deepEqual(page.faults, []);
});

test('a log that has ended says so and is left alone', async (t) => {
  const [tail, browser] = [await listen(t, 'tail', '-'), await launch(t)];
  tail.write('one\n');
  const page = await visit(browser, tail.http);
  await eventually(() => lines(page), ['one']);
  tail.end('two\n');
  await page.locator('#lines .log-mark[data-mark="ended"]:has-text("the log has ended")').waitFor();
  await eventually(() => lines(page), ['one', 'two']);
  await page.locator('#sources [data-phase="ended"]').waitFor();
  assert.equal(await page.locator('#banner').isVisible(), false);
  await page.reload();
  await page.locator('#lines .log-mark[data-mark="ended"]').waitFor();
  assert.equal(await page.locator('#banner').isVisible(), false);
  assert.deepEqual(page.faults, []);
});

test('the address of one source shows that one', async (t) => {
  const [one, two] = [await logFile(t, 'from one\n'), await logFile(t, 'from two\n')];
  const [hub, browser] = [await listen(t, 'serve', '--log', `one=${one}`, '--log', `two=${two}`), await launch(t)];
  const page = await visit(browser, `${hub.http}/logs/two`);
  await eventually(() => lines(page), ['from two']);
  await page.locator('#sources [data-source="one"]').click();
  await eventually(async () => (await lines(page)).sort(), ['from one', 'from two']);
  assert.equal(new URL(page.url()).pathname, '/logs');
  await page.reload();
  await eventually(async () => (await lines(page)).sort(), ['from one', 'from two']);
  assert.deepEqual(page.faults, []);
});
