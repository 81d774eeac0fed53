/** What both pages share: element making, storage that may be missing, the theme, waking up. */

/**
 * @param {string} id
 * @returns {any} the element; the pages and these scripts are one piece, so it exists
 */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes an element. Texts become text nodes, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * A storage area as JSON; private windows and full disks make it forget, not fail.
 * @param {() => Storage} area asked for each time: where storage is forbidden, already naming it throws
 */
function jsonStore(area) {
  return {
    /**
     * @param {string} key
     * @returns {any} null when there is nothing to be read
     */
    get(key) {
      try {
        return JSON.parse(area().getItem(`fdx.${key}`) ?? 'null');
      } catch {
        return null;
      }
    },

    /**
     * @param {string} key
     * @param {unknown} value
     * @returns {boolean} false when the value lasts only as long as the page
     */
    set(key, value) {
      try {
        area().setItem(`fdx.${key}`, JSON.stringify(value));
        return true;
      } catch {
        return false;
      }
    },
  };
}

/** What all tabs share, for good. */
export const storage = jsonStore(() => localStorage);
/** What one tab keeps over its reloads. */
export const tabStorage = jsonStore(() => sessionStorage);

/**
 * A button that switches between light and dark. The choice equal to the system's is no choice: it follows again.
 * @param {HTMLButtonElement} button
 */
export function themeToggle(button) {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const shown = () => root.dataset.theme ?? (system.matches ? 'dark' : 'light');
  const label = () => {
    button.setAttribute('aria-label', shown() === 'dark' ? 'Use the light theme' : 'Use the dark theme');
    button.title = button.getAttribute('aria-label') ?? '';
  };
  button.addEventListener('click', () => {
    const wanted = shown() === 'dark' ? 'light' : 'dark';
    if (wanted === (system.matches ? 'dark' : 'light')) delete root.dataset.theme;
    else root.dataset.theme = wanted;
    remember(root.dataset.theme);
    label();
  });
  system.addEventListener('change', label);
  label();
}

/** @param {string | undefined} theme kept without JSON, as theme.js reads it */
function remember(theme) {
  try {
    if (theme === undefined) localStorage.removeItem('fdx.theme');
    else localStorage.setItem('fdx.theme', theme);
  } catch {
    // As above.
  }
}

/**
 * Calls back when the page may have slept or the network changed: no close event tells.
 * @param {() => void} wake
 */
export function onWake(wake) {
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) wake();
  });
  window.addEventListener('online', wake);
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) wake();
  });
}

/**
 * Collects calls until the next frame, so that however much arrives, the page is drawn once.
 * @param {() => void} draw
 * @returns {() => void}
 */
export function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
