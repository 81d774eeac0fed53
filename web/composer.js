/** The message field: Enter sends, the field grows, `:` suggests emoji, and a picker offers them all. */

import { groups, shortcodeBefore, suggest } from './emoji.js';
import { byId, el } from './page.js';

/** Suggestions shown at once. */
const SUGGESTIONS = 8;

/**
 * @param {() => void} submit called when what is in the field shall be sent
 * @returns {{text: string, focus: () => void, clear: () => void}}
 */
export function composer(submit) {
  /** @type {HTMLTextAreaElement} */ const input = byId('composer-input');
  const suggestions = suggestionList(input, insert);

  function grow() {
    input.style.height = 'auto';
    input.style.height = `${input.scrollHeight}px`;
  }

  /**
   * @param {string} char
   * @param {number} from
   * @param {number} to
   */
  function insert(char, from, to) {
    input.setRangeText(char, from, to, 'end');
    input.dispatchEvent(new Event('input'));
    input.focus();
  }

  input.addEventListener('input', () => {
    grow();
    byId('composer-error').textContent = '';
    suggestions.update();
  });
  input.addEventListener('keydown', (event) => {
    // While an input method composes, Enter chooses its candidate (229: what Safari still says afterwards).
    if (event.isComposing || event.keyCode === 229 || suggestions.key(event)) return;
    if (event.key !== 'Enter' || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    submit();
  });
  input.addEventListener('blur', () => suggestions.close());
  byId('composer').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    submit();
  });
  picker((char) => insert(char, input.selectionStart, input.selectionEnd));

  return {
    get text() {
      return input.value;
    },
    set text(text) {
      input.value = text;
      grow();
      suggestions.close();
    },
    focus: () => input.focus(),
    clear() {
      this.text = '';
    },
  };
}

/**
 * @param {HTMLTextAreaElement} input
 * @param {(char: string, from: number, to: number) => void} insert
 */
function suggestionList(input, insert) {
  /** @type {HTMLUListElement} */ const list = byId('suggestions');
  /** @type {{from: number, chosen: number, offers: {char: string, name: string}[]}} */
  let open = { from: 0, chosen: 0, offers: [] };

  function close() {
    open = { from: 0, chosen: 0, offers: [] };
    list.hidden = true;
    input.removeAttribute('aria-activedescendant');
  }

  function update() {
    const code = input.selectionStart === input.selectionEnd ? shortcodeBefore(input.value.slice(0, input.selectionStart)) : null;
    const offers = code === null ? [] : suggest(code.typed, SUGGESTIONS);
    if (code === null || offers.length === 0) {
      close();
      return;
    }
    open = { from: code.from, chosen: 0, offers };
    show();
  }

  function show() {
    list.replaceChildren(
      ...open.offers.map(({ char, name }, at) =>
        el(
          'li',
          { role: 'option', id: `suggestion-${at}`, 'data-at': String(at), 'aria-selected': String(at === open.chosen) },
          el('span', { class: 'emoji' }, char),
          ` :${name}:`,
        ),
      ),
    );
    list.hidden = false;
    input.setAttribute('aria-activedescendant', `suggestion-${open.chosen}`);
  }

  /** @param {number} at */
  function take(at) {
    const { from, offers } = open;
    close();
    insert(offers[at].char, from, input.selectionStart);
  }

  // Pressing, not clicking: the field must not lose the focus first.
  list.addEventListener('pointerdown', (event) => {
    const item = /** @type {Element} */ (event.target).closest('li');
    if (item === null) return;
    event.preventDefault();
    take(Number(item.dataset.at));
  });

  /**
   * @param {KeyboardEvent} event
   * @returns {boolean} true when the key was for the list
   */
  function key(event) {
    if (open.offers.length === 0) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      open.chosen = (open.chosen + step + open.offers.length) % open.offers.length;
      show();
    } else if (event.key === 'Tab' || (event.key === 'Enter' && !event.shiftKey)) take(open.chosen);
    else if (event.key === 'Escape') close();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  return { update, close, key };
}

/** @param {(char: string) => void} pick */
function picker(pick) {
  const button = byId('emoji-button');
  const panel = byId('emoji-picker');
  const search = byId('emoji-search');
  const grid = byId('emoji-grid');

  /** @param {boolean} open */
  function toggle(open) {
    panel.hidden = !open;
    button.setAttribute('aria-expanded', String(open));
    if (!open) return;
    search.value = '';
    fill();
    search.focus();
  }

  function fill() {
    const typed = search.value.trim().toLowerCase().replaceAll(' ', '_').replaceAll(':', '');
    const found = typed === '' ? null : suggest(typed, 200).map(({ char, name }) => ({ char, names: [name] }));
    const sections = found === null ? [...groups] : [/** @type {const} */ (['Found', found])];
    grid.replaceChildren(...sections.flatMap(([name, emoji]) => [el('h3', { class: 'label' }, name), section(emoji)]));
  }

  /** @param {{char: string, names: string[]}[]} emoji */
  function section(emoji) {
    const title = (/** @type {string} */ name) => `:${name}:`;
    return el(
      'div',
      { class: 'picker-section' },
      ...emoji.map(({ char, names }) => el('button', { type: 'button', 'data-emoji': char, title: title(names[0]), 'aria-label': names[0].replaceAll('_', ' ') }, char)),
    );
  }

  button.addEventListener('click', () => toggle(panel.hidden));
  search.addEventListener('input', fill);
  search.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    grid.querySelector('button')?.click();
  });
  grid.addEventListener('click', (/** @type {Event} */ event) => {
    const chosen = /** @type {HTMLElement} */ (event.target).dataset.emoji;
    if (chosen === undefined) return;
    toggle(false);
    pick(chosen);
  });
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || panel.hidden) return;
    toggle(false);
    button.focus();
  });
  document.addEventListener('pointerdown', (event) => {
    const target = /** @type {Node} */ (event.target);
    if (!panel.hidden && !panel.contains(target) && !button.contains(target)) toggle(false);
  });
}
