// npm's `ws` as the client of `fdx echo` and `fdx serve`.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { listen } from './lib/process.mjs';
import { dial, refused, within } from './lib/ws.mjs';

/** The places that send everything back, with the biggest message that this test sends there. */
const ECHOES = [
  { place: 'fdx echo', biggest: 16 << 20, url: async (t) => (await listen(t, 'echo')).ws },
  { place: '/echo of fdx serve', biggest: 60_000, url: async (t) => `${(await listen(t, 'serve')).ws}/echo` },
];

for (const { place, biggest, url } of ECHOES) {
  test(`${place} sends every message back as what it was`, async (t) => {
    const peer = await dial(t, await url(t));
    for (const text of ['', 'hello', 'übergröße, 你好, 👋🏽', '\u0000\u{fffe}\ufeff', 'x'.repeat(125), 'x'.repeat(126), 'y'.repeat(biggest)]) {
      assert.equal(await peer.ask(text), text);
    }
    for (const size of [0, 1, 125, 126, 1000, 65535, 65536, biggest].filter((size) => size <= biggest)) {
      const data = randomBytes(size);
      assert.deepEqual(await peer.ask(data), data);
    }
    assert.equal((await peer.close(1000, 'done')).code, 1000);
  });

  test(`${place} joins fragments and answers a ping between them`, async (t) => {
    const peer = await dial(t, await url(t));
    const pong = within(new Promise((resolve) => peer.socket.once('pong', resolve)), 'a pong');
    peer.socket.send('one, ', { fin: false });
    peer.socket.ping('between');
    peer.socket.send('two, ', { fin: false });
    peer.socket.send('three', { fin: true });
    assert.equal((await pong).toString(), 'between');
    assert.equal(await peer.next(), 'one, two, three');
  });

  test(`${place} keeps the order of a thousand messages that were sent at once`, async (t) => {
    const peer = await dial(t, await url(t));
    const sent = Array.from({ length: 1000 }, (_, n) => `message ${n}`);
    for (const message of sent) peer.socket.send(message);
    for (const message of sent) assert.equal(await peer.next(), message);
  });

  for (const code of [1000, 1001, 3000, 4999]) {
    test(`${place} answers a close ${code} with the same code`, async (t) => {
      const peer = await dial(t, await url(t));
      assert.equal((await peer.close(code, 'Goodbye, server!')).code, code);
    });
  }
}

test('the hub works with a client that offers compression, without it', async (t) => {
  const { ws } = await listen(t, 'serve');
  const peer = await dial(t, `${ws}/echo`, [], { perMessageDeflate: true });
  assert.equal(peer.socket.extensions, '');
  assert.equal(await peer.ask('plain'), 'plain');
});

test('fdx echo says in its log how a connection ended, with the code and reason of the peer', async (t) => {
  const echo = await listen(t, 'echo');
  const peer = await dial(t, echo.ws);
  await peer.close(1000, 'Goodbye, server!');
  const line = await echo.match(/^.*Goodbye, server!.*$/m);
  assert.match(line[0], /1000/);
});

test('fdx echo answers an empty close with an empty close', async (t) => {
  const peer = await dial(t, (await listen(t, 'echo')).ws);
  assert.deepEqual(await peer.close(), { code: 1005, reason: '' });
});

test('fdx echo picks the first subprotocol of the client that it knows', async (t) => {
  const { ws } = await listen(t, 'echo', '--subprotocol', 'superchat', '--subprotocol', 'chat');
  assert.equal((await dial(t, ws, ['unknown', 'chat', 'superchat'])).socket.protocol, 'chat');
});

test('a message over the limit of fdx echo ends the connection with 1009, and the next client is served', async (t) => {
  const { ws } = await listen(t, 'echo', '--max-message', '1000');
  const peer = await dial(t, ws);
  assert.equal(await peer.ask('x'.repeat(1000)), 'x'.repeat(1000));
  peer.socket.send('x'.repeat(1001));
  assert.equal((await peer.end()).code, 1009);
  assert.equal(await (await dial(t, ws)).ask('next'), 'next');
});

test('everybody gets 1001 when the server is told to go, and it goes well', async (t) => {
  for (const [command, path] of [['echo', ''], ['serve', '/echo'], ['serve', '/ws'], ['serve', '/ws?mode=text']]) {
    const server = await listen(t, command);
    const peer = await dial(t, server.ws + path);
    server.signal('SIGTERM');
    assert.equal((await peer.end()).code, 1001, `${command} ${path}`);
    assert.deepEqual(await server.exit(), { code: 0, signal: null });
  }
});

test('plain JSON: everybody gets the object, the sender too, with its strings unchanged', async (t) => {
  const { ws } = await listen(t, 'serve');
  const [ana, bo] = [await dial(t, `${ws}/ws`), await dial(t, `${ws}/ws`)];
  const said = { email: 'ana@example.com', username: 'Ana <b>', message: ' <script>alert("x")</script> 👋 & \\ \u2028\n' };
  ana.socket.send(JSON.stringify(said));
  assert.deepEqual(await ana.json(), said);
  assert.deepEqual(await bo.json(), said);
});

test('plain JSON: missing strings are empty and other keys are dropped', async (t) => {
  const { ws } = await listen(t, 'serve');
  const peer = await dial(t, `${ws}/ws`);
  peer.socket.send('{"message":"only this","email":null,"colour":"red"}');
  assert.deepEqual(await peer.json(), { email: '', username: '', message: 'only this' });
});

