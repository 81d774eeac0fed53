// The chat page as its users see it.
import { eventually, visit } from './chromium.mjs';

/** A visitor of the chat page. */
export class Visitor {
  constructor(page) {
    this.page = page;
  }

  static async open(browser, url, options) {
    const visitor = new Visitor(await visit(browser, url, options));
    await visitor.connected();
    return visitor;
  }

  /** Waits until the banner says that there is nothing to say. */
  async connected() {
    await this.page.locator('#banner[data-phase="ready"]').waitFor({ state: 'attached' });
  }

  /** Waits until the page shows that it has no connection. */
  async disconnected() {
    await this.page.locator('#banner:not([data-phase="ready"])').waitFor();
  }

  async name(name, email = '') {
    await this.page.locator('#me').click();
    await this.page.locator('#name-input').fill(name);
    await this.page.locator('#email-input').fill(email);
    await this.page.locator('#name-submit').click();
    await this.page.locator('#name-dialog').waitFor({ state: 'hidden' });
  }

  async say(text) {
    await this.page.locator('#composer-input').fill(text);
    await this.page.locator('#composer-input').press('Enter');
  }

  /** The messages on the page, from the top. */
  messages() {
    return this.page.locator('#log .message .body').allInnerTexts();
  }

  /** Where messages are missing, or the room began anew. */
  marks() {
    return this.page.locator('#log .mark:is(.gap, .restart)').allInnerTexts();
  }

  /** How many messages are still to be sent, or failed. */
  unsent() {
    return this.page.locator('#log .message:not([data-state="sent"])').count();
  }

  /** The names of those who are here, in alphabetical order. */
  async people() {
    return (await this.page.locator('#people li bdi').allInnerTexts()).sort();
  }

  /** Waits until exactly these messages are on the page. */
  async sees(messages) {
    await eventually(() => this.messages(), messages);
  }
}
