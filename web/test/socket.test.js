import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  BACKOFF_CAP_MS, BACKOFF_FIRST_MS, CONNECT_MS, Client, HEALTHY_MS, HEARTBEAT_GRACE_MS, HINT_CAP_MS, Link, MAX_OUTBOX,
  MAX_OUTSTANDING, MAX_REPLY_MS, MAX_TRIES, PROBE_MS, REPLY_MS, backoff, randomText, socketUrl, stopsFor,
} from '../socket.js';
import { FakeClock, fakeSockets } from './fakes.js';

const HB = 20_000;
const HELLO = {
  session: 's', user: { id: 'u', name: 'Ana', avatar: '' }, now: 0, hb: HB,
  limits: { frame: 65536, body: 16384, rooms: 100, backlog: 200 }, features: [],
};
const joinReply = (room, more = {}) => ({ room, epoch: 'e', head: 0, floor: 1, cursor: 'e.0.000000', count: 1, members: [], ...more });
const event = (seq, more = {}) => ({ ev: 'msg', room: 'general', seq, prev: seq - 1, id: `01JH8QK3ZT0V9W4J5N6P7Q${String(seq).padStart(4, '0')}`, ...more });
const cursor = (seq) => `e.${seq}.${event(seq).id.slice(-6)}`;

function world(random = 0.5) {
  const clock = new FakeClock();
  const net = fakeSockets();
  const env = {
    WebSocket: net.WebSocket, now: clock.now, setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, random: () => random,
  };
  return { clock, net, env };
}

function link(options = {}) {
  const { clock, net, env } = world(options.random);
  const states = [];
  const made = new Link({ url: 'ws://host/ws', env, onState: (state) => states.push(state), ...options });
  return { clock, net, states, link: made };
}

/** A client that said hello and joined `general`. */
function client(options = {}) {
  const { clock, net, env } = world();
  const log = [];
  const made = new Client({
    url: 'ws://host/ws', env, hello: { name: 'Ana' },
    onHello: () => log.push('hello'),
    onJoin: (reply) => log.push(`join ${reply.room}`),
    onJoinRefused: (room, error) => log.push(`refused ${room} ${error.code}`),
    onEvent: (event) => log.push(`${event.ev} ${event.seq ?? event.code ?? ''}`.trim()),
    ...options,
  });
  made.join('general');
  made.start();
  return { clock, net, log, client: made };
}

function connect(net) {
  net.last.accept();
  net.last.reply('hello', HELLO);
  for (const { id, room } of net.last.got('join')) net.last.say({ re: id, ok: joinReply(room) });
}

/** Time passes on a connection on which something is heard, and no reply. */
function live(clock, net, ms) {
  for (let passed = 0; passed < ms; passed += REPLY_MS / 2) {
    clock.pass(REPLY_MS / 2);
    net.last.say({ ev: 'later' });
  }
}

const settled = (promise) => promise.then((ok) => ({ ok }), (error) => ({ code: error.code }));

test('the wait before coming back is spread over a range that doubles up to the cap', () => {
  assert.equal(backoff(0, 0), 0);
  assert.equal(backoff(0, 0.999), Math.floor(BACKOFF_FIRST_MS * 0.999));
  assert.equal(backoff(3, 0.5), BACKOFF_FIRST_MS * 4);
  assert.equal(backoff(50, 0.5), BACKOFF_CAP_MS / 2);
});

test('a normal end, protocol errors and 4000 to 4099 stop, everything else comes back', () => {
  assert.deepEqual([1000, 1002, 1003, 1007, 1009, 4000, 4099].map(stopsFor), Array(7).fill(true));
  assert.deepEqual([1001, 1005, 1006, 1008, 1011, 1013, 4100, 4201, 3999].map(stopsFor), Array(9).fill(false));
});

test('a lost link waits longer each time, tells when it will try, and starts afresh after a time of health', () => {
  const { clock, net, link: it } = link();
  it.start();
  for (let attempt = 0; attempt < 3; attempt += 1) {
    net.last.end();
    assert.equal(it.state.phase, 'waiting');
    assert.equal(it.state.retryAt - clock.time, backoff(attempt, 0.5));
    clock.pass(backoff(attempt, 0.5));
    assert.equal(it.state.phase, 'connecting');
  }
  net.last.accept();
  clock.pass(HEALTHY_MS - 1);
  assert.equal(it.state.attempt, 3);
  clock.pass(1);
  net.last.end();
  assert.equal(it.state.retryAt - clock.time, backoff(0, 0.5));
});

