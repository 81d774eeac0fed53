// Chromium tabs that chat through `fdx serve`.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visitor } from '../lib/chat.mjs';
import { eventually, launch } from '../lib/chromium.mjs';
import { listen } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';

/** Says something in the home room, without a page. */
async function post(hub, body) {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${hub.http}/api/v1/rooms/general/messages`, { method: 'POST', headers, body: JSON.stringify({ body }) });
  assert.equal(answer.status, 201);
}

test('two tabs chat, and each message is on both pages once', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, hub.http)];
  await ana.name('Ana', 'ana@example.com');
  await bo.name('Bo');
  for (const visitor of [ana, bo]) await eventually(() => visitor.people(), ['Ana', 'Bo']);
  await ana.say('hello');
  await bo.sees(['hello']);
  await bo.say('hello yourself');
  for (const visitor of [ana, bo]) await visitor.sees(['hello', 'hello yourself']);
  await bo.page.context().close();
  await eventually(() => ana.people(), ['Ana']);
  assert.deepEqual(ana.page.faults, []);
});

test('a tab whose connection was cut comes back, and nothing is lost, doubled or out of order', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, network.http)];
  await ana.name('Ana');
  await bo.name('Bo');
  await ana.say('before');
  await bo.sees(['before']);

  network.cut();
  await bo.disconnected();
  for (const n of [1, 2, 3]) await ana.say(`from Ana while Bo is away ${n}`);
  for (const n of [1, 2, 3]) await bo.say(`from Bo while away ${n}`);
  await eventually(() => bo.unsent(), 3);
  await ana.sees(['before', ...[1, 2, 3].map((n) => `from Ana while Bo is away ${n}`)]);
  await eventually(() => ana.unsent(), 0);

  network.restore();
  await bo.connected();
  const all = ['before'];
  for (const n of [1, 2, 3]) all.push(`from Ana while Bo is away ${n}`);
  for (const n of [1, 2, 3]) all.push(`from Bo while away ${n}`);
  for (const visitor of [ana, bo]) {
    await visitor.sees(all);
    await eventually(() => visitor.unsent(), 0);
  }
  await ana.say('after');
  await bo.sees([...all, 'after']);
  await bo.page.reload();
  await bo.sees([...all, 'after']);
});

test('a message whose acknowledgement was lost is sent again and yet shown once', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, network.http)];
  await ana.name('Ana');
  await bo.name('Bo');

  network.deafen();
  await bo.say('did you get this?');
  await ana.sees(['did you get this?']);
  await eventually(() => bo.unsent(), 1);
  network.cut();
  await bo.disconnected();
  network.restore();
  await bo.connected();
  await eventually(() => bo.unsent(), 0);
  await bo.say('and this?');
  for (const visitor of [ana, bo]) await visitor.sees(['did you get this?', 'and this?']);
});

test('the page comes back to a server that was started anew', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const ana = await Visitor.open(browser, network.http);
  await ana.name('Ana');
  hub.signal('SIGTERM');
  assert.equal((await hub.exit()).code, 0);
  await ana.disconnected();
  const again = await listen(t, 'serve', '--listen', `127.0.0.1:${hub.port}`);
  assert.equal(again.port, hub.port);
  await ana.connected();
  await ana.say('still me');
  await ana.sees(['still me']);
  await eventually(() => ana.unsent(), 0);
});

test('s31 a server killed and started again on its data: the page goes on where it was, with all that it missed', async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'fdx-data-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const serve = (listening) => listen(t, 'serve', '--data', data, '--listen', listening);
  const [hub, browser] = [await serve('127.0.0.1:0'), await launch(t)];
  const network = await relay(t, hub.port);
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, network.http)];
  await ana.name('Ana');
  await bo.name('Bo');
  await ana.say('before');
  await bo.sees(['before']);

  network.cut();
  await bo.disconnected();
  const missed = Array.from({ length: 60 }, (_, n) => `while Bo is away ${n}`); // more than a first join gets
  for (const body of missed) await post(hub, body);
  await ana.sees(['before', ...missed]);
  hub.signal('SIGKILL');
  await hub.exit();
  await ana.say('to a server that is gone');
  await serve(`127.0.0.1:${hub.port}`);
  network.restore();
  const all = ['before', ...missed, 'to a server that is gone'];
  for (const visitor of [ana, bo]) {
    await visitor.connected();
    await visitor.sees(all);
    await eventually(() => visitor.unsent(), 0);
    assert.deepEqual(await visitor.marks(), []);
    // A lost connection is told of by the browser itself.
    assert.deepEqual(visitor.page.faults.filter((fault) => !/WebSocket|ERR_|Failed to load/.test(fault)), []);
  }
});

test('the room is readable before a name is chosen, and the first message asks for one', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, hub.http)];
  await ana.name('Ana');
  await ana.say('anybody here?');
  await bo.sees(['anybody here?']);
  await bo.say('yes');
  await bo.page.locator('#name-dialog').waitFor();
  await bo.page.locator('#name-submit').click();
  await bo.page.locator('#name-error:not(:empty)').waitFor();
  await bo.page.locator('#name-input').fill('Bo');
  await bo.page.locator('#name-submit').click();
  await ana.sees(['anybody here?', 'yes']);
});

test('markup is shown as it was typed, blank messages are not sent, shortcodes become emoji', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const ana = await Visitor.open(browser, hub.http);
  await ana.name('<b>Ana</b>');
  const markup = '<img src=x onerror="document.title=1"><b>bold</b> &amp; <script>alert(1)</script>';
  await ana.say(markup);
  await ana.say('   ');
  await ana.say('well done :tada:');
  await ana.sees([markup, 'well done 🎉']);
  await eventually(() => ana.people(), ['<b>Ana</b>']);
  assert.deepEqual(ana.page.faults, []);
});

test('rooms have addresses and are apart', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const [red, blue] = [await Visitor.open(browser, `${hub.http}/r/red`), await Visitor.open(browser, `${hub.http}/r/blue`)];
  await red.name('Ana');
  await blue.name('Bo');
  await red.say('to red');
  await blue.say('to blue');
  await red.sees(['to red']);
  await blue.sees(['to blue']);
  await blue.page.goto(`${hub.http}/r/red`);
  await blue.sees(['to red']);
});

/** Another tab of the same visitor. */
async function tab(visitor, url) {
  const page = await visitor.page.context().newPage();
  await page.goto(url);
  const other = new Visitor(page);
  await other.connected();
  return other;
}

test('a name chosen in one tab is the name in every tab', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const first = await Visitor.open(browser, hub.http);
  await first.name('Ana', 'ana@example.com');
  const second = await tab(first, hub.http);
  await first.name('Anna', 'ana@example.com');
  await second.page.locator('#me bdi:text-is("Anna")').waitFor();
  await second.say('from the second tab');
  await first.sees(['from the second tab']);
  await eventually(() => first.page.locator('#log .author').allInnerTexts(), ['Anna']);
});

test('unsent messages and drafts survive a reload, and are sent once', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const [ana, bo] = [await Visitor.open(browser, hub.http), await Visitor.open(browser, network.http)];
  await bo.name('Bo');
  network.deafen();
  await bo.say('written, and never acknowledged');
  await ana.sees(['written, and never acknowledged']);
  await bo.say('second');
  await eventually(() => bo.unsent(), 2);
  await bo.page.locator('#composer-input').fill('half a thou');
  network.restore();
  await bo.page.reload();
  await bo.connected();
  assert.equal(await bo.page.locator('#composer-input').inputValue(), 'half a thou');
  await eventually(() => bo.unsent(), 0);
  for (const visitor of [ana, bo]) await visitor.sees(['written, and never acknowledged', 'second']);
  await bo.page.reload();
  await bo.sees(['written, and never acknowledged', 'second']);
  assert.equal(await bo.page.evaluate(() => localStorage.getItem('fdx.unsent')), '[]');
});

test('an address that cannot be a room says so and leads to the home room', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  for (const path of ['/r/a%2Fb', '/r/%ff', `/r/${'x'.repeat(65)}`]) {
    const ana = await Visitor.open(browser, hub.http + path);
    await ana.page.locator('#composer-error:has-text("names no room")').waitFor();
    assert.equal(new URL(ana.page.url()).pathname, '/');
    assert.equal(await ana.page.locator('#room-name').innerText(), 'general');
  }
});

test('a storage full of nonsense does not keep the page from working', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const ana = await Visitor.open(browser, hub.http);
  await ana.page.evaluate(() => {
    for (const key of ['rooms', 'unsent']) localStorage.setItem(`fdx.${key}`, '[null]');
    for (const key of ['user', 'guest']) localStorage.setItem(`fdx.${key}`, '{"name":5}');
    sessionStorage.setItem('fdx.drafts', '[null]');
  });
  const other = await tab(ana, hub.http);
  await other.name('Ana');
  await other.say('works');
  await other.sees(['works']);
});

test('a long message is folded, marks stay in their message, and a link shows where it leads', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const ana = await Visitor.open(browser, hub.http);
  await ana.name('Ana');
  await ana.say('above');
  await ana.say(`a${'\u0301'.repeat(3_000)}`);
  await ana.say('\u202esee https://example.com/gnp.exe');
  const long = 'all of it '.repeat(1_500).trim();
  await ana.say(long);
  await eventually(async () => (await ana.messages()).at(-1), long);
  const last = ana.page.locator('#log .message').last();
  const height = () => last.evaluate((element) => element.getBoundingClientRect().height);
  const folded = await height();
  assert.ok(folded < 400, `folded it is ${folded} high`);
  await last.locator('[data-unfold]').click();
  await eventually(async () => (await height()) > 2 * folded, true);
  await last.locator('[data-unfold]').click();
  await eventually(height, folded);
  assert.equal(await ana.page.locator('#log .message').nth(1).evaluate((element) => getComputedStyle(element).overflow), 'clip');
  const order = await ana.page.locator('#log a').evaluate((link) => {
    const range = document.createRange();
    const at = (index) => (range.setStart(link.firstChild, index), range.setEnd(link.firstChild, index + 1), range.getBoundingClientRect().left);
    return at(0) < at(8);
  });
  assert.ok(order, 'the address reads from left to right');
});

test('a server that ends the connection on purpose is not bothered until the user asks', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const page = await (await browser.newContext()).newPage();
  let connections = 0;
  await page.routeWebSocket(/\/ws/, (socket) => {
    connections += 1;
    if (connections > 1) socket.connectToServer();
    else void socket.close({ code: 1000, reason: 'closing time' });
  });
  await page.goto(hub.http);
  await page.locator('#banner[data-phase="ended"]:has-text("closing time")').waitFor();
  assert.equal(connections, 1);
  await page.locator('#retry-now').click();
  await page.locator('#banner[data-phase="ready"]').waitFor({ state: 'attached' });
  assert.equal(connections, 2);
});

test('where nothing can be kept, leaving with an unsent message is asked about', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const ana = await Visitor.open(browser, network.http);
  await ana.page.evaluate(() => (Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }));
  await ana.name('Ana');
  network.cut();
  await ana.disconnected();
  await ana.say('not sent yet');
  await eventually(() => ana.unsent(), 1);
  const asked = ana.page.waitForEvent('dialog');
  await ana.page.close({ runBeforeUnload: true });
  const dialog = await asked;
  assert.equal(dialog.type(), 'beforeunload');
  await dialog.dismiss();
  assert.equal(await ana.unsent(), 1);
});

test('an old unsent message is not sent by itself, and can be sent or discarded', async (t) => {
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  const network = await relay(t, hub.port);
  const ana = await Visitor.open(browser, network.http);
  await ana.name('Ana');
  network.cut();
  await ana.disconnected();
  for (const text of ['keep', 'drop']) await ana.say(text);
  await eventually(() => ana.unsent(), 2);
  await ana.page.evaluate(() => {
    const all = JSON.parse(localStorage.getItem('fdx.unsent'));
    localStorage.setItem('fdx.unsent', JSON.stringify(all.map((one) => ({ ...one, ts: one.ts - 2 * 60 * 60_000 }))));
  });
  network.restore();
  await ana.page.reload();
  await ana.connected();
  await eventually(() => ana.page.locator('#log .message[data-state="failed"]').count(), 2);
  await ana.page.locator('[data-discard]').last().click();
  await ana.sees(['keep']);
  await ana.page.locator('[data-retry]').click();
  await eventually(() => ana.unsent(), 0);
  const bo = await Visitor.open(browser, hub.http);
  await bo.sees(['keep']);
  assert.equal(await ana.page.evaluate(() => localStorage.getItem('fdx.unsent')), '[]');
});
