/** Says that the graph was saved, and what became of the files beside it. */
import { useDocument } from "../server/documents/documents";
import { sentence } from "../server/requests/problems";
import { say, sayError } from "../state/status";

export function saySaved(name: string): void {
  const { copied, left } = useDocument.getState().files;
  const files = copied.length === 0 ? "" : ` with a copy of ${copied.join(", ")}`;
  const text = `Saved ${name}${files}.`;
  if (left.length === 0) say(text);
  else sayError([text, ...left.map(sentence)].join(" "));
}
