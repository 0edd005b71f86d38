// A hidden window gets no frames, but what waits for one must still happen.
const LONGEST_WAIT_MS = 250;

/**
 * Runs `action` with the first frame after `delay` milliseconds. Returns a function that
 * calls it off.
 */
export function nextFrame(action: () => void, delay = 0): () => void {
  let frame = 0;
  let start: ReturnType<typeof setTimeout> | undefined;
  const cancel = () => {
    cancelAnimationFrame(frame);
    clearTimeout(start);
    clearTimeout(timer);
  };
  const run = () => {
    cancel();
    action();
  };
  const timer = setTimeout(run, delay + LONGEST_WAIT_MS);
  const ask = () => (frame = requestAnimationFrame(run));
  if (delay > 0) start = setTimeout(ask, delay);
  else ask();
  return cancel;
}