test('plain JSON: what is not an object of strings ends that client with 1007 and no other', async (t) => {
  const { ws } = await listen(t, 'serve');
  const watcher = await dial(t, `${ws}/ws`);
  for (const bad of ['{"message":', '[]', '"text"', '{"message":1}', '{"username":[]}', '']) {
    const peer = await dial(t, `${ws}/ws`);
    peer.socket.send(bad);
    const { code, reason } = await peer.end();
    assert.equal(code, 1007, bad);
    assert.notEqual(reason, '', bad);
  }
  watcher.socket.send('{"message":"still here"}');
  assert.equal((await watcher.json()).message, 'still here');
});

test('a binary message ends a chat connection with 1003', async (t) => {
  const { ws } = await listen(t, 'serve');
  for (const path of ['/ws', '/ws?mode=text']) {
    const peer = await dial(t, ws + path);
    peer.socket.send(Buffer.from('binary'));
    assert.equal((await peer.end()).code, 1003, path);
  }
});

test('a chat message over 64 KiB ends the connection with 1009', async (t) => {
  const { ws } = await listen(t, 'serve');
  for (const path of ['/ws', '/ws?mode=text']) {
    const peer = await dial(t, ws + path);
    peer.socket.send('x'.repeat(65 * 1024));
    assert.equal((await peer.end()).code, 1009, path);
  }
});

/** Lines of text mode, whose messages may share a frame. */
async function lines(peer, count) {
  const found = [];
  while (found.length < count) found.push(...(await peer.next()).split('\n'));
  return found;
}

test('text mode: every message goes to everybody in one order, several of them perhaps in one frame', async (t) => {
  const { ws } = await listen(t, 'serve');
  const peers = await Promise.all([1, 2, 3].map(() => dial(t, `${ws}/ws?mode=text`)));
  for (let n = 0; n < 100; n++) for (const [who, peer] of peers.entries()) peer.socket.send(`${who}:${n}`);
  const [first, ...others] = await Promise.all(peers.map((peer) => lines(peer, 300)));
  for (const other of others) assert.deepEqual(other, first);
  for (const who of peers.keys()) {
    const own = first.filter((line) => line.startsWith(`${who}:`));
    assert.deepEqual(own, Array.from({ length: 100 }, (_, n) => `${who}:${n}`));
  }
});

test('text mode: inner newlines become spaces and the ends are trimmed', async (t) => {
  const { ws } = await listen(t, 'serve');
  const peer = await dial(t, `${ws}/ws?mode=text`);
  assert.equal(await peer.ask('  two\nlines \n'), 'two lines');
});

test('one room serves JSON and text clients, each in its own form', async (t) => {
  const { ws } = await listen(t, 'serve');
  const [json, text] = [await dial(t, `${ws}/ws`), await dial(t, `${ws}/ws?mode=text`)];
  json.socket.send('{"username":"Ana","message":"hello"}');
  assert.equal(await text.next(), 'Ana: hello');
  assert.equal((await json.json()).message, 'hello');
  text.socket.send('hi');
  assert.deepEqual(await json.json(), { email: '', username: 'guest', message: 'hi' });
});

test('plain modes start at the live end unless history is asked for', async (t) => {
  const { ws } = await listen(t, 'serve');
  const first = await dial(t, `${ws}/ws?mode=text`);
  for (const text of ['one', 'two', 'three']) assert.equal(await first.ask(text), text);
  const late = await dial(t, `${ws}/ws?mode=text`);
  const curious = await dial(t, `${ws}/ws?mode=text&history=2`);
  assert.deepEqual(await lines(curious, 2), ['two', 'three']);
  first.socket.send('four');
  assert.equal(await late.next(), 'four');
});

test('rooms are apart', async (t) => {
  const { ws } = await listen(t, 'serve');
  const [red, blue] = [await dial(t, `${ws}/ws?mode=text&room=red`), await dial(t, `${ws}/ws?mode=text&room=blue`)];
  assert.equal(await red.ask('to red'), 'to red');
  assert.equal(await blue.ask('to blue'), 'to blue');
});

test('the subprotocol decides what /ws speaks', async (t) => {
  const { ws } = await listen(t, 'serve', '--plain', 'text');
  const plain = await dial(t, `${ws}/ws`);
  assert.equal(plain.socket.protocol, '');
  assert.equal(await plain.ask('text'), 'text');
  const chat = await dial(t, `${ws}/ws`, ['chat', 'superchat']);
  assert.equal(chat.socket.protocol, 'chat');
  assert.equal(JSON.parse(await chat.ask('{"message":"json"}')).message, 'json');
  const refusal = await refused(`${ws}/ws`, ['superchat']);
  assert.equal(refusal.status, 400);
  assert.match(refusal.body, /fdx\.v1\.json/);
});

test('fdx.v1.json: hello, join, send, and the message comes to the sender and to another member', async (t) => {
  const { ws } = await listen(t, 'serve');
  const members = [];
  for (const name of ['Ana', 'Bo']) {
    const peer = await dial(t, `${ws}/ws`, ['fdx.v1.json']);
    assert.equal(peer.socket.protocol, 'fdx.v1.json');
    peer.socket.send(JSON.stringify({ op: 'hello', id: 1, name }));
    const hello = await peer.json();
    assert.equal(hello.re, 1);
    assert.equal(hello.ok.user.name, name);
    peer.socket.send('{"op":"join","id":2,"room":"interop"}');
    await until(peer, (frame) => frame.re === 2 && frame.ok);
    members.push(peer);
  }
  members[0].socket.send('{"op":"send","id":3,"room":"interop","cid":"c1","body":"hello all"}');
  for (const peer of members) {
    const message = await until(peer, (frame) => frame.ev === 'msg');
    assert.equal(message.body, 'hello all');
    assert.equal(message.from.name, 'Ana');
    assert.equal(message.cid, 'c1');
  }
});

/** The next frame that `wanted` takes; others are passed over. */
async function until(peer, wanted) {
  for (;;) {
    const frame = await peer.json();
    if (wanted(frame)) return frame;
  }
}
