// npm's `ws` as the server of `fdx connect`.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { FDX, connect, listen, soon, start } from './lib/process.mjs';
import { serve } from './lib/ws.mjs';

test('each line in is a text message, each message out is a line, and the end is a clean 1000', async (t) => {
  const ends = [];
  const { url } = await serve(t, (peer) => {
    peer.socket.on('message', (data, binary) => peer.socket.send(data, { binary }));
    ends.push(peer.closed);
  });
  const client = await connect(t, [url], 'hello\nübergröße 你好 👋🏽\n\nlast without a line end');
  assert.equal(client.stdout, 'hello\nübergröße 你好 👋🏽\n\nlast without a line end\n');
  assert.deepEqual(client.result, { code: 0, signal: null });
  assert.equal((await ends[0]).code, 1000);
});

test('ten thousand lines come back in order', async (t) => {
  const { url } = await serve(t, (peer) => peer.socket.on('message', (data, binary) => peer.socket.send(data, { binary })));
  const lines = Array.from({ length: 10_000 }, (_, n) => `line ${n}\n`).join('');
  assert.equal((await connect(t, [url], lines)).stdout, lines);
});

test('the server’s code and reason are printed', async (t) => {
  const { url } = await serve(t, (peer) => peer.close(1000, 'Goodbye, client!'));
  const client = start(t, FDX, ['connect', url]); // its input stays open: the server ends it
  await client.match(/closed 1000 "Goodbye, client!" by peer/);
  assert.deepEqual(await client.exit(), { code: 0, signal: null });
});

test('a close that is no success is printed and makes the exit code say so', async (t) => {
  const { url } = await serve(t, (peer) => peer.close(4001, 'no such room'));
  const client = start(t, FDX, ['connect', url]);
  await client.match(/closed 4001 "no such room" by peer/);
  assert.equal((await client.exit()).signal, null);
});

test('a connection that is cut without a close is no success', async (t) => {
  const { url } = await serve(t, (peer) => peer.socket.terminate());
  const client = start(t, FDX, ['connect', url]);
  assert.notEqual((await client.exit()).code, 0);
});

test('fragments, and pings between them, arrive as one message', async (t) => {
  const pongs = [];
  const { url } = await serve(t, (peer) => {
    peer.socket.on('pong', (data) => pongs.push(data.toString()));
    peer.socket.send('and a ', { fin: false });
    peer.socket.ping('still there?');
    peer.socket.send('happy new ', { fin: false });
    peer.socket.send('year!', { fin: true });
    peer.socket.once('pong', () => peer.close(1000, 'bye'));
  });
  const client = start(t, FDX, ['connect', url]);
  assert.equal((await client.exit()).code, 0);
  assert.match(client.stdout, /^and a happy new year!$/m);
  assert.deepEqual(pongs, ['still there?']);
});

test('headers, origin and subprotocol reach the server', async (t) => {
  const seen = [];
  const { url } = await serve(
    t,
    (peer, request) => {
      seen.push(request.headers, peer.socket.protocol);
      peer.close(1000, 'seen');
    },
    { handleProtocols: (offered) => [...offered][1] },
  );
  const options = ['-H', 'X-Token: a b', '--origin', 'http://example.com', '--subprotocol', 'one', '--subprotocol', 'two'];
  const client = start(t, FDX, ['connect', url, ...options]);
  assert.equal((await client.exit()).code, 0);
  const [headers, protocol] = seen;
  assert.equal(headers['x-token'], 'a b');
  assert.equal(headers.origin, 'http://example.com');
  assert.equal(protocol, 'two');
});

test('a server that answers with a status is one clear line and a failure', async (t) => {
  const { url } = await serve(t, () => {}, { verifyClient: (_, done) => done(false, 401, 'who are you?') });
  const client = await connect(t, [url], 'hello\n');
  assert.notEqual(client.result.code, 0);
  assert.match(client.stderr, /401/);
  assert.equal(client.stdout, '');
});

test('a server that is not there is one clear line and a failure', async (t) => {
  const nobody = createServer().listen(0, '127.0.0.1');
  await soon(nobody, 'listening');
  const { port } = nobody.address();
  nobody.close();
  await soon(nobody, 'close');
  const client = await connect(t, [`ws://127.0.0.1:${port}`]);
  assert.notEqual(client.result.code, 0);
  assert.match(client.stderr, /^.*refused.*\n$/i);
});

test('our client talks to our servers', async (t) => {
  const [echo, hub] = [await listen(t, 'echo'), await listen(t, 'serve')];
  assert.equal((await connect(t, [echo.ws], 'to echo\n')).stdout, 'to echo\n');
  assert.equal((await connect(t, [`${hub.ws}/echo`], 'to the hub\n')).stdout, 'to the hub\n');
  assert.equal((await connect(t, [`${hub.ws}/ws?mode=text`], 'to everybody\n')).stdout, 'to everybody\n');
});
