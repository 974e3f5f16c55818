import { isList, isObject, type Json, type JsonObject } from "../document/json/json";
import { useChoiceList } from "../lists/choices";
import type { Widget } from "../schema/nodeTypes";
import { USUAL_WEIGHT, weightFor } from "../server/catalogue";
import { fileName } from "../server/documents/files";
import { Icon } from "../style/Icon";
import type { FieldProps } from "./Field";
import { listModels } from "./FileField";
import { NumberField } from "./NumberField";

type StackKind = Extract<Widget, { kind: "stack" }>;

const WEIGHT = { kind: "number", whole: false, min: -10, max: 10, step: 0.05 } as const;

/** The rows of a stack: LoRAs with their weights, each on or off. */
export function stackRows(value: Json | undefined): readonly JsonObject[] {
  return isList(value) ? value.filter(isObject) : [];
}

/** LoRAs that apply one after another: switch, name and weight in each row. */
export function StackField({ value, label, invalid, onChange }: FieldProps<StackKind>) {
  const rows = stackRows(value);
  const put = (index: number, key: string, next: Json) =>
    onChange(rows.map((row, at) => (at === index ? new Map(row).set(key, next) : row)));
  const add = (anchor: HTMLElement) =>
    useChoiceList.getState().show({
      anchor,
      label: `${label}: add a LoRA`,
      value: "",
      isFree: true,
      empty: "Put files into models/loras, or name a folder in settings.json.",
      load: () => listModels("lora"),
      pick: (name) =>
        onChange([
          ...rows,
          new Map<string, Json>([
            ["lora", name],
            ["weight", weightFor(name)],
          ]),
        ]),
    });

  return (
    <fieldset className={`stack nodrag nopan${invalid ? " bad" : ""}`} aria-label={label}>
      {rows.map((row, index) => {
        const name = String(row.get("lora") ?? "");
        const isOn = row.get("on") !== false;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: the place in the stack is the identity of a row
          <div className={`stack-row${isOn ? "" : " off"}`} key={index}>
            <input
              type="checkbox"
              aria-label={`${name} on`}
              checked={isOn}
              onChange={(event) => put(index, "on", event.currentTarget.checked)}
            />
            <span className="cut" title={name}>
              {fileName(name)}
            </span>
            <NumberField
              widget={WEIGHT}
              value={row.get("weight") ?? USUAL_WEIGHT}
              label={`weight of ${name}`}
              invalid={false}
              onChange={(next) => put(index, "weight", next)}
            />
            <button
              type="button"
              aria-label={`Remove ${name}`}
              onClick={() => onChange(rows.filter((_, at) => at !== index))}
            >
              <Icon name="close" size={12} />
            </button>
          </div>
        );
      })}
      <button type="button" className="stack-add" onClick={(event) => add(event.currentTarget)}>
        <Icon name="add" size={12} /> Add a LoRA
      </button>
    </fieldset>
  );
}
