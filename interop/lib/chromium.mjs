// Debian's Chromium, driven by `playwright-core`, with a new profile each time.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { SOON } from './process.mjs';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** Nothing that talks to the network by itself. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Starts a browser that ends with the test. */
export async function launch(t, flags = []) {
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: [...FLAGS, ...flags] });
  t.after(() => browser.close());
  return browser;
}

/**
 * Opens a page as a visitor who was never there before. `faults` collects what the page got wrong: script errors,
 * errors on the console (a refused content policy is one) and requests to other servers.
 */
export async function visit(browser, url, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(SOON);
  const page = await context.newPage();
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error') page.faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) page.faults.push(`request to ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

/** Waits until `look()` gives what is expected. */
export async function eventually(look, expected) {
  const deadline = Date.now() + SOON;
  for (;;) {
    const seen = await look();
    try {
      assert.deepEqual(seen, expected);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
