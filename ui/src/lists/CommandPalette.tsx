import { allCommands } from "../commands/commands";
import { shownKeys } from "../commands/keys";
import { matcher } from "./listKeys";
import { Palette, type PaletteRow } from "./Palette";

/** Every command that can be done now, by its words. */
export function CommandPalette({ onClose }: { onClose: () => void }) {
  return (
    <Palette
      title="Commands"
      placeholder="Search a command"
      empty="No command has these words."
      rows={rows}
      onClose={onClose}
    />
  );
}

function rows(query: string): PaletteRow[] {
  const matches = matcher(query);
  return allCommands()
    .filter((item) => item.isPossible?.() !== false)
    .filter((item) => matches(`${item.group} ${item.label}`))
    .map((item) => ({
      key: item.id,
      group: query.trim() === "" ? item.group : undefined,
      label: item.label,
      detail: item.keys?.[0] === undefined ? undefined : <kbd>{shownKeys(item.keys[0])}</kbd>,
      run: item.run,
    }));
}
