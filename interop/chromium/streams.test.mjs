// Chromium's own EventSource: to it any status but 200 ends a stream for good.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, launch, visit } from '../lib/chromium.mjs';
import { freePort, listen } from '../lib/process.mjs';
import { caddy, haproxy, nginx } from '../lib/relays.mjs';
import { certificates, folder } from '../lib/tls.mjs';

/** Runs in the page: follows a room, and remembers what comes. */
function follow(path) {
  const source = new EventSource(path);
  const seen = { opened: 0, bodies: [], state: () => source.readyState };
  source.onopen = () => (seen.opened += 1);
  source.addEventListener('msg', ({ data }) => seen.bodies.push(JSON.parse(data).body));
  globalThis.seen = seen;
}

async function say(hub, body) {
  const message = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ body }) };
  assert.equal((await fetch(`${hub.http}/api/v1/rooms/general/messages`, message)).status, 201);
}

for (const relay of [nginx, haproxy, caddy]) {
  test(`s30 behind ${relay.name} a stream of events goes on where it was when the hub restarts, and when it crashes`, async (t) => {
    const tls = await certificates(t);
    const at = ['--listen', `127.0.0.1:${await freePort()}`, '--data', await folder(t)];
    const begin = () => listen(t, 'serve', ...at, '--trusted-proxy', '127.0.0.1', '--open');
    let hub = await begin();
    const port = await relay(t, hub, tls);
    const browser = await launch(t, [`--ignore-certificate-errors-spki-list=${tls.spki}`]);
    const page = await visit(browser, `https://localhost:${port}/healthz`);
    await page.evaluate(follow, '/sse/general');
    const opened = () => page.evaluate(() => globalThis.seen.opened);
    const said = ['one'];
    await say(hub, 'one');
    await eventually(() => page.evaluate(() => globalThis.seen.bodies), said);
    for (const [signal, body] of [['SIGTERM', 'two'], ['SIGKILL', 'three']]) {
      const before = await opened();
      hub.signal(signal);
      await hub.exit();
      // It comes back to the relay, behind which nobody is.
      await eventually(async () => (await opened()) > before, true);
      hub = await begin();
      await say(hub, body);
      said.push(body);
      await eventually(() => page.evaluate(() => globalThis.seen.bodies), said);
    }
    assert.equal(await page.evaluate(() => globalThis.seen.state()), 1);
  });
}
