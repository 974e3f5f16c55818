/** Where measurements leave their figures for `tests/bench/canvas.py`. */
import { appendFileSync } from "node:fs";

/** Add a figure to the file that `SAFELIGHT_FIGURES` names; without one, print it. */
export function report(name: string, value: number): void {
  const line = `${JSON.stringify([name, value])}\n`;
  const file = process.env.SAFELIGHT_FIGURES;
  if (file) appendFileSync(file, line);
  else process.stdout.write(line);
}

/** The value that a share of the numbers is at most, such as 0.95 of them. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
