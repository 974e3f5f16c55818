import type { Widget } from "../schema/nodeTypes";
import { Icon } from "../style/Icon";
import type { FieldProps } from "./Field";
import { NumberField } from "./NumberField";

type SeedKind = Extract<Widget, { kind: "seed" }>;

/** A seed: a fixed number, or "random" for a new one in each run. */
export function SeedField({ widget, value, label, invalid, describedBy, onChange }: FieldProps<SeedKind>) {
  const random = value === "random";
  const number = { kind: "number", whole: true, min: 0, max: widget.max, step: 1 } as const;
  return (
    <span className={`seed${random ? " random" : ""}`}>
      {random ? (
        <span className="field">new each run</span>
      ) : (
        <NumberField
          widget={number}
          value={value}
          label={label}
          invalid={invalid}
          describedBy={describedBy}
          onChange={onChange}
        />
      )}
      <button
        type="button"
        className="seed-mode nodrag nopan"
        aria-label={`${label}: a new one each run`}
        aria-pressed={random}
        title={
          random
            ? "A new seed each run. Click to draw one and keep it."
            : "Fixed. Click for a new one each run."
        }
        onClick={() => onChange(random ? Math.floor(Math.random() * 2 ** 32) : "random")}
      >
        <Icon name={random ? "dice" : "lock"} size={12} />
      </button>
    </span>
  );
}
