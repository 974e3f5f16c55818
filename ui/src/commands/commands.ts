/** Everything the page can do, with its keys: the palette, the menus and the key sheet all read this list. */
import type { IconName } from "../style/Icon";

export interface Command {
  readonly id: string;
  /** What it does, as in a menu. */
  readonly label: string;
  readonly group: Group;
  /** The keys, the first of which is shown. */
  readonly keys?: readonly string[];
  readonly icon?: IconName;
  /** Where the keys work: on the canvas, everywhere but in fields, or everywhere. */
  readonly scope: "canvas" | "not typing" | "page";
  /** False if menus leave it out now. */
  readonly isShown?: () => boolean;
  /** False if it cannot be done now. */
  readonly isPossible?: () => boolean;
  /** False if menus on a node leave it out. */
  readonly onNode?: boolean;
  readonly run: () => void;
}

export type Group = "Run" | "Edit" | "Nodes" | "Canvas" | "Graph" | "Page";

const commands: Command[] = [];

/** Add commands to the list; a module does this once, when it is loaded. */
export function define(...added: readonly Command[]): void {
  commands.push(...added);
}

export function allCommands(): readonly Command[] {
  return commands;
}

export function command(id: string): Command | undefined {
  return commands.find((item) => item.id === id);
}

/** Do a command by its id, if it can be done now. */
export function perform(id: string): void {
  const found = command(id);
  if (found && found.isPossible?.() !== false) found.run();
}