test('a link that dies young keeps its place in the back-off', () => {
  const { clock, net, link: it } = link();
  it.start();
  net.last.end();
  clock.pass(BACKOFF_FIRST_MS);
  net.last.accept();
  clock.pass(HEALTHY_MS - 1);
  net.last.end();
  assert.equal(it.state.attempt, 2);
});

test('a stop code ends the tries, with its reason, until the user asks again', () => {
  const { clock, net, link: it } = link();
  it.start();
  net.last.accept();
  net.last.end(4003, 'banned');
  assert.equal(it.state.phase, 'stopped');
  assert.equal(it.state.reason, 'banned');
  clock.pass(10 * BACKOFF_CAP_MS);
  assert.equal(net.sockets.length, 1);
  it.retryNow();
  assert.equal(net.sockets.length, 2);
});

test('an opening handshake that hangs is given up', () => {
  const { clock, net, link: it } = link();
  it.start();
  clock.pass(CONNECT_MS);
  assert.equal(it.state.phase, 'waiting');
  assert.equal(net.sockets[0].closed.code, 4201);
});

test('retry now does not wait, and never makes a second connection', () => {
  const { clock, net, link: it } = link();
  it.start();
  net.last.end();
  it.retryNow();
  it.retryNow();
  clock.pass(BACKOFF_FIRST_MS);
  assert.equal(net.sockets.length, 2);
});

test('stop closes with 1000 and leaves no timer behind', () => {
  const { clock, net, link: it } = link({ heartbeatMs: HB });
  it.start();
  net.last.accept();
  it.stop();
  assert.equal(net.last.closed.code, 1000);
  assert.equal(clock.pending, 0);
  assert.equal(it.state.phase, 'idle');
});

test('two intervals and the grace of silence are a dead link; any frame counts as life', () => {
  const { clock, net, link: it } = link({ heartbeatMs: HB });
  it.start();
  net.last.accept();
  clock.pass(2 * HB);
  net.last.say({ ev: 'anything' });
  clock.pass(2 * HB + HEARTBEAT_GRACE_MS - 1);
  assert.equal(it.state.phase, 'open');
  clock.pass(1);
  assert.equal(it.state.phase, 'waiting');
  assert.equal(net.last.closed.code, 4201);
});

test('what a given-up socket still says is not heard', () => {
  const heard = [];
  const { clock, net, link: it } = link({ heartbeatMs: HB, onText: (text) => heard.push(text) });
  it.start();
  net.last.accept();
  const dead = net.last;
  clock.pass(2 * HB + HEARTBEAT_GRACE_MS);
  dead.say('late');
  dead.end();
  assert.deepEqual(heard, []);
  assert.equal(it.state.attempt, 1);
});

test('waking up after a sleep that was too long drops the link at once', () => {
  const { clock, net, link: it } = link({ heartbeatMs: HB });
  it.start();
  net.last.accept();
  clock.sleep(2 * HB + HEARTBEAT_GRACE_MS);
  it.wake();
  assert.equal(it.state.phase, 'waiting');
  it.wake();
  assert.equal(it.state.phase, 'connecting');
});

test('the client asks for heartbeats, offers the subprotocol, says hello, then joins', () => {
  const { net, log } = client();
  assert.equal(net.last.url, 'ws://host/ws?hb=20');
  assert.deepEqual(net.last.protocols, ['fdx.v1.json']);
  net.last.accept();
  assert.deepEqual(net.last.sent.map((frame) => frame.op), ['hello']);
  net.last.reply('hello', HELLO);
  assert.deepEqual(net.last.sent.map((frame) => frame.op), ['hello', 'join']);
  net.last.reply('join', joinReply('general'));
  assert.deepEqual(log, ['hello', 'join general']);
});

test('a heartbeat is answered in the handler and not shown to the application', () => {
  const { net, log } = client();
  connect(net);
  net.last.say({ ev: 'hb' });
  assert.equal(net.last.sent.at(-1).op, 'hb');
  net.last.say(event(1));
  assert.deepEqual(log, ['hello', 'join general', 'msg 1']);
});

