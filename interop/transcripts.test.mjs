// The handshakes that the tutorials print, byte for byte against `fdx echo`. All of them are cross-origin.
import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { test } from 'node:test';
import { listen } from './lib/process.mjs';
import { within } from './lib/ws.mjs';

const TRANSCRIPTS = [
  {
    name: 'the Go chat on localhost',
    accept: 'Oy4NRAQ13jhfONC7bP8dTKb4PTU=',
    lines: [
      'GET / HTTP/1.1',
      'Host: localhost:8080',
      'Origin: http://127.0.0.1:3000',
      'Connection: Upgrade  ',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: w4v7O6xFTi36lq3RNcgctw==',
    ],
  },
  {
    name: 'the example of RFC 6455',
    accept: 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    lines: [
      'GET /chat HTTP/1.1',
      'Host: server.example.com',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Origin: http://example.com',
      'Sec-WebSocket-Protocol: chat, superchat',
      'Sec-WebSocket-Version: 13',
    ],
  },
  {
    name: 'the one that is read header by header',
    accept: 'HSmrc0sMlYUkAGmm5OPpG2HaGWk=',
    lines: [
      'GET /chat HTTP/1.1',
      'Host: server.example.com',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==',
      'Sec-WebSocket-Protocol: chat, superchat',
      'Sec-WebSocket-Version: 13',
      'Origin: http://example.com',
    ],
  },
];

/** A key of 23 characters, which one tutorial prints: it does not decode. */
const BROKEN = [
  'GET /chat HTTP/1.1',
  'Host: server.mashibing.com',
  'Upgrade: websocket',
  'Connection: Upgrade',
  'Sec-WebSocket-Key: x4JJHMbDL22zLk1GBhXDw==',
  'Sec-WebSocket-Protocol: chat',
  'Sec-WebSocket-Version: 13',
  'Origin: http://mashibing.com',
];

/** Writes the lines and a blank one, and returns the answer's header block. */
async function replay(t, port, lines) {
  const socket = dial(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.setEncoding('utf8').write(`${lines.join('\r\n')}\r\n\r\n`);
  let text = '';
  const read = async () => {
    for await (const chunk of socket) {
      text += chunk;
      if (text.includes('\r\n\r\n')) break;
    }
    return text.split('\r\n\r\n')[0];
  };
  return within(read(), 'a header block');
}

for (const { name, lines, accept } of TRANSCRIPTS) {
  test(`${name} gets 403 by default`, async (t) => {
    const { port } = await listen(t, 'echo', '--subprotocol', 'chat');
    assert.match(await replay(t, port, lines), /^HTTP\/1\.1 403 /);
  });

  test(`${name} gets 101 and the printed accept value where any origin is allowed`, async (t) => {
    const { port } = await listen(t, 'echo', '--subprotocol', 'chat', '--allow-origin', 'any');
    const answer = await replay(t, port, lines);
    assert.match(answer, /^HTTP\/1\.1 101 /);
    assert.ok(answer.split('\r\n').includes(`Sec-WebSocket-Accept: ${accept}`), answer);
    const offered = lines.some((line) => line.startsWith('Sec-WebSocket-Protocol:'));
    assert.equal(/^Sec-WebSocket-Protocol: chat\r?$/m.test(answer), offered);
  });
}

test('the key of 23 characters gets 400', async (t) => {
  const { port } = await listen(t, 'echo', '--allow-origin', 'any');
  assert.match(await replay(t, port, BROKEN), /^HTTP\/1\.1 400 /);
});

test('a client that asks for version 25 is told 13, asks for 13 and is upgraded', async (t) => {
  const { port } = await listen(t, 'echo', '--allow-origin', 'any');
  const { lines } = TRANSCRIPTS[1];
  const future = lines.map((line) => (line === 'Sec-WebSocket-Version: 13' ? 'Sec-WebSocket-Version: 25' : line));
  const answer = await replay(t, port, future);
  assert.match(answer, /^HTTP\/1\.1 426 /);
  assert.match(answer, /^Sec-WebSocket-Version: 13\r?$/im);
  assert.match(await replay(t, port, lines), /^HTTP\/1\.1 101 /);
});
