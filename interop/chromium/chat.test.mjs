// Chromium tabs that chat through `fdx serve`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Visitor } from '../lib/chat.mjs';
import { eventually, launch } from '../lib/chromium.mjs';
import { listen } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';

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
