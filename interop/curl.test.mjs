// curl against `fdx echo` and `fdx serve`: the upgrade, and every refusal with its status, headers and sentence.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { listen, start } from './lib/process.mjs';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = createHash('sha1').update(`${KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
const UPGRADE = {
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': KEY,
};

/** Sends a request with curl and returns the answer. An upgraded connection is left as soon as its header is there. */
async function curl(t, url, headers, ...options) {
  const given = Object.entries(headers).flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
  const client = start(t, 'curl', ['--silent', '--show-error', '--include', '--no-buffer', '--max-time', '10', ...options, ...given, url]);
  client.end();
  await client.until(() => client.exited || /^HTTP\/1\.1 101[^]*\r\n\r\n/.test(client.stdout), 'answer');
  await client.stop();
  const [head, ...body] = client.stdout.split('\r\n\r\n');
  const [status, ...lines] = head.split('\r\n');
  const pairs = lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  return { status: Number(status.split(' ')[1]), headers: Object.fromEntries(pairs), body: body.join('\r\n\r\n') };
}

/** A connection option among the comma-separated ones of `Connection`. */
function connection({ headers }, option) {
  return (headers.connection ?? '').toLowerCase().split(/\s*,\s*/).includes(option);
}

const PLACES = [
  { command: 'echo', path: '/' },
  { command: 'echo', path: '/any/path?and=query' },
  { command: 'serve', path: '/echo' },
  { command: 'serve', path: '/ws' },
  { command: 'serve', path: '/ws?mode=text' },
];

for (const { command, path } of PLACES) {
  test(`fdx ${command} upgrades a request of curl for ${path}`, async (t) => {
    const { http } = await listen(t, command);
    const answer = await curl(t, http + path, UPGRADE);
    assert.equal(answer.status, 101);
    assert.equal(answer.headers['sec-websocket-accept'], ACCEPT);
    assert.equal(answer.headers.upgrade.toLowerCase(), 'websocket');
    assert.ok(connection(answer, 'upgrade'));
    assert.equal(answer.headers['sec-websocket-protocol'], undefined);
    assert.equal(answer.headers['sec-websocket-extensions'], undefined);
  });
}

const without = (name) => Object.fromEntries(Object.entries(UPGRADE).filter(([key]) => key !== name));
const REFUSALS = [
  { what: 'without a key', status: 400, headers: without('Sec-WebSocket-Key') },
  { what: 'with a key of 15 bytes', status: 400, headers: { ...UPGRADE, 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAA' } },
  { what: 'from a foreign origin', status: 403, headers: { ...UPGRADE, Origin: 'http://evil.example' } },
  { what: 'with the origin null', status: 403, headers: { ...UPGRADE, Origin: 'null' } },
  { what: 'by POST', status: 405, headers: UPGRADE, options: ['--request', 'POST'] },
  { what: 'without an upgrade', status: 426, headers: {} },
  { what: 'with version 25', status: 426, headers: { ...UPGRADE, 'Sec-WebSocket-Version': '25' } },
];

for (const { command, path } of [{ command: 'echo', path: '/' }, { command: 'serve', path: '/echo' }, { command: 'serve', path: '/ws' }]) {
  test(`fdx ${command} refuses on ${path} with a status, a sentence and the end of the connection`, async (t) => {
    const { http } = await listen(t, command);
    for (const { what, status, headers, options = [] } of REFUSALS) {
      await t.test(`a request ${what} is answered with ${status}`, async () => {
        const answer = await curl(t, http + path, headers, ...options);
        assert.equal(answer.status, status);
        assert.ok(connection(answer, 'close'), `Connection: ${answer.headers.connection}`);
        assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(answer.body));
        assert.match(answer.body, /\w+ \w+/);
        if (status === 405) assert.equal(answer.headers.allow, 'GET');
        if (status === 426) {
          assert.equal(answer.headers['sec-websocket-version'], '13');
          assert.equal(answer.headers.upgrade, 'websocket');
          assert.ok(connection(answer, 'upgrade'));
        }
      });
    }
    await t.test('and the next client is served', async () => {
      assert.equal((await curl(t, http + path, UPGRADE)).status, 101);
    });
  });
}

test('a 403 names the origin, the host and the flag that would allow it', async (t) => {
  for (const [command, path] of [['echo', '/'], ['serve', '/ws']]) {
    const { http, port } = await listen(t, command);
    const { body } = await curl(t, http + path, { ...UPGRADE, Origin: 'http://page.example:3000' });
    for (const part of ['http://page.example:3000', `127.0.0.1:${port}`, '--allow-origin']) {
      assert.ok(body.includes(part), `${part} in ${body}`);
    }
  }
});

test('an origin that was allowed, with or without a slash at its end, is accepted and no other', async (t) => {
  for (const flag of ['http://page.example:3000', 'http://page.example:3000/']) {
    const { http } = await listen(t, 'echo', '--allow-origin', flag);
    assert.equal((await curl(t, http, { ...UPGRADE, Origin: 'http://page.example:3000' })).status, 101);
    assert.equal((await curl(t, http, { ...UPGRADE, Origin: 'http://page.example' })).status, 403);
    assert.equal((await curl(t, http, { ...UPGRADE, Origin: 'http://evil-page.example:3000' })).status, 403);
  }
});

test('fdx serve on loopback refuses the host names of others, which is how DNS rebinding looks', async (t) => {
  const { http, port } = await listen(t, 'serve');
  for (const path of ['/', '/ws', '/echo']) {
    assert.equal((await curl(t, http + path, { ...UPGRADE, Host: `rebound.example:${port}` })).status, 421, path);
  }
  assert.equal((await curl(t, `${http}/echo`, { ...UPGRADE, Host: `localhost:${port}` })).status, 101);
});

test('fdx serve answers /healthz, and its page carries a strict content policy', async (t) => {
  const { http } = await listen(t, 'serve');
  assert.equal((await curl(t, `${http}/healthz`, {})).status, 200);
  const page = await curl(t, `${http}/`, {});
  assert.equal(page.status, 200);
  assert.match(page.headers['content-type'], /^text\/html/);
  const policy = page.headers['content-security-policy'];
  assert.match(policy, /default-src '(none|self)'/);
  assert.doesNotMatch(policy, /unsafe|\*|http:/);
});
