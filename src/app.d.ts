declare global {
  /** Short hash of the commit this bundle was built from, or 'unknown'. */
  const __COMMIT__: string;
}

export {};
