import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KEEP_MESSAGES, MAX_SENDS, Model, Room } from '../model.js';

const ANA = { id: 'u_ana', name: 'Ana', avatar: 'aa' };
const BO = { id: 'u_bo', name: 'Bo', avatar: 'bb' };
const NOON = new Date(2026, 0, 1, 12).getTime();

function joined(overrides = {}) {
  const room = new Room('general', null);
  room.join(reply(overrides));
  return room;
}

function reply(overrides = {}) {
  return { room: 'general', epoch: 'e1', head: 0, floor: 1, cursor: 'c', count: 1, members: [ANA], ...overrides };
}

function event(seq, overrides = {}) {
  return { ev: 'msg', room: 'general', seq, prev: seq - 1, ts: NOON + seq, from: BO, body: `m${seq}`, cid: null, ...overrides };
}

const bodies = (room) => room.rows().flatMap((row) => (row.kind === 'message' ? [row.body] : []));
const kinds = (room) => room.rows().map((row) => row.kind);

test('a message that comes again after a rejoin is shown once', () => {
  const room = joined();
  room.receive(event(1), ANA.id, true);
  room.join(reply({ head: 2 }));
  room.receive(event(1), ANA.id, true);
  room.receive(event(2), ANA.id, true);
  assert.deepEqual(bodies(room), ['m1', 'm2']);
  assert.ok(!kinds(room).includes('gap'));
});

test('a rejoin whose backlog does not reach back far enough shows a gap', () => {
  const room = joined();
  room.receive(event(1), ANA.id, true);
  room.join(reply({ head: 9 }));
  room.receive(event(9), ANA.id, true);
  assert.deepEqual(kinds(room), ['day', 'message', 'gap', 'message']);
});

test('the backlog of the first join is no gap although older messages exist', () => {
  const room = joined({ head: 51, floor: 1 });
  room.receive(event(51), ANA.id, true);
  assert.ok(!kinds(room).includes('gap'));
});

test('a gap event is marked once', () => {
  const room = joined();
  room.receive(event(1), ANA.id, true);
  room.gap({ to: 5 });
  room.gap({ to: 5 });
  room.receive(event(6), ANA.id, true);
  assert.equal(kinds(room).filter((kind) => kind === 'gap').length, 1);
});

test('positions of a new epoch do not count as known, and the break is marked', () => {
  const room = joined();
  room.receive(event(7), ANA.id, true);
  room.join(reply({ epoch: 'e2', head: 1 }));
  room.receive(event(1, { body: 'after' }), ANA.id, false);
  assert.deepEqual(bodies(room), ['m7', 'after']);
  assert.ok(kinds(room).includes('restart'));
  assert.equal(room.unread, 1);
});

test('a send stays one row with one key from pending to sent, reply first', () => {
  const room = joined();
  room.addSend('x', 'hi', ANA, NOON);
  const key = room.rows().at(-1).key;
  assert.equal(room.rows().at(-1).state, 'pending');
  room.acked('x', { seq: 1, id: 'i', ts: NOON, dup: false });
  assert.equal(room.rows().at(-1).state, 'sent');
  room.receive(event(1, { from: ANA, cid: 'x', body: 'hi' }), ANA.id, true);
  assert.deepEqual(bodies(room), ['hi']);
  assert.equal(room.rows().at(-1).key, key);
});

test('a send whose event comes before its reply is one row', () => {
  const room = joined();
  room.addSend('x', 'hi', ANA, NOON);
  room.receive(event(1, { from: ANA, cid: 'x', body: 'hi' }), ANA.id, true);
  room.acked('x', { seq: 1, id: 'i', ts: NOON, dup: false });
  assert.deepEqual(bodies(room), ['hi']);
  assert.equal(room.sends.length, 0);
});

test('somebody else cannot take an own send away by using its cid', () => {
  const room = joined();
  room.addSend('x', 'mine', ANA, NOON);
  room.receive(event(1, { from: BO, cid: 'x', body: 'theirs' }), ANA.id, true);
  assert.deepEqual(bodies(room), ['theirs', 'mine']);
});

test('an acknowledged send whose event fell into a gap keeps its place', () => {
  const room = joined();
  room.addSend('x', 'mine', ANA, NOON);
  room.acked('x', { seq: 3, id: 'i', ts: NOON, dup: false });
  room.receive(event(9), ANA.id, true);
  assert.deepEqual(bodies(room), ['mine', 'm9']);
  assert.equal(room.sends.length, 0);
});

test('a repeated send that the log already had does not stay behind', () => {
  const room = joined();
  room.addSend('x', 'mine', ANA, NOON);
  room.receive(event(5), ANA.id, true);
  room.acked('x', { seq: 3, id: 'i', ts: NOON, dup: true });
  assert.equal(room.sends.length, 0);
  assert.deepEqual(bodies(room).sort(), ['m5', 'mine']);
});

test('a failed send can be retried or discarded, a pending one neither', () => {
  const room = joined();
  room.addSend('x', 'hi', ANA, NOON);
  assert.equal(room.retry('x'), null);
  room.discard('x');
  assert.equal(room.sends.length, 1);
  room.failed('x', 'no');
  assert.equal(room.rows().at(-1).error, 'no');
  assert.equal(room.retry('x'), 'hi');
  assert.equal(room.rows().at(-1).state, 'pending');
  room.failed('x', 'no');
  room.discard('x');
  assert.deepEqual(bodies(room), []);
});

