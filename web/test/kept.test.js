import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  MAX_DRAFT_CHARS, MAX_ROOMS, MAX_UNSENT, MAX_UNSENT_CHARS, Unsent, knownDrafts, knownGuest, knownRooms, knownUser,
} from '../kept.js';

const ANA = { id: 'u_ana', name: 'Ana', avatar: 'aa' };
const JUNK = [null, undefined, 7, 'text', [], [null], {}, [[]], [7], { name: 5 }, [{ name: null }], [{ room: 'general' }]];
const message = (cid, overrides = {}) => ({ room: 'general', cid, body: `m ${cid}`, ts: 1, from: ANA, ...overrides });

/** A store that keeps texts, as the browser does. */
function fakeStore(full = false) {
  const texts = new Map();
  return {
    get: (key) => JSON.parse(texts.get(key) ?? 'null'),
    set: (key, value) => !full && Boolean(texts.set(key, JSON.stringify(value))),
  };
}

test('whatever is found in the storage, nothing but what it should be is taken', () => {
  for (const junk of JUNK) {
    assert.deepEqual(knownUser(junk), {}, JSON.stringify(junk));
    assert.deepEqual(knownRooms(junk), [], JSON.stringify(junk));
    assert.deepEqual(knownDrafts(junk).filter(([, text]) => typeof text !== 'string'), []);
    assert.equal(knownGuest(junk), null);
    const store = fakeStore();
    store.set('unsent', junk);
    assert.deepEqual(new Unsent(store).all(), [], JSON.stringify(junk));
  }
});

test('a user keeps name and e-mail, a bad name is nobody', () => {
  assert.deepEqual(knownUser({ name: 'Ana', email: 'a@b.c' }), { name: 'Ana', email: 'a@b.c' });
  assert.deepEqual(knownUser({ name: 'Ana', email: 5 }), { name: 'Ana', email: '' });
  assert.deepEqual(knownUser({ name: 'x'.repeat(65) }), {});
});

test('a guest secret that the server would refuse is not used again', () => {
  assert.equal(knownGuest('k8JmVQ2sR0u3pXyWz1aB'), 'k8JmVQ2sR0u3pXyWz1aB');
  for (const bad of ['short', 'x'.repeat(129), 'ü'.repeat(20)]) assert.equal(knownGuest(bad), null);
});

test('rooms keep how far they were read, bad ones are passed over, and they are bounded', () => {
  const read = { epoch: 'e', seq: 3 };
  assert.deepEqual(knownRooms([null, { name: 'a', read }, { name: 'a/b', read }, { name: 'b', read: { seq: 'x' } }]), [
    { name: 'a', read }, { name: 'b', read: null },
  ]);
  const many = Array.from({ length: MAX_ROOMS + 5 }, (_, at) => ({ name: `r${at}` }));
  assert.deepEqual(knownRooms(many).map(({ name }) => name), many.slice(5).map(({ name }) => name));
});

test('drafts are kept by room, empty and endless ones are not', () => {
  assert.deepEqual(knownDrafts({ general: 'hi', other: '', 'a/b': 'x', long: 'x'.repeat(MAX_DRAFT_CHARS + 1) }), [['general', 'hi']]);
});

test('unsent messages are there for the next page, in order, until they were sent', () => {
  const store = fakeStore();
  const before = new Unsent(store);
  for (const cid of ['1', '2', '3']) assert.ok(before.add(message(cid)));
  const after = new Unsent(store);
  assert.deepEqual(after.all(), ['1', '2', '3'].map((cid) => message(cid)));
  after.remove(({ cid }) => cid === '2');
  assert.deepEqual(before.all().map(({ cid }) => cid), ['1', '3']);
});

test('one bad entry does not take the others with it', () => {
  const store = fakeStore();
  store.set('unsent', [null, message('1'), message('2', { room: 'a/b' }), message('3', { from: null }), message('4', { body: 5 })]);
  assert.deepEqual(new Unsent(store).all().map(({ cid }) => cid), ['1']);
});

test('unsent messages are bounded by number and by characters, and a full disk is told', () => {
  const many = new Unsent(fakeStore());
  for (let at = 0; at < MAX_UNSENT; at += 1) assert.ok(many.add(message(`${at}`)));
  assert.equal(many.add(message('over')), false);
  assert.equal(many.all().length, MAX_UNSENT);
  const big = new Unsent(fakeStore());
  assert.ok(big.add(message('1', { body: 'x'.repeat(MAX_UNSENT_CHARS) })));
  assert.equal(big.add(message('2')), false);
  assert.equal(new Unsent(fakeStore(true)).add(message('1')), false);
});
