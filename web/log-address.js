/** The log page's address says what is looked at, so that it can be passed on. No DOM. */

/** Sources followed when the address names none. */
export const FOLLOWED_FIRST = 8;

/**
 * @param {string} pathname
 * @returns {string | null} NAME of `/logs/NAME`
 */
function namedInPath(pathname) {
  const match = /^\/logs\/([^/]+)\/?$/.exec(pathname);
  try {
    return match === null ? null : decodeURIComponent(match[1]);
  } catch {
    return null;
  }
}

/**
 * The sources to follow at first: those of `?source=`, or the one of `/logs/NAME`, or the first ones.
 * @param {{pathname: string, search: string}} location
 * @param {string[]} sources all there are
 * @returns {string[]}
 */
export function wantedSources({ pathname, search }, sources) {
  const asked = new URLSearchParams(search).getAll('source');
  const named = namedInPath(pathname);
  if (asked.length > 0) return sources.filter((name) => asked.includes(name));
  return named === null ? sources.slice(0, FOLLOWED_FIRST) : sources.filter((name) => name === named);
}

/**
 * The shortest address that leads to the same view.
 * @param {string} pathname the present one
 * @param {string[]} sources all there are
 * @param {string[]} followed in the order of `sources`
 * @param {string} filter as typed
 * @returns {string}
 */
export function addressOf(pathname, sources, followed, filter) {
  const query = new URLSearchParams();
  const standard = wantedSources({ pathname, search: '' }, sources);
  if (followed.length === 0) query.set('source', '');
  else if (followed.join('\n') !== standard.join('\n')) for (const name of followed) query.append('source', name);
  // A path that names one source would contradict a list of others.
  const path = query.size > 0 && namedInPath(pathname) !== null ? '/logs' : pathname;
  if (filter !== '') query.set('q', filter);
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}
