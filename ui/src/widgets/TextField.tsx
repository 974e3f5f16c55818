import type { Widget } from "../schema/nodeTypes";
import type { FieldProps } from "./Field";
import { PromptField } from "./PromptField";

type TextKind = Extract<Widget, { kind: "text" }>;

/** Text of one line, or of many. */
export function TextField(props: FieldProps<TextKind>) {
  const { widget, value, label, invalid, describedBy, onChange, placeholder } = props;
  if (widget.multiline) return <PromptField {...props} />;
  return (
    <input
      className={`field${invalid ? " bad" : ""} nodrag nopan`}
      aria-label={label}
      aria-invalid={invalid}
      aria-describedby={describedBy}
      autoComplete="off"
      spellCheck={false}
      placeholder={placeholder ?? ""}
      value={typeof value === "string" ? value : ""}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
