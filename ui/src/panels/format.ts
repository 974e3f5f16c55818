/** Times, sizes and numbers as the page shows them. */

/** A span such as `0.4 s`, `12 s` or `2:05`. */
export function span(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 0.095) return `${Math.max(seconds, 0.01).toFixed(2)} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  return clock(milliseconds);
}

/** A span as minutes and seconds, such as `0:32`, or as hours, `1:02:05`. */
export function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const rest = String(seconds % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** How long ago a time in seconds since the epoch was: `now`, `6 min ago`, `3 h ago`, or its date. */
export function ago(seconds: number, now: number = Date.now() / 1000): string {
  const passed = Math.max(0, now - seconds);
  if (passed < 45) return "now";
  if (passed < 3570) return `${Math.max(1, Math.round(passed / 60))} min ago`;
  if (passed < 86_400) return `${Math.max(1, Math.round(passed / 3600))} h ago`;
  return day(seconds);
}

const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export function day(seconds: number): string {
  return DAY.format(seconds * 1000);
}

/** The time of day, such as `14:21`. */
export function timeOfDay(seconds: number): string {
  return TIME.format(seconds * 1000);
}

/** The time of day if it is today's, else the date with it. */
export function moment(seconds: number, now: number = Date.now() / 1000): string {
  return day(seconds) === day(now) ? timeOfDay(seconds) : `${day(seconds)}, ${timeOfDay(seconds)}`;
}

/** A size such as `4.2 MB`. */
export function bytes(size: number): string {
  let value = size;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5 || unit === "GB")
      return `${unit === "B" || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${unit}`;
    value /= 1000;
  }
  return "";
}

/** A number with up to three significant digits, such as `0.0713` or `1.0e-3`. */
export function figure(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.01 || size >= 1e5) return value.toExponential(1);
  return size >= 100 ? value.toFixed(0) : size >= 1 ? value.toFixed(2) : value.toFixed(3);
}

/** `1 picture`, `3 pictures`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A name of the file as people read it: `clip_skip` is `clip skip`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** A JSON value as one short line. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value === "" ? "none" : value;
  if (typeof value === "number")
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "on" : "off";
  return JSON.stringify(value);
}
