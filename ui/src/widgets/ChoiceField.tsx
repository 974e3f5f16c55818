import { writeJson } from "../document/json/json";
import { type Choice, useChoiceList } from "../lists/choices";
import type { Widget } from "../schema/nodeTypes";
import { Icon } from "../style/Icon";
import type { FieldProps } from "./Field";

type ChoiceKind = Extract<Widget, { kind: "choice" }>;

/** One of a fixed set of values. */
export function ChoiceField(props: FieldProps<ChoiceKind>) {
  const { widget, value, label, invalid, describedBy, onChange } = props;
  const choices = widget.choices.map((choice) => (typeof choice === "string" ? choice : writeJson(choice)));
  const shown = value === undefined ? "" : typeof value === "string" ? value : writeJson(value);
  const pick = (text: string) => {
    const index = choices.indexOf(text);
    if (index >= 0) onChange(widget.choices[index]!);
  };
  return (
    <PickerButton
      label={label}
      value={shown}
      text={shown}
      invalid={invalid}
      describedBy={describedBy}
      empty="No choices."
      load={() => choices.map((choice) => ({ value: choice, label: choice }))}
      pick={pick}
    />
  );
}

interface PickerProps {
  label: string;
  value: string;
  text: string;
  invalid: boolean;
  describedBy: string | undefined;
  empty: string;
  load: () => Promise<readonly Choice[]> | readonly Choice[];
  pick: (value: string) => void;
  /** True if a value may be typed that is not in the list. */
  isFree?: boolean;
  /** True for the names of files, which are long. */
  isWide?: boolean;
}

/** A button that shows the value and opens the list of choices. */
export function PickerButton(props: PickerProps) {
  const { text, invalid, describedBy, label, isFree = false, isWide = false, ...list } = props;
  const show = (anchor: HTMLElement) => useChoiceList.getState().show({ anchor, label, isFree, ...list });
  return (
    <button
      type="button"
      className={`field picker${isWide ? " wide" : ""} nodrag nopan${invalid ? " bad" : ""}`}
      aria-label={`${label}: ${text || "nothing chosen"}`}
      title={text}
      aria-haspopup="listbox"
      aria-describedby={describedBy}
      onClick={(event) => show(event.currentTarget)}
      onKeyDown={(event) => {
        if (event.key !== "ArrowDown") return;
        event.preventDefault();
        show(event.currentTarget);
      }}
    >
      <span className="cut">{text}</span>
      <Icon name="down" size={12} />
    </button>
  );
}
