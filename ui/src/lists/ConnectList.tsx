import { join } from "../canvas/wires/wireDrop";
import type { From } from "../document/graph";
import { refusal } from "../schema/connections";
import { graph, useSelection } from "../state/editor";
import { typed } from "../state/types";
import { matcher } from "./listKeys";
import { Palette, type PaletteRow } from "./Palette";

/** Every connection that an output of the selected node can have, for those who do not drag. */
export function ConnectList({ onClose }: { onClose: () => void }) {
  return (
    <Palette
      title="Connect from a list"
      placeholder="Connect to"
      empty="No free input of another node takes an output of this one."
      rows={rows}
      onClose={onClose}
    />
  );
}

function rows(query: string): PaletteRow[] {
  const [node] = useSelection.getState().nodes;
  if (node === undefined) return [];
  const matches = matcher(query);
  const found: PaletteRow[] = [];
  for (const output of typed().type(node).outputs) {
    const source: From = { kind: "from", node, output: output.name };
    for (const target of graph().nodes.keys()) {
      for (const input of typed().type(target).inputs) {
        const to = { node: target, input: input.name };
        const name = `${output.name} → ${target}.${input.name}`;
        if (input.widget.kind !== "none" && query.trim() === "") continue;
        if (!matches(name)) continue;
        if (refusal(typed(), source, to) !== undefined) continue;
        const held = graph().nodes.get(target)?.inputs.get(input.name);
        const detail = held?.kind === "from" ? `replaces ${held.node}` : undefined;
        found.push({ key: name, label: name, detail, run: () => join(source, to) });
      }
    }
  }
  return found;
}
