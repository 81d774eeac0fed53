// A classic script, run before the page is painted: a chosen theme must not flash in after the system's.
// The only other place that knows the key is page.js.
try {
  const theme = localStorage.getItem('fdx.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; then the system's theme it is.
}
