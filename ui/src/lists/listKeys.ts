/** The row of a list after an arrow key, around the ends of the list; undefined for another key. -1 is no row. */
export function stepped(key: string, at: number, count: number): number | undefined {
  const step = key === "ArrowDown" ? 1 : key === "ArrowUp" ? -1 : 0;
  if (step === 0) return undefined;
  const length = Math.max(1, count);
  return (Math.max(at, step < 0 ? 0 : -1) + step + length) % length;
}

/** A test whether a text has all words of a query. */
export function matcher(query: string): (text: string) => boolean {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return (text) => words.every((word) => text.toLowerCase().includes(word));
}

/** The active row: the one that was moved to, else `start`, if the list still has it, else its last; -1 is no row. */
export function activeRow(moved: number | null, start: number, count: number): number {
  return Math.min(moved ?? Math.max(0, start), count - 1);
}
