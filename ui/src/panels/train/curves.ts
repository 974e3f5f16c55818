/** Curves: smoothing, axis marks and SVG paths. */

export type Point = readonly [step: number, value: number];

/** The points of one number of the rows; steps without it are left out. */
export function pointsOf(rows: readonly Readonly<Record<string, number | null>>[], name: string): Point[] {
  const points: Point[] = [];
  for (const row of rows) {
    const [step, value] = [row.step, row[name]];
    if (typeof step === "number" && typeof value === "number") points.push([step, value]);
  }
  return points;
}

/**
 * The exponential moving average of the values up to each point, corrected for its start, as in TensorBoard: later values
 * do not change it.
 *
 * @param weight 0 changes nothing; the nearer to 1, the smoother.
 */
export function smoothed(points: readonly Point[], weight: number): Point[] {
  let [sum, total] = [0, 0];
  return points.map(([step, value]) => {
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return [step, sum / total];
  });
}

/** About `wanted` round numbers that cover a range. */
export function ticks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const steps = [1, 2, 3, 5, 10].map((factor) => factor * power);
  const step = steps.reduce((best, next) => (Math.abs(next - raw) < Math.abs(best - raw) ? next : best));
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) {
    found.push(Number((i * step).toPrecision(10)));
  }
  return found;
}

/** The range that shows nearly all points: single extreme values do not flatten the curve. */
export function rangeOf(points: readonly Point[]): [low: number, high: number] {
  if (points.length === 0) return [0, 1];
  const values = points.map(([, value]) => value).sort((a, b) => a - b);
  const at = (part: number) => values[Math.min(values.length - 1, Math.round(part * (values.length - 1)))]!;
  const [low, high] = [at(0.005), at(0.995)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

export interface Scale {
  x: (step: number) => number;
  y: (value: number) => number;
}

/** A scale from steps and values to pixels. */
export function scaleFor(
  [firstStep, lastStep]: readonly [number, number],
  [low, high]: readonly [number, number],
  box: { left: number; top: number; width: number; height: number },
): Scale {
  const across = lastStep - firstStep || 1;
  const up = high - low || 1;
  return {
    x: (step) => box.left + ((step - firstStep) / across) * box.width,
    y: (value) => box.top + (1 - (Math.min(high, Math.max(low, value)) - low) / up) * box.height,
  };
}

/** The SVG path through points. */
export function pathOf(points: readonly Point[], scale: Scale): string {
  return points
    .map(
      ([step, value], i) => `${i === 0 ? "M" : "L"}${scale.x(step).toFixed(1)} ${scale.y(value).toFixed(1)}`,
    )
    .join("");
}

/** The point nearest to a step; undefined if there is none. */
export function nearest(points: readonly Point[], step: number): Point | undefined {
  let [low, high] = [0, points.length - 1];
  if (high < 0) return undefined;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle]![0] <= step) low = middle;
    else high = middle;
  }
  return step - points[low]![0] <= points[high]![0] - step ? points[low] : points[high];
}
