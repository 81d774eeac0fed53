// The samples in packaging/ for proxies in front of the hub, as Debian's nginx, haproxy and Caddy read them: TLS ends there.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { FDX, ROOT, listen, run, soon } from './lib/process.mjs';
import { caddy, haproxy, nginx, sample } from './lib/relays.mjs';
import { certificates, folder } from './lib/tls.mjs';
import { dial, within } from './lib/ws.mjs';

/** The head of an answer, and the body as it comes. */
async function ask(t, port, path, ca, headers = {}) {
  const asked = request({ host: 'localhost', port, path, ca, headers: { host: `localhost:${port}`, ...headers } });
  t.after(() => asked.destroy());
  asked.end();
  const [answer] = await soon(asked, 'response');
  return answer;
}

for (const relay of [nginx, haproxy, caddy]) {
  test(`${relay.name}: WebSockets, Origin, streams of events`, async (t) => {
    const tls = await certificates(t);
    const ca = await readFile(tls.ca);
    const config = join(await folder(t), 'fdx.toml');
    await writeFile(config, '[limits]\nfollowers = 1\n');
    const hub = await listen(t, 'serve', '--config', config, '--trusted-proxy', '127.0.0.1', '--open');
    const port = await relay(t, hub, tls);
    const own = `https://localhost:${port}`;

    const echo = await dial(t, `wss://localhost:${port}/echo`, [], { ca, origin: own });
    const big = 'x'.repeat(200_000);
    assert.equal(await echo.ask('through'), 'through');
    assert.equal(await echo.ask(big), big);
    assert.equal((await echo.close(1000, 'done')).code, 1000);

    // The relay's own page may, others not; and not the same name without TLS, which the relay says it has.
    for (const origin of ['https://evil.example', `http://localhost:${port}`, 'https://localhost']) {
      await assert.rejects(dial(t, `wss://localhost:${port}/echo`, [], { ca, origin }), /403/, origin);
    }

    const stream = await ask(t, port, '/sse/general', ca, { accept: 'text/event-stream' });
    assert.equal(stream.statusCode, 200);
    assert.match(stream.headers['content-type'], /^text\/event-stream/);
    let events = '';
    stream.setEncoding('utf8').on('data', (text) => (events += text));
    const chat = await dial(t, `wss://localhost:${port}/ws`, [], { ca, origin: own });
    chat.socket.send('{"email":"","username":"Ana","message":"at once"}');
    const arrives = async () => {
      while (!events.includes('at once')) await soon(stream, 'data');
    };
    await within(arrives(), 'the message as an event');

    const metrics = await ask(t, port, '/metrics', ca);
    assert.equal(metrics.statusCode, 404);
    const page = await ask(t, port, '/', ca);
    assert.equal(page.statusCode, 200);

    // The hub's own refusals are passed on. Where there is no hub, who follows is told when to come back.
    const refused = await ask(t, port, '/sse/general', ca);
    assert.deepEqual([refused.statusCode, refused.headers['content-type']], [503, 'application/problem+json']);
    await hub.stop();
    const gone = await ask(t, port, '/', ca);
    assert.ok(gone.statusCode >= 502, `${gone.statusCode}`);
    const again = await ask(t, port, '/sse/general', ca);
    assert.equal(again.statusCode, 200);
    assert.match(again.headers['content-type'], /^text\/event-stream/);
    assert.equal(again.headers['cache-control'], 'no-store');
    assert.equal(again.headers['access-control-allow-origin'], '*');
    assert.equal(Buffer.concat(await again.toArray()).toString(), 'retry: 3000\n\n');
  });
}

// Caddy waits for ever unless it is told otherwise.
for (const relay of [nginx, haproxy]) {
  test(`s17_${relay.name}_keeps_an_idle_connection_that_the_hub_pings`, async (t) => {
    const tls = await certificates(t);
    const ca = await readFile(tls.ca);
    const hub = await listen(t, 'serve', '--ping-interval', '0.4');
    const port = await relay(t, hub, tls, {
      nginx: [['_timeout 90s', '_timeout 4s']],
      haproxy: [['timeout tunnel 90s', 'timeout tunnel 4s']],
    });
    const echo = await dial(t, `wss://localhost:${port}/echo`, [], { ca, origin: `https://localhost:${port}` });
    let pings = 0;
    const many = new Promise((resolve) => echo.socket.on('ping', () => ++pings === 30 && resolve()));
    await within(many, 'thirty pings, three times as long as the relay waits');
    assert.equal(await echo.ask('still here'), 'still here');

    // Without them it would not.
    const silent = await listen(t, 'serve', '--ping-interval', '0');
    const other = await relay(t, silent, tls, {
      nginx: [['_timeout 90s', '_timeout 4s']],
      haproxy: [['timeout tunnel 90s', 'timeout tunnel 4s']],
    });
    const idle = await dial(t, `wss://localhost:${other}/echo`, [], { ca, origin: `https://localhost:${other}` });
    assert.equal((await within(idle.closed, 'the end of an idle connection')).code, 1006);
  });
}

test('the settings that a package brings are right', async (t) => {
  // The secret is made when it is installed.
  const place = '/etc/fullduplex/secret';
  const secret = join(await folder(t), 'secret');
  await writeFile(secret, 'x'.repeat(64), { mode: 0o600 });
  const config = join(await folder(t), 'fdx.toml');
  const check = async (from, to) => {
    await writeFile(config, await sample('etc/fdx.toml', [[from, to]]));
    return run(t, FDX, ['config', 'check', config]);
  };
  assert.equal((await check(place, secret)).stdout, 'ok\n');
  // Nobody is let in by forgetting to say who may.
  await assert.rejects(check(`auth-secret = "${place}"`, ''), /anybody who reaches chat.example.com/);
});

test('systemd reads the unit without a word', async (t) => {
  // It looks for the program that is to be started.
  const path = join(await folder(t), 'fullduplex.service');
  const unit = await readFile(`${ROOT}packaging/systemd/fullduplex.service`, 'utf8');
  assert.match(unit, /\/usr\/bin\/fdx/);
  await writeFile(path, unit.replaceAll('/usr/bin/fdx', FDX));
  const judged = await run(t, 'systemd-analyze', ['verify', '--man=no', path]);
  assert.equal(judged.output, '');
});
