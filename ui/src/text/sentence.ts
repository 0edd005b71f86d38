/** A message that may come without its end. */
export function withPeriod(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
