import assert from 'node:assert/strict';
import { test } from 'node:test';

import { initials, pattern } from '../avatar.js';
import { count, groups, shortcodeBefore, suggest, withEmoji } from '../emoji.js';
import { FOLD_CHARS, FOLD_LINES, isEmojiOnly, isLong, nameProblem, pieces, roomOfPath, roomProblem } from '../text.js';

const links = (body) => pieces(body).flatMap((piece) => (piece.href === null ? [] : [piece.text]));

test('known shortcodes become characters, alone, in text, and side by side', () => {
  assert.equal(withEmoji(':smile:'), '😄');
  assert.equal(withEmoji('so :+1::heart: !'), 'so 👍❤️ !');
  assert.equal(withEmoji('(:tada:)'), '(🎉)');
});

test('unknown shortcodes, times and paths with colons stay as typed', () => {
  for (const text of [':nosuch:', '10:100:30', 'std::on::x', ': smile :', ':', '::', 'a:smile:']) assert.equal(withEmoji(text), text);
  assert.equal(withEmoji(':nosuch:smile:'), ':nosuch:smile:');
});

test('a long text of colons is handled in one pass', () => {
  const text = ':a'.repeat(8000);
  assert.ok(withEmoji(text).length > 0);
  assert.equal(withEmoji(':'.repeat(16384)).length, 16384);
});

test('every name is unique, well formed and finds its character', () => {
  const all = [...groups.values()].flat();
  const names = all.flatMap((emoji) => emoji.names);
  assert.equal(new Set(names).size, names.length);
  assert.equal(count, names.length);
  assert.ok(count > 500);
  for (const { char, names: own } of all) {
    assert.match(char, /\p{Emoji}/u);
    for (const name of own) assert.equal(withEmoji(`:${name}:`), char);
  }
});

test('the shortcode at the cursor is found, one inside a word or address is not', () => {
  assert.deepEqual(shortcodeBefore('hi :smi'), { from: 3, typed: 'smi' });
  assert.deepEqual(shortcodeBefore(':SMI'), { from: 0, typed: 'smi' });
  for (const text of [':s', 'http://a', 'a:smi', '12:30', ': smi']) assert.equal(shortcodeBefore(text), null);
});

test('suggestions begin with what was typed before they contain it', () => {
  const names = suggest('heart', 50).map((each) => each.name);
  assert.equal(names[0], 'heart');
  assert.ok(names.indexOf('heart_eyes') < names.indexOf('green_heart'));
  assert.equal(suggest('heart', 3).length, 3);
  assert.deepEqual(suggest('zzzz', 3), []);
});

test('only http and https become links', () => {
  assert.deepEqual(links('see http://a.b/c and HTTPS://X.Y'), ['http://a.b/c', 'HTTPS://X.Y']);
  for (const text of ['javascript:alert(1)', 'data:text/html,x', 'ftp://a.b', 'https://', '<a href=x>']) assert.deepEqual(links(text), []);
});

test('a link ends before the sentence does and keeps the brackets it opened', () => {
  assert.deepEqual(links('(see https://a.b/c).'), ['https://a.b/c']);
  assert.deepEqual(links('https://a.b/x_(y), and'), ['https://a.b/x_(y)']);
  assert.deepEqual(links('<https://a.b/>'), ['https://a.b/']);
  assert.deepEqual(links('https://a.b/\u202egnp.exe'), ['https://a.b/']);
});

test('the pieces of a text are the text', () => {
  for (const body of ['plain', 'a https://x.y b', 'https://x.y', '<b>bold</b> & "quotes"', 'https://x.y)))))']) {
    assert.equal(pieces(body).map((piece) => piece.text).join(''), body);
  }
});

test('shortcodes inside a link stay', () => {
  assert.deepEqual(pieces('https://a.b/:smile:/x').map((piece) => piece.text), ['https://a.b/:smile:/x']);
});

test('a few emoji alone are told from text and digits', () => {
  for (const text of ['😄', '👍🏽 ❤️', '🏳️‍🌈', '🇩🇪🇫🇷']) assert.ok(isEmojiOnly(text), text);
  for (const text of ['', '12', '😄 yes', '#', '😄'.repeat(30)]) assert.ok(!isEmojiOnly(text), text);
});

test('names and rooms follow the rules of the protocol', () => {
  assert.equal(nameProblem(' Ana '), null);
  assert.equal(nameProblem('😄'.repeat(64)), null);
  for (const name of ['', '   ', 'a\u0000b', 'x'.repeat(65)]) assert.notEqual(nameProblem(name), null);
  for (const room of ['general', 'a b', 'Ä', '#x?y', '...']) assert.equal(roomProblem(room), null);
  for (const room of ['', '.', '..', 'a/b', ' a', 'a ', 'a\nb', 'x'.repeat(65)]) assert.notEqual(roomProblem(room), null);
});

test('an avatar is the same for the same seed, symmetric, and different for another', () => {
  const cells = pattern('9c1d2e3f');
  assert.deepEqual(cells, pattern('9c1d2e3f'));
  assert.notDeepEqual(cells, pattern('9c1d2e3e'));
  for (const row of cells) assert.deepEqual(row, [...row].reverse());
});

test('initials are those of the first and last word', () => {
  assert.equal(initials('ana maria lopez'), 'AL');
  assert.equal(initials(' 😄 '), '😄');
  assert.equal(initials(''), '?');
});

test('an address names a room, none, or says what is wrong with it', () => {
  assert.deepEqual(roomOfPath('/'), { room: null, problem: '' });
  assert.deepEqual(roomOfPath('/r/a%20b/'), { room: 'a b', problem: '' });
  for (const path of ['/r/a%2Fb', '/r/%ff', `/r/${'x'.repeat(65)}`, '/r/%20a', '/r/a%00']) {
    const { room, problem } = roomOfPath(path);
    assert.equal(room, null, path);
    assert.notEqual(problem, '', path);
  }
});

test('a message is long by its characters or by its lines', () => {
  assert.ok(!isLong('x'.repeat(FOLD_CHARS)));
  assert.ok(isLong('x'.repeat(FOLD_CHARS + 1)));
  assert.ok(!isLong('\n'.repeat(FOLD_LINES - 1)));
  assert.ok(isLong('\n'.repeat(FOLD_LINES)));
});