test('frames that are no objects and replies to nothing are passed over', () => {
  const { net, log, client: it } = client();
  connect(net);
  for (const frame of ['not json', 'null', '[1]', '7', '{"re":999,"ok":{}}', '{"ev":"new-in-v2"}']) net.last.say(frame);
  assert.deepEqual(log, ['hello', 'join general', 'new-in-v2']);
  assert.equal(it.state.phase, 'open');
});

test('a message waits for its room and resolves with the reply', async () => {
  const { net, client: it } = client();
  const sent = it.send('general', 'hi', 'cid-1');
  assert.equal(it.unsent, 1);
  connect(net);
  assert.deepEqual(net.last.got('send').map(({ room, body, cid }) => ({ room, body, cid })), [{ room: 'general', body: 'hi', cid: 'cid-1' }]);
  net.last.reply('send', { seq: 1, id: 'i', ts: 1, dup: false });
  assert.equal((await sent).seq, 1);
  assert.equal(it.unsent, 0);
});

test('after a reconnect the rooms are joined again and unanswered messages sent again with their cid, in order', async () => {
  const { clock, net, log, client: it } = client();
  connect(net);
  const both = [it.send('general', 'one', 'c1'), it.send('general', 'two', 'c2')];
  net.last.end();
  clock.pass(BACKOFF_FIRST_MS);
  net.last.accept();
  assert.deepEqual(net.last.got('send'), []);
  net.last.reply('hello', HELLO);
  assert.deepEqual(net.last.got('send'), [], 'not before the room is joined');
  net.last.reply('join', joinReply('general'));
  assert.deepEqual(net.last.got('send').map((frame) => frame.cid), ['c1', 'c2']);
  for (const { id } of net.last.got('send')) net.last.say({ re: id, ok: { seq: id, id: '', ts: 0, dup: true } });
  assert.equal((await Promise.all(both)).length, 2);
  assert.deepEqual(log, ['hello', 'join general', 'hello', 'join general']);
});

test('the server\'s refusal of a message reaches its sender and nobody else', async () => {
  const { net, client: it } = client();
  connect(net);
  const bad = settled(it.send('general', 'x', 'bad'));
  const good = settled(it.send('general', 'y', 'good'));
  const [first, second] = net.last.got('send');
  net.last.say({ re: second.id, ok: { seq: 1, id: '', ts: 0, dup: false } });
  net.last.say({ re: first.id, err: { code: 'too_large', msg: 'too long' } });
  assert.deepEqual(await bad, { code: 'too_large' });
  assert.equal((await good).ok.seq, 1);
});

test('a reply that never comes is a dead link; after some tries the message fails', async () => {
  const { clock, net, client: it } = client();
  const sent = settled(it.send('general', 'x', 'c'));
  for (let attempt = 0; attempt < MAX_TRIES; attempt += 1) {
    connect(net);
    assert.equal(net.last.got('send').length, 1);
    clock.pass(REPLY_MS);
    assert.equal(it.state.phase, 'waiting');
    it.retryNow();
  }
  assert.deepEqual(await sent, { code: 'timeout' });
  connect(net);
  assert.equal(net.last.got('send').length, 0);
});

test('s30 a server that takes joins one after another is waited for while it says anything, so that all come back', () => {
  const rooms = Array.from({ length: 19 }, (_, at) => `r${at}`);
  const { clock, net, log, client: it } = client();
  for (const room of rooms) it.join(room);
  connect(net);
  comeBack(it, net);
  for (const { id, room } of net.last.got('join')) {
    clock.pass(600);
    net.last.say({ re: id, ok: joinReply(room, { resume: 'ok' }) });
  }
  assert.equal(net.sockets.length, 2);
  assert.equal(log.filter((line) => line.startsWith('join')).length, 40);
  // Whatever comes is a sign of life; after it silence counts anew.
  it.wake();
  clock.pass(PROBE_MS - 1);
  net.last.say(event(1));
  clock.pass(PROBE_MS - 1);
  assert.equal(it.state.phase, 'open');
  clock.pass(1);
  assert.equal(it.state.phase, 'waiting');
});

