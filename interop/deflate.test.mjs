// permessage-deflate (RFC 7692) with npm's `ws`, which inflates with no larger a window than was agreed on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { connect, listen } from './lib/process.mjs';
import { dial, serve } from './lib/ws.mjs';

const NO_TAKEOVER = 'server_no_context_takeover; client_no_context_takeover';
const MEBIBYTE = 1 << 20;

/** [text or bytes], several of each in a row, so that later ones can refer to earlier ones. */
const MESSAGES = [
  '', 'x', 'hello', 'hello', 'hello', 'übergröße, 你好, 👋🏽', 'y'.repeat(1000), 'y'.repeat(1001),
  'all work and no play '.repeat(MEBIBYTE / 21), randomBytes(MEBIBYTE / 2).toString('hex'), 'hello again',
  Buffer.alloc(0), Buffer.from([0]), Buffer.alloc(MEBIBYTE), randomBytes(MEBIBYTE), randomBytes(40_000),
];

/** What a message costs on the wire, in both directions together. */
async function cost(peer, message) {
  const { bytesRead, bytesWritten } = peer.socket._socket;
  assert.deepEqual(await peer.ask(message), message);
  const now = peer.socket._socket;
  return now.bytesRead - bytesRead + now.bytesWritten - bytesWritten;
}

/** As `dial`, and with the server's answer to the offer. */
async function offer(t, url, deflate, protocols = []) {
  const peer = await dial(t, url, protocols, {
    perMessageDeflate: deflate && { threshold: 0, ...deflate },
    finishRequest: (request, socket) => {
      request.on('upgrade', (response) => (socket.answer = response.headers['sec-websocket-extensions']));
      request.end();
    },
  });
  peer.answer = peer.socket.answer;
  return peer;
}

/** [flags of fdx echo, what the client offers, what is answered]. */
const ECHOES = [
  [[], {}, NO_TAKEOVER],
  [[], { clientMaxWindowBits: false }, NO_TAKEOVER],
  [['--deflate-takeover'], {}, ''],
  [['--deflate-takeover'], { serverNoContextTakeover: true }, 'server_no_context_takeover'],
  [['--deflate-takeover'], { clientNoContextTakeover: true }, 'client_no_context_takeover'],
  [['--deflate-takeover'], { serverNoContextTakeover: true, clientNoContextTakeover: true }, NO_TAKEOVER],
  // A window of 256 bytes can be read, though not made.
  [['--deflate-takeover'], { clientMaxWindowBits: 8 }, 'client_max_window_bits=8'],
];
for (let bits = 9; bits <= 15; bits++) {
  const answered = [`server_max_window_bits=${bits}`, ...(bits < 15 ? [`client_max_window_bits=${bits}`] : [])].join('; ');
  const offered = { serverMaxWindowBits: bits, clientMaxWindowBits: bits };
  ECHOES.push([['--deflate-takeover'], offered, answered], [[], offered, `${NO_TAKEOVER}; ${answered}`]);
}

for (const [flags, offered, answered] of ECHOES) {
  test(`fdx echo ${flags} answers ${JSON.stringify(offered)} with ${answered || 'nothing more'}, and keeps to it`, async (t) => {
    const peer = await offer(t, (await listen(t, 'echo', ...flags)).ws, offered);
    assert.equal(peer.answer, ['permessage-deflate', answered].filter(Boolean).join('; '));
    for (const message of MESSAGES) assert.deepEqual(await peer.ask(message), message);
    for (const message of MESSAGES) peer.socket.send(message);
    for (const message of MESSAGES) assert.deepEqual(await peer.next(), message);
    // Parts of one message, with a ping between them; and a message that is not compressed, between others.
    for (const [number, part] of MESSAGES.slice(0, 9).entries()) {
      peer.socket.send(part, { fin: number === 8 });
      peer.socket.ping();
    }
    assert.equal(await peer.next(), MESSAGES.slice(0, 9).join(''));
    peer.socket.send('y'.repeat(2000), { compress: false });
    assert.equal(await peer.next(), 'y'.repeat(2000));
    assert.equal(await peer.ask('z'.repeat(2000)), 'z'.repeat(2000));
    assert.ok((await cost(peer, Buffer.alloc(MEBIBYTE))) < MEBIBYTE / 20);
    assert.equal((await peer.close(1000)).code, 1000);
  });
}

