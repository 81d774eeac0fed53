// Screenshots of the page for a person to look at, in SCREENSHOTS or `.check/screenshots`; and what a program can judge of them.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Visitor } from '../lib/chat.mjs';
import { eventually, launch } from '../lib/chromium.mjs';
import { ROOT, listen } from '../lib/process.mjs';
import { relay } from '../lib/relay.mjs';

const FOLDER = process.env.SCREENSHOTS ?? join(ROOT, '.check', 'screenshots');
const DESKTOP = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const LOOKS = [
  { name: 'desktop-light', options: { ...DESKTOP, colorScheme: 'light' } },
  { name: 'desktop-dark', options: { ...DESKTOP, colorScheme: 'dark' } },
  { name: 'phone-light', options: { ...PHONE, colorScheme: 'light' } },
  { name: 'phone-dark', options: { ...PHONE, colorScheme: 'dark' } },
];
/** [who, what]: short and long, one author twice, links, emoji, code, other scripts, a word without a place to break. */
const TALK = [
  ['Ana', 'Good morning! The release is out: https://example.com/releases/0.1.0'],
  ['Ana', 'Has anybody tried it on a phone?'],
  ['Bo Lindqvist', 'Just did. It reconnects faster than I can notice that it was gone 👏🏽'],
  ['Ana', '🎉🎉🎉'],
  ['Bo Lindqvist', 'A longer thought, then. '.repeat(12).trim()],
  ['Ana', 'first line\nsecond line\n    indented <b>markup</b> & more'],
  ['Bo Lindqvist', 'שלום, 你好, مرحبا'],
  ['Ana', 'https://example.com/' + 'averylongpath'.repeat(12)],
];

/** Writes a picture of the page and checks that nothing is wider than the window. */
async function picture({ page }, name) {
  // The picture is of where things that move come to rest.
  await page.evaluate(() =>
    Promise.allSettled(
      document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished),
    ),
  );
  await page.screenshot({ path: join(FOLDER, `${name}.png`) });
  const { width, shown } = await page.evaluate(() => ({ width: document.documentElement.scrollWidth, shown: innerWidth }));
  assert.ok(width <= shown, `${name} is ${width} wide in a window of ${shown}`);
}

/** Two people and their conversation. */
async function conversation(browser, http) {
  const people = new Map();
  for (const name of ['Ana', 'Bo Lindqvist']) {
    const visitor = await Visitor.open(browser, http);
    await visitor.name(name, `${name}@example.com`);
    people.set(name, visitor);
  }
  for (const [count, [who, what]] of TALK.entries()) {
    await people.get(who).say(what);
    for (const visitor of people.values()) await eventually(async () => (await visitor.messages()).length, count + 1);
  }
  return people;
}

test('the page fits its window, wide and narrow, light and dark', async (t) => {
  await mkdir(FOLDER, { recursive: true });
  const [hub, browser] = [await listen(t, 'serve'), await launch(t)];
  await conversation(browser, hub.http);
  const network = await relay(t, hub.port);
  for (const { name, options } of LOOKS) {
    const visitor = await Visitor.open(browser, network.http, options);
    await eventually(async () => (await visitor.messages()).length, TALK.length);
    await picture(visitor, name);
    if (name.startsWith('phone')) {
      for (const panel of ['rooms', 'people']) {
        await visitor.page.locator(`#${panel}-toggle`).click();
        await visitor.page.locator(`#${panel}-panel.open`).waitFor();
        await picture(visitor, `${name}-${panel}`);
        await visitor.page.keyboard.press('Escape');
      }
    }
    await visitor.say('a message without a name');
    await visitor.page.locator('#name-dialog').waitFor();
    await picture(visitor, `${name}-name`);
    await visitor.page.locator('#name-cancel').click();
    assert.deepEqual(visitor.page.faults, []);
    network.cut();
    await visitor.disconnected();
    await picture(visitor, `${name}-offline`);
    network.restore();
    await visitor.page.context().close();
  }
  const empty = await Visitor.open(browser, `${hub.http}/r/quiet`, { ...DESKTOP, colorScheme: 'light' });
  await empty.page.locator('#empty').waitFor();
  await picture(empty, 'empty-room');
});
