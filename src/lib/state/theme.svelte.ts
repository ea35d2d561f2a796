/** Light, dark, or whatever the system says. Kept in localStorage; nothing else knows it. */
export type Theme = 'system' | 'light' | 'dark';

const KEY = 'retort-theme';
const ORDER: readonly Theme[] = ['system', 'light', 'dark'];

export function isTheme(value: unknown): value is Theme {
  return ORDER.some((theme) => theme === value);
}

class ThemeState {
  current = $state<Theme>('system');

  /** Reads the kept choice; call once in the browser. */
  restore(): void {
    try {
      const kept = localStorage.getItem(KEY);
      if (isTheme(kept)) this.set(kept);
    } catch {
      // Storage may be forbidden; the system's theme is then the theme.
    }
  }

  next(): void {
    this.set(ORDER[(ORDER.indexOf(this.current) + 1) % ORDER.length] ?? 'system');
  }

  private set(theme: Theme): void {
    this.current = theme;
    const root = document.documentElement;
    if (theme === 'system') delete root.dataset['theme'];
    else root.dataset['theme'] = theme;
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Same: a choice that cannot be kept still holds for this page.
    }
  }
}

export const theme = new ThemeState();