test('what was said before is made use of with takeover, and without it is not', async (t) => {
  const once = randomBytes(4000).toString('hex');
  const repeated = async (...flags) => {
    const peer = await offer(t, (await listen(t, 'echo', ...flags)).ws, {});
    const first = await cost(peer, once);
    return (await cost(peer, once)) / first;
  };
  assert.ok((await repeated('--deflate-takeover')) < 0.1);
  assert.ok((await repeated()) > 0.9);
});

test('fdx echo does not compress for who does not offer it, offers what cannot be kept, or when told not to', async (t) => {
  const echo = await listen(t, 'echo');
  const quiet = await listen(t, 'echo', '--no-deflate');
  for (const peer of [
    await dial(t, echo.ws, [], { perMessageDeflate: false }),
    await offer(t, echo.ws, { serverMaxWindowBits: 8 }),
    await offer(t, quiet.ws, {}),
  ]) {
    assert.equal(peer.socket.extensions, '');
    assert.ok((await cost(peer, 'y'.repeat(MEBIBYTE))) > 2 * MEBIBYTE);
  }
});

/** [what a client of a room offers, what is answered]; none without an offer. */
const MEMBERS = [
  [undefined, undefined],
  [{}, NO_TAKEOVER],
  [{ clientMaxWindowBits: 8 }, `${NO_TAKEOVER}; client_max_window_bits=8`],
  // A window that nothing can be compressed for.
  [{ serverMaxWindowBits: 8 }, undefined],
];
for (let bits = 9; bits <= 15; bits++) MEMBERS.push([{ serverMaxWindowBits: bits }, `${NO_TAKEOVER}; server_max_window_bits=${bits}`]);

/** Short, long, and long of a kind that gets no shorter. */
const SAID = ['short', 'übergröße, 你好, 👋🏽;'.repeat(300), randomBytes(6000).toString('base64'), 'x'.repeat(15_000), 'short again'];

test('in a room of fdx serve --deflate all are told the same, compressed or not, and each page comes to each', async (t) => {
  const hub = await listen(t, 'serve', '--deflate');
  const members = [];
  for (const [offered, answered] of MEMBERS) {
    for (const [path, protocols] of [['/ws', ['fdx.v1.json']], ['/ws?room=general', []], ['/ws?room=general&mode=text', []]]) {
      const peer = await offer(t, hub.ws + path, offered ?? false, protocols);
      assert.equal(peer.answer, answered && `permessage-deflate; ${answered}`);
      peer.isText = path.includes('text');
      if (protocols.length > 0) {
        peer.socket.send(JSON.stringify({ op: 'hello', id: 1, name: 'Ana' }));
        peer.socket.send(JSON.stringify({ op: 'join', id: 2, room: 'general', backlog: 0, presence: 'none' }));
        for (let reply = {}; reply.re !== 2; reply = await peer.json());
      }
      members.push(peer);
    }
  }
  for (const body of SAID) {
    members[1].socket.send(JSON.stringify({ username: 'Bo', message: body }));
    for (const peer of members) {
      if (peer.isText) {
        assert.equal(await peer.next(), `Bo: ${body}`);
      } else {
        const told = await peer.json();
        assert.equal(told.body ?? told.message, body);
      }
    }
  }
  for (const peer of members.filter(({ socket }) => socket.protocol !== '')) {
    const before = peer.socket._socket.bytesRead;
    const { ok } = JSON.parse(await peer.ask(JSON.stringify({ op: 'history', id: 3, room: 'general' })));
    assert.deepEqual(ok.events.map(({ body }) => body), SAID);
    const came = peer.socket._socket.bytesRead - before;
    assert.equal(came < 10_000, peer.answer !== undefined, `${peer.answer}: ${came}`);
  }
});

/** The most memory that a program has had at a time, in bytes. */
async function peak(program) {
  const [, kilobytes] = (await readFile(`/proc/${program.pid}/status`, 'utf8')).match(/^VmHWM:\s+(\d+) kB$/m);
  return kilobytes * 1024;
}

test('64 MiB in 64 KiB of frames end in 1009 at the limit, memory stays flat, and the next client is served', async (t) => {
  for (const flags of [[], ['--deflate-takeover']]) {
    const echo = await listen(t, 'echo', '--max-message', '65536', ...flags);
    const polite = await offer(t, echo.ws, {});
    assert.equal(await polite.ask('y'.repeat(65536)), 'y'.repeat(65536));
    const before = await peak(echo);
    const bomb = Buffer.alloc(64 * MEBIBYTE);
    for (const part of [bomb.length, bomb.length / 64, 4096]) {
      const peer = await offer(t, echo.ws, {});
      for (let at = 0; at < bomb.length && peer.socket.readyState === peer.socket.OPEN; at += part) {
        peer.socket.send(bomb.subarray(at, at + part), { fin: at + part >= bomb.length });
      }
      assert.equal((await peer.end()).code, 1009);
    }
    assert.ok((await peak(echo)) - before < 8 * MEBIBYTE, `${before} bytes became ${await peak(echo)}`);
    assert.equal(await polite.ask('still here'), 'still here');
    assert.equal(await (await offer(t, echo.ws, {})).ask('next'), 'next');
  }
});