test('a reply that does not come though others do is given up after a time, and the connection is not', async () => {
  const { clock, net, log, client: it } = client();
  connect(net);
  comeBack(it, net);
  it.join('new');
  const renamed = settled(it.rename({ name: 'Anna' }));
  const [general, other] = net.last.got('join');
  live(clock, net, MAX_REPLY_MS);
  assert.deepEqual(await renamed, { code: 'timeout' });
  assert.ok(log.includes('refused new timeout'));
  // Either may be answered yet: they are left, and what one was in is joined again.
  assert.deepEqual(net.last.got('leave').map(({ room }) => room), ['general', 'new']);
  clock.pass(BACKOFF_FIRST_MS);
  assert.deepEqual(net.last.got('join').slice(2).map(({ room }) => room), ['general']);
  for (const { id, room } of [general, other]) net.last.say({ re: id, ok: joinReply(room) });
  net.last.say(event(1));
  assert.ok(!log.includes('msg 1'));
  net.last.reply('join', joinReply('general', { resume: 'ok' }));

  const sent = settled(it.send('general', 'x', 'c'));
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    assert.equal(net.last.got('send').length, tries);
    live(clock, net, MAX_REPLY_MS);
    clock.pass(BACKOFF_FIRST_MS * 2 ** tries);
    net.last.say({ ev: 'later' });
  }
  assert.deepEqual(await sent, { code: 'timeout' });
  assert.equal(net.sockets.length, 2);
  assert.equal(it.state.phase, 'open');
});

test('a hello that is refused for now, or not answered, is said again on another connection', () => {
  const { clock, net, client: it } = client();
  for (const code of ['unavailable', 'not_ready', 'rate_limited']) {
    net.last.accept();
    net.last.say({ re: net.last.got('hello')[0].id, err: { code, msg: 'later' } });
    assert.equal(it.state.phase, 'waiting', code);
    it.retryNow();
  }
  net.last.accept();
  live(clock, net, MAX_REPLY_MS);
  assert.equal(it.state.phase, 'waiting');
});

test('no more than the window is written before replies come, and the outbox is bounded', async () => {
  const { net, client: it } = client();
  connect(net);
  const all = [];
  for (let at = 0; at < MAX_OUTBOX; at += 1) all.push(it.send('general', 'x', `c${at}`));
  assert.equal(net.last.got('send').length, MAX_OUTSTANDING);
  assert.deepEqual(await settled(it.send('general', 'x', 'over')), { code: 'outbox_full' });
  for (let at = 0; at < MAX_OUTBOX; at += 1) {
    net.last.say({ re: net.last.got('send')[at].id, ok: { seq: at, id: '', ts: 0, dup: false } });
  }
  assert.deepEqual(net.last.got('send').map((frame) => frame.cid), Array.from({ length: MAX_OUTBOX }, (_, at) => `c${at}`));
  await Promise.all(all);
});

test('s02 waking up probes an open link, once, and an unanswered probe drops it', () => {
  const { clock, net, client: it } = client();
  connect(net);
  it.wake();
  it.wake();
  assert.equal(net.last.got('ping').length, 1);
  net.last.reply('ping', { now: 1 });
  clock.pass(PROBE_MS);
  assert.equal(it.state.phase, 'open');
  it.wake();
  clock.pass(PROBE_MS);
  assert.equal(it.state.phase, 'waiting');
  it.wake();
  assert.equal(it.state.phase, 'connecting');
});

test('the secret that a server gives a new guest is told at every hello from then on, also with a new name', () => {
  const { net, client: it } = client();
  net.last.accept();
  assert.equal(net.last.got('hello')[0].guest, undefined);
  net.last.reply('hello', { ...HELLO, guest: 'g1' });
  void it.rename({ name: 'Anna' });
  assert.equal(net.last.got('hello')[1].guest, 'g1');
  comeBack(it, net);
  assert.equal(net.last.got('hello')[0].guest, 'g1');
  const kept = client({ hello: { name: 'Ana', guest: 'g2' } });
  kept.net.last.accept();
  assert.equal(kept.net.last.got('hello')[0].guest, 'g2');
  kept.net.last.reply('hello', { ...HELLO, guest: 'g3' });
  comeBack(kept.client, kept.net);
  assert.equal(kept.net.last.got('hello')[0].guest, 'g3');
});

test('a name chosen while hello is under way is told before any message', () => {
  const { net, client: it } = client({ hello: {} });
  net.last.accept();
  void it.rename({ name: 'Ana' });
  void it.send('general', 'x', 'c');
  connect(net);
  net.last.reply('hello', HELLO);
  const ops = net.last.sent.map(({ op, name }) => (name ? `${op} ${name}` : op));
  assert.equal(ops[0], 'hello');
  assert.ok(ops.indexOf('hello Ana') < ops.indexOf('send'));
});

