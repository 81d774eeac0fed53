// wss with a certificate authority of our own: our servers to `ws` and curl, our client to `ws`.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { connect, listen, run } from './lib/process.mjs';
import { certificates } from './lib/tls.mjs';
import { dial, serve } from './lib/ws.mjs';

test('a client that knows the authority talks to fdx echo and fdx serve over wss, another does not', async (t) => {
  const { ca, cert, key } = await certificates(t);
  for (const [command, path] of [['echo', ''], ['serve', '/echo']]) {
    const { url } = await listen(t, command, '--tls-cert', cert, '--tls-key', key);
    const wss = url.replace(/^http/, 'ws') + path;
    assert.match(wss, /^wss:/);
    const peer = await dial(t, wss, [], { ca: await readFile(ca) });
    const big = 'x'.repeat(60_000);
    assert.equal(await peer.ask('over TLS'), 'over TLS');
    assert.equal(await peer.ask(big), big);
    await assert.rejects(dial(t, wss), /self.signed|unable to (get|verify)|certificate/);
    assert.equal((await peer.close(1000, 'done')).code, 1000);
  }
});

test('curl fetches the page over https', async (t) => {
  const { ca, cert, key } = await certificates(t);
  const { url } = await listen(t, 'serve', '--tls-cert', cert, '--tls-key', key);
  const { stdout } = await run(t, 'curl', ['--silent', '--fail', '--max-time', '10', '--cacert', ca, `${url}/`]);
  assert.match(stdout, /<!doctype html>/i);
});

test('fdx connect trusts the authority of --ca, or anything with -k, and nothing else', async (t) => {
  const { ca, cert, key } = await certificates(t);
  const tls = { cert: await readFile(cert), key: await readFile(key) };
  const { url } = await serve(t, (peer) => peer.socket.on('message', (data, binary) => peer.socket.send(data, { binary })), { tls });
  for (const trust of [['--ca', ca], ['-k']]) {
    const client = await connect(t, [url, ...trust], 'secret\n');
    assert.equal(client.stdout, 'secret\n');
    assert.equal(client.result.code, 0);
  }
  const stranger = await connect(t, [url], 'secret\n');
  assert.notEqual(stranger.result.code, 0);
  assert.equal(stranger.stdout, '');
  assert.match(stranger.stderr, /certificate/i);
});

test('fdx connect checks that the certificate is for the name it dialled', async (t) => {
  const { ca, cert, key } = await certificates(t);
  const { port } = await listen(t, 'echo', '--tls-cert', cert, '--tls-key', key);
  assert.equal((await connect(t, [`wss://localhost:${port}`, '--ca', ca], 'hi\n')).stdout, 'hi\n');
  const wrong = await connect(t, [`wss://127.0.0.2:${port}`, '--ca', ca], 'hi\n');
  assert.notEqual(wrong.result.code, 0);
});

test('our client and our server meet over wss', async (t) => {
  const { ca, cert, key } = await certificates(t);
  const { url } = await listen(t, 'echo', '--tls-cert', cert, '--tls-key', key);
  const client = await connect(t, [url, '--ca', ca], 'one\ntwo\n');
  assert.equal(client.stdout, 'one\ntwo\n');
  assert.equal(client.result.code, 0);
});
