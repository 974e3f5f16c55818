import type { FieldProps } from "./Field";

/** An on/off switch. */
export function Switch({ value, label, onChange }: FieldProps) {
  const on = value === true;
  return (
    <button
      type="button"
      role="switch"
      className="switch nodrag nopan"
      aria-checked={on}
      aria-label={label}
      onClick={() => onChange(!on)}
    />
  );
}