test('a refused new name rejects and leaves the connection alone', async () => {
  const { net, client: it } = client();
  connect(net);
  const renamed = settled(it.rename({ name: 'x' }));
  net.last.say({ re: net.last.got('hello').at(-1).id, err: { code: 'bad_request', msg: 'no' } });
  assert.deepEqual(await renamed, { code: 'bad_request' });
  assert.equal(it.state.phase, 'open');
  assert.ok(it.state.ready);
});

test('a refused first hello stops and fails what waits to be sent', async () => {
  const { net, client: it } = client();
  const sent = settled(it.send('general', 'x', 'c'));
  net.last.accept();
  net.last.say({ re: net.last.got('hello')[0].id, err: { code: 'bad_request', msg: 'no' } });
  assert.equal(it.state.phase, 'stopped');
  assert.deepEqual(await sent, { code: 'stopped' });
  assert.deepEqual(await settled(it.send('general', 'x', 'd')), { code: 'stopped' });
});

test('a refused join is reported, forgotten, and fails its messages', async () => {
  const { clock, net, log, client: it } = client();
  const sent = settled(it.send('general', 'x', 'c'));
  net.last.accept();
  net.last.reply('hello', HELLO);
  net.last.say({ re: net.last.got('join')[0].id, err: { code: 'unavailable', msg: 'full' } });
  assert.deepEqual(await sent, { code: 'unavailable' });
  assert.deepEqual(log, ['hello', 'refused general unavailable']);
  net.last.end();
  clock.pass(BACKOFF_FIRST_MS);
  net.last.accept();
  net.last.reply('hello', HELLO);
  assert.equal(net.last.got('join').length, 0);
});

test('a room one was in is kept while joining it again is refused for now, and what was to be said there is said', async () => {
  const { clock, net, log, client: it } = client();
  connect(net);
  net.last.say(event(1));
  const written = settled(it.send('general', 'x', 'c'));
  comeBack(it, net);
  const unwritten = settled(it.send('general', 'y', 'd'));
  const refuse = (more) => net.last.say({ re: net.last.got('join').at(-1).id, err: { code: 'unavailable', msg: 'full', ...more } });
  const again = (wait) => {
    const before = net.last.got('join').length;
    clock.pass(wait - 1);
    assert.equal(net.last.got('join').length, before, `not before ${wait} ms`);
    clock.pass(1);
    assert.equal(net.last.got('join').length, before + 1, `after ${wait} ms`);
    // As it would be said on a connection that lives.
    net.last.say({ ev: 'hb' });
  };
  for (let tries = 0; tries < 10; tries += 1) {
    refuse();
    again(backoff(tries, 0.5));
  }
  assert.equal(backoff(9, 0.5), BACKOFF_CAP_MS / 2, 'and no longer');
  refuse({ code: 'rate_limited', retry_ms: 700 });
  again(700);
  assert.equal(net.last.got('join').at(-1).since, cursor(1));
  net.last.reply('join', joinReply('general', { resume: 'ok' }));
  assert.deepEqual(net.last.got('send').map(({ cid }) => cid), ['c', 'd']);
  for (const { id } of net.last.got('send')) net.last.say({ re: id, ok: { seq: 2, id: '', ts: 0, dup: false } });
  assert.equal((await written).ok.seq, 2);
  assert.equal((await unwritten).ok.seq, 2);
  assert.ok(!log.some((line) => line.startsWith('refused')));

  // Once it is in, the waits begin anew.
  net.last.say(event(3));
  refuse();
  again(backoff(0, 0.5));
  // What does not pass ends it.
  refuse({ code: 'forbidden' });
  assert.deepEqual(log.slice(-1), ['refused general forbidden']);
});

test('a room that waits to be joined again is left, and asked for once on a new connection', () => {
  const { clock, net, client: it } = client();
  const refuse = () => net.last.say({ re: net.last.got('join').at(-1).id, err: { code: 'unavailable', msg: 'full' } });
  connect(net);
  const idle = clock.pending;
  comeBack(it, net);
  refuse();
  comeBack(it, net);
  assert.equal(net.last.got('join').length, 1);
  refuse();
  clock.pass(backoff(1, 0.5) - 1);
  assert.equal(net.last.got('join').length, 1, 'the wait before is not its own');
  it.leave('general');
  assert.equal(clock.pending, idle);
  clock.pass(1);
  assert.equal(net.last.got('join').length, 1);
});

