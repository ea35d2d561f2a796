/** Lets the keyboard reach a box exactly as long as its content is wider than the box. */
export function scrollable(node: HTMLElement): () => void {
  const update = () => {
    if (node.scrollWidth > node.clientWidth) node.tabIndex = 0;
    else node.removeAttribute('tabindex');
  };
  const observer = new ResizeObserver(update);
  observer.observe(node);
  return () => observer.disconnect();
}
