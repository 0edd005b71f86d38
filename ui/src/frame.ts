// A hidden window gets no frames, but what waits for one must still happen.
const LONGEST_WAIT_MS = 250;

/** Runs `action` with the next frame. Returns a function that calls it off. */
export function nextFrame(action: () => void): () => void {
  const cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const run = () => {
    cancel();
    action();
  };
  const timer = setTimeout(run, LONGEST_WAIT_MS);
  const frame = requestAnimationFrame(run);
  return cancel;
}
