import { useState } from "react";
import { type Json, writeJson } from "../document/json/json";
import { parseJson } from "../document/json/parseJson";
import type { FieldProps } from "./Field";

/** Any JSON value, written as text. A text that is not JSON changes nothing. */
export function JsonField({ value, label, invalid, describedBy, onChange, placeholder }: FieldProps) {
  const [typed, setTyped] = useState<string | null>(null);
  const parsed = typed === null ? undefined : read(typed);
  const type = (text: string) => {
    setTyped(text);
    const next = read(text);
    if (next !== undefined) onChange(next);
  };
  const wrong = invalid || (typed !== null && parsed === undefined);
  return (
    <input
      className={`field mono nodrag nopan${wrong ? " bad" : ""}`}
      aria-label={label}
      aria-invalid={wrong}
      aria-describedby={describedBy}
      autoComplete="off"
      spellCheck={false}
      placeholder={placeholder ?? "JSON"}
      value={typed ?? (value === undefined ? "" : writeJson(value))}
      onChange={(event) => type(event.currentTarget.value)}
      onBlur={() => setTyped(null)}
    />
  );
}

function read(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
