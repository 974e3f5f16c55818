import { goTo } from "../commands/canvasCommands";
import { graph } from "../state/editor";
import { typed } from "../state/types";
import { matcher } from "./listKeys";
import { Palette, type PaletteRow } from "./Palette";

/** The nodes of the graph, by id, title and type. */
export function FindNode({ onClose }: { onClose: () => void }) {
  return (
    <Palette
      title="Find a node of the graph"
      placeholder="Find a node"
      empty="No node of this graph has these words."
      rows={rows}
      onClose={onClose}
    />
  );
}

function rows(query: string): PaletteRow[] {
  const matches = matcher(query);
  return [...graph().nodes]
    .filter(([id, { title, type }]) => matches(`${id} ${title} ${type}`))
    .slice(0, 100)
    .map(([id, { title }]) => ({
      key: id,
      label: title ? `${title} (${id})` : id,
      detail: typed().type(id).name,
      run: () => goTo(id),
    }));
}
