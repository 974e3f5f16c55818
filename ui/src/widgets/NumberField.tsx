import { type KeyboardEvent, useState } from "react";
import { asFloat, type Json, numberOf } from "../document/json/json";
import type { Widget } from "../schema/nodeTypes";
import { arithmetic } from "./arithmetic";
import type { FieldProps } from "./Field";

export type NumberWidget = Extract<Widget, { kind: "number" }>;

/** A number: type digits or arithmetic, or step with the arrow keys. */
export function NumberField(props: FieldProps<NumberWidget>) {
  const { widget, value, label, invalid, describedBy, onChange, optional, placeholder } = props;
  const [typed, setTyped] = useState<string | null>(null);
  const number = numberOf(value);
  const shown = typed ?? (number === undefined ? "" : shortNumber(number, widget.whole));

  const set = (next: number) => onChange(numberJson(widget, next));
  const type = (text: string) => {
    setTyped(text);
    if (text.trim() === "" && optional) onChange(null);
    const next = arithmetic(text);
    if (next !== undefined) set(next);
  };
  const press = (event: KeyboardEvent<HTMLInputElement>) => {
    const direction = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (direction !== 0) {
      event.preventDefault();
      setTyped(null);
      set((number ?? 0) + direction * stepOf(widget) * (event.shiftKey ? 10 : 1));
    } else if (event.key === "Enter") {
      setTyped(null);
      event.currentTarget.select();
    }
  };

  return (
    <input
      className={`field number nodrag nopan${invalid ? " bad" : ""}`}
      aria-label={label}
      aria-invalid={invalid}
      aria-describedby={describedBy}
      inputMode="decimal"
      autoComplete="off"
      spellCheck={false}
      placeholder={placeholder ?? ""}
      value={shown}
      style={rangeMark(widget, number)}
      onChange={(event) => type(event.currentTarget.value)}
      onFocus={(event) => event.currentTarget.select()}
      onBlur={() => setTyped(null)}
      onKeyDown={press}
    />
  );
}

/** A number as the value of an input: within the range, and whole where the input takes whole numbers. */
export function numberJson(widget: NumberWidget, value: number): Json {
  const { min = -Infinity, max = Infinity } = widget;
  const inside = Math.min(max, Math.max(min, value));
  if (widget.whole) return Math.round(inside);
  return asFloat(Number(inside.toPrecision(12)));
}

/** The change for one press of an arrow key. */
export function stepOf({ whole, min, max, step }: NumberWidget): number {
  if (step !== undefined) return step;
  if (whole) return 1;
  return min !== undefined && max !== undefined && max - min <= 2 ? 0.05 : 0.1;
}

/** The digits of a number that a person reads: 4, 0.75, 1e-5; a float that is whole has one decimal, 4.0. */
export function shortNumber(value: number, whole: boolean): string {
  if (whole) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value.toFixed(1);
  return String(Number(value.toPrecision(8)));
}

/** The line at the foot of a field that shows where the value lies in a range of at most 100 steps. */
function rangeMark(widget: NumberWidget, value: number | undefined) {
  const { min, max } = widget;
  if (value === undefined || min === undefined || max === undefined) return undefined;
  if (!((max - min) / stepOf(widget) <= 100)) return undefined;
  return { "--part": `${(100 * (value - min)) / (max - min)}%` } as React.CSSProperties;
}
