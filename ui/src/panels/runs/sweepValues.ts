/** The lists of values that are typed for a sweep. */
import type { Widget } from "../../schema/nodeTypes";

/** The most pictures of one sweep. */
const MOST = 400;

export interface ParsedList {
  values: readonly unknown[];
  /** Why the text is no list of values; empty if it is one. */
  problem: string;
}

/** True if the values are written one in a line, because they may have commas themselves. */
export function isOneInLine(widget: Widget): boolean {
  return (
    widget.kind === "text" || widget.kind === "file" || widget.kind === "json" || widget.kind === "stack"
  );
}

/** The values in a text, such as `4, 8, 12`, `1 to 9 by 2` or `1:9:2` for numbers, or one in a line for a text. */
export function parseList(text: string, widget: Widget): ParsedList {
  const parts = (isOneInLine(widget) ? text.split("\n") : text.split(/[,\n]/)).map((part) => part.trim());
  const values: unknown[] = [];
  for (const part of parts.filter(Boolean)) {
    const found = parseValue(part, widget);
    if (found === null) return { values: [], problem: `"${part}" does not fit: ${hintFor(widget)}` };
    values.push(...found);
  }
  if (values.length === 0) return { values, problem: "needs values" };
  if (values.length > MOST) return { values: [], problem: `${values.length} values are more than ${MOST}` };
  return {
    values: [...new Map(values.map((value) => [JSON.stringify(value), value])).values()],
    problem: "",
  };
}

function hintFor(widget: Widget): string {
  if (widget.kind === "switch") return "write on or off";
  if (widget.kind === "choice") return `choose from ${widget.choices.join(", ")}`;
  if (widget.kind === "json" || widget.kind === "stack") return "write JSON";
  const numbers = widget.kind === "number" && !widget.whole ? "numbers" : "whole numbers";
  return `write ${numbers}, such as 4, 8, 12, or a range, such as 1 to 9 by 2 or 1:9:2`;
}

function parseValue(part: string, widget: Widget): unknown[] | null {
  switch (widget.kind) {
    case "number":
      return numbers(part, widget.whole);
    case "seed":
      return part === "random" ? ["random"] : numbers(part, true);
    case "switch":
      return part === "on" || part === "true" ? [true] : part === "off" || part === "false" ? [false] : null;
    case "choice": {
      const choice = widget.choices.find((known) => String(known) === part);
      return choice === undefined ? null : [choice];
    }
    case "json":
    case "stack":
      try {
        return [JSON.parse(part) as unknown];
      } catch {
        return null;
      }
    default:
      return [part];
  }
}

/** A range in words, and as the command line takes it. */
const RANGE = /^(\S+)\s+to\s+(\S+)(?:\s+by\s+(\S+))?$/;
const COLONS = /^([^\s:]+):([^\s:]+)(?::([^\s:]+))?$/;

function numbers(part: string, isWhole: boolean): number[] | null {
  const range = RANGE.exec(part) ?? COLONS.exec(part);
  if (range === null) {
    const value = Number(part);
    return Number.isFinite(value) && (!isWhole || Number.isInteger(value)) ? [value] : null;
  }
  const [first, last, step] = [Number(range[1]), Number(range[2]), Number(range[3] ?? 1)];
  if (![first, last, step].every(Number.isFinite) || step === 0 || (last - first) * step < 0) return null;
  const count = Math.floor((last - first) / step + 1e-9) + 1;
  if (count > MOST || (isWhole && ![first, step].every(Number.isInteger))) return null;
  return Array.from({ length: count }, (_, i) => Number((first + i * step).toPrecision(12)));
}
