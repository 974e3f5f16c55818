import { lazy, Suspense } from "react";
import { heldValue } from "../../document/edit/values";
import { setBinding } from "../../document/edit/wires";
import { type Entry, literal } from "../../document/graph";
import { isList, isObject, type Json, type JsonObject } from "../../document/json/json";
import { useChoiceList } from "../../lists/choices";
import type { InputType } from "../../schema/nodeTypes";
import { USUAL_WEIGHT, useCatalogue, weightFor } from "../../server/catalogue";
import { fileName } from "../../server/documents/files";
import { edit, graph } from "../../state/editor";
import { Icon } from "../../style/Icon";
import { listModels } from "../../widgets/FileField";
import { NumberField } from "../../widgets/NumberField";
import { changeValue } from "./InputField";
import { Socket } from "./Socket";

const Triggers = lazy(async () => ({ default: (await import("./Triggers")).Triggers }));

const WEIGHT = { kind: "number", whole: false, min: -10, max: 10, step: 0.05 } as const;

interface StackProps {
  readonly id: string;
  readonly input: InputType;
  readonly entry: Entry;
}

/** The values of a row: number 0 is made of the node's own inputs, the others are elements of the list. */
function rowOf(id: string, entry: Entry, input: InputType, index: number): JsonObject {
  if (index > 0) return rowsOf(entry, input)[index - 1] ?? new Map();
  const own = ["lora", "weight", "on"].flatMap((name): [string, Json][] => {
    const value = heldValue(graph(), { node: id, input: name });
    return value === undefined ? [] : [[name, value]];
  });
  return new Map(own);
}

function rowsOf(entry: Entry, input: InputType): readonly JsonObject[] {
  const held = entry.inputs.get(input.name);
  return held?.kind === "value" && isList(held.value) ? held.value.filter(isObject) : [];
}

/** One LoRA of a stack: on or off, its file, its weight, and the words that invoke it. */
export function StackRow({ id, input, entry, index }: StackProps & { readonly index: number }) {
  const row = rowOf(id, entry, input, index);
  const file = String(row.get("lora") ?? "");
  const model = useCatalogue(({ models }) => models.find((one) => one.kind === "lora" && one.file === file));
  const isOn = row.get("on") !== false;
  const put = (key: string, value: Json) => {
    if (index === 0) return changeValue({ node: id, input: key }, value);
    const rows = rowsOf(entry, input).map((item, at) =>
      at === index - 1 ? new Map(item).set(key, value) : item,
    );
    changeValue({ node: id, input: input.name }, rows);
  };
  const remove = () => {
    const rows = rowsOf(entry, input).filter((_, at) => at !== index - 1);
    edit(`Remove ${file}`, (state) => setBinding(state, { node: id, input: input.name }, literal(rows)));
  };
  return (
    <div className={`node-stack nodrag${isOn ? "" : " off"}`}>
      <input
        type="checkbox"
        aria-label={`${file || "LoRA"} on`}
        checked={isOn}
        onChange={(event) => put("on", event.currentTarget.checked)}
      />
      <button
        type="button"
        className="stack-name cut"
        title={file}
        aria-haspopup="listbox"
        onClick={(event) =>
          pickLora(event.currentTarget, `${id} LoRA ${index + 1}`, file, (name) => put("lora", name))
        }
      >
        {fileName(file).replace(/^.*[\\/]|\.safetensors$/g, "") || "Choose a LoRA"}
      </button>
      <NumberField
        widget={WEIGHT}
        value={row.get("weight") ?? USUAL_WEIGHT}
        label={`weight of ${file || "the LoRA"}`}
        invalid={false}
        onChange={(next) => put("weight", next)}
      />
      {/* Of a file beside the graph, the server lists no words. */}
      <span className="stack-words">
        {model?.triggers.length === 0 && "no trigger word"}
        {model && model.triggers.length > 0 && (
          <Suspense>
            <Triggers id={id} words={model.triggers} />
          </Suspense>
        )}
      </span>
      <span className="stack-base">
        {model?.base ?? ""}
        {index > 0 && (
          <button type="button" aria-label={`Remove ${file}`} onClick={remove}>
            <Icon name="close" size={12} />
          </button>
        )}
      </span>
    </div>
  );
}

/** The button below a stack that adds a LoRA, with the socket for a list of them. */
export function StackAdd({ id, input, entry }: StackProps) {
  const add = (name: string) => {
    const row = new Map<string, Json>([
      ["lora", name],
      ["weight", weightFor(name)],
    ]);
    edit(`Add ${name}`, (state) =>
      setBinding(state, { node: id, input: input.name }, literal([...rowsOf(entry, input), row])),
    );
  };
  return (
    <div className="node-row">
      <Socket node={id} name={input.name} type="target" wire={input.wire} isResting isOptional />
      <button
        type="button"
        className="stack-add nodrag"
        onClick={(event) => pickLora(event.currentTarget, `${id}: add a LoRA`, "", add)}
      >
        <Icon name="add" size={12} /> Add a LoRA
      </button>
    </div>
  );
}

function pickLora(anchor: HTMLElement, title: string, value: string, pick: (name: string) => void): void {
  useChoiceList.getState().show({
    anchor,
    label: title,
    value,
    isFree: true,
    empty: "Put files into models/loras, or name a folder in settings.json.",
    load: () => listModels("lora"),
    pick,
  });
}