test('messages and sends are bounded', () => {
  const room = joined();
  for (let seq = 1; seq <= KEEP_MESSAGES + 10; seq += 1) room.receive(event(seq), ANA.id, true);
  assert.equal(room.entries.length, KEEP_MESSAGES);
  assert.equal(bodies(room)[0], 'm11');
  for (let at = 0; at < MAX_SENDS; at += 1) assert.ok(room.addSend(`c${at}`, 'x', ANA, NOON));
  assert.equal(room.addSend('over', 'x', ANA, NOON), false);
});

test('unread counts what others wrote while nobody watched, and the line stands before the first', () => {
  const room = joined();
  room.receive(event(1), ANA.id, true);
  room.receive(event(2), ANA.id, false);
  room.receive(event(3), ANA.id, false);
  room.receive(event(4, { from: ANA }), ANA.id, false);
  assert.equal(room.unread, 2);
  assert.deepEqual(kinds(room), ['day', 'message', 'unread', 'message', 'message', 'message']);
  room.markRead();
  assert.equal(room.unread, 0);
  assert.ok(kinds(room).includes('unread'), 'the line stays for the one who comes back to read');
  room.addSend('x', 'answer', ANA, NOON);
  assert.ok(!kinds(room).includes('unread'));
});

test('history is not unread on a first visit, and unread after the mark on a later one', () => {
  const fresh = joined({ head: 3 });
  for (const seq of [1, 2, 3]) fresh.receive(event(seq), ANA.id, false);
  assert.equal(fresh.unread, 0);
  const known = new Room('general', { epoch: 'e1', seq: 1 });
  known.join(reply({ head: 3 }));
  for (const seq of [1, 2, 3]) known.receive(event(seq), ANA.id, false);
  assert.equal(known.unread, 2);
});

test('the log is live once the backlog has arrived', () => {
  const room = joined({ head: 2 });
  assert.equal(room.live, false);
  room.receive(event(1), ANA.id, true);
  assert.equal(room.live, false);
  room.receive(event(2), ANA.id, true);
  assert.equal(room.live, true);
  assert.equal(joined().live, true);
});

test('one heading for messages of one person in a row, a new one after another person, a pause, a new day', () => {
  const room = joined();
  const day = 24 * 3600_000;
  const from = [
    [BO, 0], [BO, 1000], [ANA, 2000], [BO, 3000], [BO, 3000 + 6 * 60_000], [BO, day], [BO, day + 1],
  ];
  from.forEach(([user, at], index) => room.receive(event(index + 1, { from: user, ts: NOON + at }), ANA.id, true));
  const heads = room.rows().flatMap((row) => (row.kind === 'message' ? [row.head] : []));
  assert.deepEqual(heads, [true, false, true, true, true, true, false]);
  assert.equal(kinds(room).filter((kind) => kind === 'day').length, 2);
});

test('presence adds, renames and removes', () => {
  const room = joined();
  room.presence({ in: [BO], out: [], count: 2 });
  room.presence({ in: [{ ...BO, name: 'Bob' }], out: [ANA.id], count: 1 });
  assert.deepEqual([...room.members.values()].map((user) => user.name), ['Bob']);
  assert.equal(room.count, 1);
});

test('the model routes events, watches only the current room and sums unread', () => {
  const model = new Model();
  model.me = ANA;
  model.show('general');
  model.open('other');
  for (const room of model.rooms.values()) room.join(reply({ room: room.name }));
  model.watching = true;
  assert.ok(model.apply(event(1)));
  assert.ok(model.apply(event(1, { room: 'other' })));
  assert.equal(model.apply(event(1, { room: 'unknown' })), false);
  assert.equal(model.apply({ ev: 'later', room: 'general' }), false);
  assert.equal(model.rooms.get('general').unread, 0);
  assert.equal(model.unread, 1);
  assert.ok(model.apply({ ev: 'kick', room: 'other', reason: 'kicked' }));
  assert.equal(model.rooms.get('other').joined, false);
});

test('a log that went back in time is a restart, though its epoch is the same', () => {
  const room = joined();
  room.receive(event(7), ANA.id, true);
  room.join(reply({ resume: 'reset', reason: 'ahead', head: 3 }));
  room.receive(event(3), ANA.id, false);
  assert.deepEqual(bodies(room), ['m7', 'm3']);
  assert.ok(kinds(room).includes('restart'));
});

test('edits and deletions change the message they are about, once, and are part of the chain', () => {
  const model = new Model();
  model.show('general');
  const { room } = model;
  room.join(reply());
  model.apply(event(1));
  model.apply(event(2, { ev: 'edit', target: 1, body: 'better' }));
  assert.deepEqual(room.rows().at(-1), { ...room.rows().at(-1), body: 'better', changed: 2 });
  model.apply(event(3, { ev: 'react', target: 1, emoji: '+1', on: true }));
  model.apply(event(4, { ev: 'from-the-future' }));
  model.apply(event(5, { ev: 'del', target: 1 }));
  model.apply(event(6, { ev: 'edit', target: 1, body: 'back again?' }));
  model.apply(event(7));
  assert.deepEqual(bodies(room), [null, 'm7']);
  assert.ok(!kinds(room).includes('gap'));
  model.apply(event(9, { ev: 'edit', target: 7, body: 'x' }));
  assert.ok(kinds(room).includes('gap'));
});
