/** Sizes of everything in the window, as browsers offer them. */
const sizes = [0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2];

/** The next size above or below `zoom`. */
export function nextZoom(zoom: number, direction: 1 | -1): number {
  const others = direction > 0 ? sizes : [...sizes].reverse();
  return others.find((size) => (size - zoom) * direction > 0.001) ?? zoom;
}
