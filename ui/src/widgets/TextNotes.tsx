/** Beside the name of a prompt: how many tokens it has, and the first warning about it. */
import { useNodeProblems, useTextLength } from "../server/documents/check";
import { sentence } from "../server/requests/problems";
import { useWholeId } from "../state/editor";
import { Icon } from "../style/Icon";

interface TextNotesProps {
  /** The id of the element, which describes the field. */
  readonly id: string;
  readonly node: string;
  readonly input: string;
}

export function TextNotes({ id, node, input }: TextNotesProps) {
  const whole = useWholeId(node);
  const length = useTextLength(whole, input);
  const warnings = useNodeProblems(whole).filter(
    (problem) => problem.input === input && problem.severity === "warning",
  );
  const [first] = warnings;
  return (
    <span id={id} className="text-notes" role="status">
      {first && (
        <span className="text-warning" title={warnings.map((item) => sentence(item.message)).join("\n")}>
          <Icon name="warn" size={12} label="Warning" />
          <span className="cut">{sentence(first.message)}</span>
        </span>
      )}
      {length !== undefined && length.chunks.length > 0 && (
        <span className="text-count" title={chunkWords(length)}>
          {sum(length.chunks)} / {length.room * length.chunks.length}
          <span className="visually-hidden"> tokens</span>
        </span>
      )}
    </span>
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The tokens of each chunk in words, such as `81 tokens in 2 chunks: 75 + 6`. */
export function chunkWords({ chunks, room }: { chunks: readonly number[]; room: number }): string {
  if (chunks.length < 2) return `${chunks[0] ?? 0} of ${room} tokens`;
  return `${sum(chunks)} tokens in ${chunks.length} chunks of at most ${room}: ${chunks.join(" + ")}`;
}