test('compressed data that is none ends in 1007, and the next client is served', async (t) => {
  const echo = await listen(t, 'echo');
  const peer = await offer(t, echo.ws, {});
  // RSV1, text, masked with zeros: a block of the type that is reserved.
  peer.socket._socket.write(Buffer.from([0xc1, 0x82, 0, 0, 0, 0, 0x07, 0xff]));
  assert.equal((await peer.end()).code, 1007);
  assert.equal(await (await offer(t, echo.ws, {})).ask('next'), 'next');
});

/** [what the server wants, what it answers]. */
const SERVERS = [
  [{}, ''],
  [{ serverNoContextTakeover: true }, 'server_no_context_takeover'],
  [{ clientNoContextTakeover: true }, 'client_no_context_takeover'],
  [{ serverNoContextTakeover: true, clientNoContextTakeover: true }, NO_TAKEOVER],
];
for (let bits = 9; bits <= 15; bits++) {
  // `ws` begins with what it was offered.
  const answered = `client_max_window_bits=${bits}; server_max_window_bits=${bits}`;
  SERVERS.push([{ serverMaxWindowBits: bits, clientMaxWindowBits: bits }, answered]);
}

/** Sends everything back, in parts that are flushed each, and counts what comes in on each connection. */
async function partly(t, perMessageDeflate) {
  const sockets = [];
  const { url } = await serve(
    t,
    ({ socket }, request) => {
      sockets.push(request.socket);
      socket.on('message', (data, binary) => {
        const half = data.length >> 1;
        socket.send(data.subarray(0, half), { binary, fin: false });
        socket.send(data.subarray(half), { binary, fin: true });
      });
    },
    { perMessageDeflate },
  );
  return { url, received: () => sockets.map((socket) => socket.bytesRead) };
}

/** Lines of a MiB and short ones, twice, of which the second time should cost next to nothing with takeover. */
const LINES = [...MESSAGES.filter((message) => typeof message === 'string'), 'the last'];
const INPUT = [...LINES, ...LINES].map((line) => `${line}\n`).join('');

for (const [wanted, answered] of SERVERS) {
  test(`fdx connect --deflate takes ${JSON.stringify(wanted)} of a server, and keeps to it`, async (t) => {
    const server = await partly(t, { threshold: 0, ...wanted });
    const runs = [[], ['--binary']].map((flags) => connect(t, [server.url, '--deflate', ...flags], INPUT));
    for (const client of await Promise.all(runs)) {
      assert.ok(client.stdout === INPUT, `${client.stdout.length} of ${INPUT.length} bytes`);
      assert.deepEqual(client.result, { code: 0, signal: null });
      const said = [`connected to ${new URL(server.url).host}, permessage-deflate`, answered].filter(Boolean).join('; ');
      assert.equal(client.stderr.split('\n')[0], said);
    }
    // Half of the input is random, in hexadecimal.
    for (const received of server.received()) assert.ok(received < INPUT.length * 0.4, `${received} of ${INPUT.length} bytes`);
  });
}

test('fdx connect --deflate sends as it is what it cannot compress within 256 bytes, and reads what such a server sends', async (t) => {
  const server = await partly(t, { threshold: 0, clientMaxWindowBits: 8 });
  const client = await connect(t, [server.url, '--deflate'], INPUT);
  assert.ok(client.stdout === INPUT);
  assert.match(client.stderr, /, permessage-deflate; client_max_window_bits=8\n/);
  assert.ok(server.received()[0] > INPUT.length);
});

test('fdx connect offers no compression unasked, and says when a server does not want it', async (t) => {
  const offers = [];
  const { url } = await serve(t, (peer, request) => {
    offers.push(request.headers['sec-websocket-extensions']);
    peer.close(1000);
  });
  const [silent, asking] = [await connect(t, [url]), await connect(t, [url, '--deflate'])];
  assert.deepEqual(offers, [undefined, 'permessage-deflate; client_max_window_bits']);
  const said = `connected to ${new URL(url).host}`;
  assert.equal(silent.stderr.split('\n')[0], said);
  assert.equal(asking.stderr.split('\n')[0], `${said}, without permessage-deflate`);
});
