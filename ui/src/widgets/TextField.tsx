import type { Widget } from "../schema/nodeTypes";
import type { FieldProps } from "./Field";

type TextKind = Extract<Widget, { kind: "text" }>;

/** Text of one line, or of many. */
export function TextField({ widget, value, label, invalid, onChange, placeholder }: FieldProps<TextKind>) {
  const common = {
    "aria-label": label,
    "aria-invalid": invalid,
    spellCheck: false,
    placeholder: placeholder ?? "",
    value: typeof value === "string" ? value : "",
    onChange: (event: React.ChangeEvent<HTMLInputElement | HTMLTextAreaElement>) =>
      onChange(event.currentTarget.value),
  };
  const look = `${invalid ? " bad" : ""} nodrag nopan`;
  if (widget.multiline) return <textarea className={`area nowheel${look}`} {...common} />;
  return <input className={`field${look}`} autoComplete="off" {...common} />;
}