test('a room that was left is not joined again, and its messages fail: unknown is what became of those that were written', async () => {
  const { clock, net, client: it } = client();
  connect(net);
  const all = Array.from({ length: MAX_OUTSTANDING + 2 }, (_, at) => settled(it.send('general', 'x', `c${at}`)));
  net.last.say({ re: net.last.got('send')[0].id, err: { code: 'rate_limited', msg: 'slowly' } });
  it.leave('general');
  assert.equal(net.last.got('leave').length, 1);
  // The first was refused, and its place was the last but one's.
  const codes = (await Promise.all(all)).map(({ code }) => code);
  assert.deepEqual(codes, ['not_joined', ...Array(MAX_OUTSTANDING).fill('timeout'), 'not_joined']);
  net.last.end();
  clock.pass(BACKOFF_FIRST_MS);
  connect(net);
  assert.equal(net.last.got('join').length, 0);
});

test('more rooms than the window are joined as replies come', () => {
  const { net, client: it } = client();
  for (let at = 0; at < MAX_OUTSTANDING + 5; at += 1) it.join(`r${at}`);
  net.last.accept();
  net.last.reply('hello', HELLO);
  assert.equal(net.last.got('join').length, MAX_OUTSTANDING);
  for (const { id, room } of net.last.got('join')) net.last.say({ re: id, ok: joinReply(room) });
  assert.equal(net.last.got('join').length, MAX_OUTSTANDING + 6);
});

test('the places of requests that are given up are free again', () => {
  const { clock, net, client: it } = client();
  for (let at = 0; at < MAX_OUTSTANDING; at += 1) it.join(`r${at}`);
  net.last.accept();
  net.last.reply('hello', HELLO);
  live(clock, net, MAX_REPLY_MS);
  assert.equal(net.last.got('join').length, MAX_OUTSTANDING + 1);
});

test('a random text is long enough for a secret and differs each time', () => {
  assert.match(randomText(), /^[0-9a-z]{26}$/);
  assert.notEqual(randomText(), randomText());
});

test('the address follows the page', () => {
  assert.equal(socketUrl({ protocol: 'https:', host: 'chat.example' }, '/ws'), 'wss://chat.example/ws');
  assert.equal(socketUrl({ protocol: 'http:', host: 'localhost:8080' }, '/logs/a'), 'ws://localhost:8080/logs/a');
});

test('a name that was refused is not said again after a reconnect', async () => {
  const { clock, net, client: it } = client();
  connect(net);
  const renamed = settled(it.rename({ name: 'bad' }));
  net.last.say({ re: net.last.got('hello').at(-1).id, err: { code: 'bad_request', msg: 'no' } });
  await renamed;
  net.last.end();
  clock.pass(BACKOFF_FIRST_MS);
  net.last.accept();
  assert.equal(net.last.got('hello')[0].name, 'Ana');
});

test('a new name whose reply was lost is told at the next hello', async () => {
  const { clock, net, client: it } = client();
  connect(net);
  const renamed = it.rename({ name: 'Anna' });
  net.last.end();
  assert.equal(await renamed, null);
  clock.pass(BACKOFF_FIRST_MS);
  net.last.accept();
  assert.equal(net.last.got('hello')[0].name, 'Anna');
});

/** The connection ends, and a new one has said hello and asked to join. */
function comeBack(it, net) {
  net.last.end();
  it.retryNow();
  net.last.accept();
  net.last.reply('hello', HELLO);
  return net.last.got('join')[0];
}

test('a room goes on from the event it had last, each event is given once, and `resume` reaches the application', () => {
  const replies = [];
  const { net, log, client: it } = client({ onJoin: (reply) => replies.push(reply.resume) });
  connect(net);
  assert.equal(net.last.got('join')[0].since, undefined);
  net.last.say(event(1));
  net.last.say(event(2));
  assert.equal(comeBack(it, net).since, cursor(2));
  net.last.reply('join', joinReply('general', { resume: 'ok', head: 3 }));
  net.last.say(event(2));
  net.last.say(event(3, { ev: 'edit', target: 1 }));
  assert.equal(comeBack(it, net).since, cursor(3));
  assert.deepEqual(log.filter((line) => /\d/.test(line)), ['msg 1', 'msg 2', 'edit 3']);
  assert.deepEqual(replies, [undefined, 'ok']);
});

