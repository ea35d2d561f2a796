// A chosen theme holds from the first paint; src/lib/state/theme.svelte.ts keeps the choice.
(() => {
  try {
    const theme = localStorage.getItem('retort-theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Storage may be forbidden; the system's theme is then the theme.
  }
})();
