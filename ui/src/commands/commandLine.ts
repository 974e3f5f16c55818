import { isList, type Json, writeJson } from "../document/json/json";
import { useDocument } from "../server/documents/documents";
import { documents } from "../state/editor";

/** The command that runs the graph with the values of its controls. */
export function commandLine(): string {
  const { root } = documents.getState();
  const name = useDocument.getState().id ?? "graph.json";
  const parts = ["safelight run", quoted(name)];
  for (const [input, item] of root.inputs) {
    if (item.default === undefined) continue;
    if (item.sweep > 0 && isList(item.default)) {
      parts.push(`--sweep ${quoted(`${input}=${item.default.map(valueText).join(",")}`)}`);
    } else {
      parts.push(`--${input.replaceAll("_", "-")} ${quoted(valueText(item.default))}`);
    }
  }
  return parts.join(" ");
}

function valueText(value: Json): string {
  return typeof value === "string" ? value : writeJson(value);
}

/** A text as one word of a shell. */
export function quoted(text: string): string {
  return /^[\w.,:/@+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}