test('an empty room has a cursor too, and a backlog that was cut short has that of its last event', () => {
  const { net, client: it } = client();
  connect(net);
  assert.equal(comeBack(it, net).since, 'e.0.000000');
  net.last.reply('join', joinReply('general', { resume: 'reset', reason: 'epoch', epoch: 'f', head: 9, floor: 1, cursor: 'f.9.999999' }));
  assert.equal(comeBack(it, net).since, undefined, 'nothing of the backlog came');
  net.last.reply('join', joinReply('general', { head: 9, cursor: 'e.9.999999' }));
  net.last.say(event(7));
  assert.equal(comeBack(it, net).since, cursor(7));
  net.last.reply('join', joinReply('general', { resume: 'reset', reason: 'truncated', head: 9, floor: 10, cursor: 'e.9.999999' }));
  assert.equal(comeBack(it, net).since, 'e.9.999999', 'nothing is kept, so nothing comes');
});

test('s20 what is missing before an event is fetched by joining again, before that event is given', () => {
  const { net, log } = client();
  connect(net);
  net.last.say(event(1));
  net.last.say(event(3));
  net.last.say(event(4));
  assert.deepEqual(net.last.sent.slice(-2).map(({ op, since }) => [op, since]), [['leave', undefined], ['join', cursor(1)]]);
  net.last.reply('join', joinReply('general', { resume: 'ok', head: 4 }));
  for (const seq of [2, 3, 4]) net.last.say(event(seq));
  assert.deepEqual(log.filter((line) => line.startsWith('msg')), ['msg 1', 'msg 2', 'msg 3', 'msg 4']);
});

test('what is still missing after joining again is told as a gap, and not asked for without end', () => {
  const { net, log } = client();
  connect(net);
  net.last.say(event(1));
  net.last.say(event(5, { prev: 4 }));
  net.last.reply('join', joinReply('general', { resume: 'ok', head: 5 }));
  net.last.say(event(5, { prev: 4 }));
  net.last.say(event(6));
  assert.equal(net.last.got('join').length, 2);
  assert.deepEqual(log.slice(-3), ['gap', 'msg 5', 'msg 6']);
});

test('positions may leave numbers out, and a gap that the server tells is given on', () => {
  const { net, log } = client();
  connect(net);
  net.last.say(event(10, { prev: 0 }));
  net.last.say(event(20, { prev: 10 }));
  net.last.say({ ev: 'gap', room: 'general', from: 21, to: 50, reason: 'slow' });
  net.last.say(event(60, { prev: 50 }));
  assert.equal(net.last.got('join').length, 1);
  assert.deepEqual(log.slice(-4), ['msg 10', 'msg 20', 'gap', 'msg 60']);
});

test('a room that the server takes one out of is not joined again, and what was to be said there is told', async () => {
  const { net, log, client: it } = client();
  connect(net);
  const underWay = assert.rejects(it.send('general', 'x'), { code: 'timeout' });
  net.last.say({ ev: 'kick', room: 'elsewhere', reason: 'kicked' });
  assert.equal(it.unsent, 1);
  net.last.say({ ev: 'kick', room: 'general', reason: 'banned' });
  await underWay;
  await assert.rejects(it.send('general', 'x'), { code: 'not_joined' });
  net.last.say(event(1));
  assert.deepEqual(log.slice(-1), ['kick']);
  net.last.end();
  it.retryNow();
  connect(net);
  assert.equal(net.last.got('join').length, 0);
});

test('a kick that crosses the way back to what is missing stays, and one out of a room that was left ends no newer join', async () => {
  const joins = [];
  const { net, log, client: it } = client({ onJoin: ({ room }) => joins.push(room) });
  const kick = { ev: 'kick', room: 'general', reason: 'kicked' };
  connect(net);
  net.last.say(event(1));
  net.last.say(event(3));
  net.last.say(kick);
  assert.deepEqual(net.last.sent.slice(-3).map(({ op }) => op), ['leave', 'join', 'leave']);
  net.last.reply('join', joinReply('general', { resume: 'ok' }));
  net.last.say(event(2));
  assert.deepEqual(log.slice(-2), ['msg 1', 'kick']);
  await assert.rejects(it.send('general', 'x'), { code: 'not_joined' });
  it.join('general');
  net.last.say(kick);
  net.last.reply('join', joinReply('general'));
  assert.deepEqual(joins, ['general', 'general']);
  net.last.say(event(1));
  assert.equal(log.at(-1), 'msg 1');
});

test('a message that may be stored is unknown, whatever a later try is refused with', async () => {
  for (const [first, last] of [['timeout', 'timeout'], ['rate_limited', 'forbidden']]) {
    const { clock, net, client: it } = client();
    connect(net);
    const sent = settled(it.send('general', 'x', 'c'));
    const refuse = (code) => net.last.say({ re: net.last.got('send').at(-1).id, err: { code, msg: 'no', retry_ms: 1 } });
    refuse(first);
    clock.pass(1);
    refuse('forbidden');
    assert.deepEqual(await sent, { code: last });
  }
  const { net, client: it } = client();
  connect(net);
  const lost = settled(it.send('general', 'x', 'c'));
  comeBack(it, net);
  const unwritten = settled(it.send('general', 'x', 'd'));
  net.last.end(4005, 'kicked');
  assert.deepEqual(await Promise.all([lost, unwritten]), [{ code: 'timeout' }, { code: 'stopped' }]);
});

test('a room whose history is replaced is joined again, from nothing of the old one', () => {
  const replies = [];
  const { net, log } = client({ onJoin: ({ resume }) => replies.push(resume) });
  connect(net);
  net.last.say(event(1));
  net.last.say({ ev: 'reset', room: 'general', reason: 'epoch', epoch: 'f', head: 0, floor: 1, cursor: 'f.0.000000' });
  net.last.say(event(1));
  assert.deepEqual(net.last.sent.slice(-2).map(({ op, since }) => [op, since]), [['leave', undefined], ['join', cursor(1)]]);
  net.last.reply('join', joinReply('general', { resume: 'reset', reason: 'epoch', epoch: 'f', head: 1, cursor: 'f.1.000001' }));
  net.last.say(event(1));
  net.last.say(event(2));
  net.last.say({ ev: 'reset', room: 'elsewhere' });
  assert.equal(net.last.got('leave').length, 1);
  assert.deepEqual(log.slice(-3), ['msg 1', 'msg 1', 'msg 2']);
  assert.deepEqual(replies, [undefined, 'reset']);
});

test('a read mark ahead of what came so far is no event of the order', () => {
  const { net, log } = client();
  connect(net);
  net.last.say(event(1));
  net.last.say({ ev: 'read', room: 'general', seq: 3, unread: 0 });
  net.last.say(event(2));
  assert.equal(net.last.got('join').length, 1);
  assert.deepEqual(log.slice(-3), ['msg 1', 'read 3', 'msg 2']);
});

test('a refusal that passes is tried again with the same cid when the server says, and some times only', async () => {
  const { clock, net, client: it } = client();
  connect(net);
  const sent = settled(it.send('general', 'x', 'c'));
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const all = net.last.got('send');
    assert.equal(all.length, tries);
    net.last.say({ re: all.at(-1).id, err: { code: 'unavailable', msg: 'full', retry_ms: 700 } });
    clock.pass(699);
    assert.equal(net.last.got('send').length, tries);
    clock.pass(1);
  }
  assert.deepEqual(await sent, { code: 'unavailable' });
  assert.ok(net.last.got('send').every(({ cid }) => cid === 'c'));
});

test('after a bye the first wait is the one that the server asked for, within bounds', () => {
  const { clock, net, client: it } = client();
  connect(net);
  net.last.say({ ev: 'bye', reason: 'restart', reconnect_ms: 2_000, jitter_ms: 10_000 });
  net.last.end(1012);
  assert.equal(it.state.retryAt - clock.time, 2_000 + 5_000);
  clock.pass(7_000);
  connect(net);
  net.last.end(1012);
  assert.equal(it.state.retryAt - clock.time, backoff(1, 0.5), 'it was for that end alone');
  it.retryNow();
  connect(net);
  net.last.say({ ev: 'bye', reason: 'restart', reconnect_ms: 1e12, jitter_ms: 'x' });
  net.last.end(1012);
  assert.equal(it.state.retryAt - clock.time, HINT_CAP_MS);
});

test('a client without a hello of its own gets a secret from the server and says it the next time', () => {
  const { net, client: it } = client({ hello: undefined });
  net.last.accept();
  assert.equal(net.last.got('hello')[0].guest, undefined);
  net.last.reply('hello', { ...HELLO, guest: 'g.secret' });
  net.last.end();
  it.retryNow();
  net.last.accept();
  assert.equal(net.last.got('hello')[0].guest, 'g.secret');
});
