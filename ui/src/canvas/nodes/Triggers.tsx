/** The trigger words of a LoRA as buttons. */
import { heldValue, setValue } from "../../document/edit/values";
import { useChoiceList } from "../../lists/choices";
import { edit, graph, useGraph } from "../../state/editor";
import { say, sayError } from "../../state/status";
import { useTyped } from "../../state/types";
import { Icon } from "../../style/Icon";
import { hasWord, promptAfter, withWord } from "./triggerWords";

const MOST_CHIPS = 3;

/** The words that invoke a LoRA; a click inserts one into the prompt that follows. */
export function Triggers({ id, words }: { id: string; words: readonly string[] }) {
  const typed = useTyped();
  const text = useGraph((state) => {
    const end = promptAfter(state, typed, id);
    return String((end && heldValue(state, end)) ?? "");
  });
  const insert = (word: string) => {
    const end = promptAfter(graph(), typed, id);
    if (!end) return sayError(`No prompt follows ${id}.`);
    const before = heldValue(graph(), end);
    const next = withWord(typeof before === "string" ? before : "", word);
    if (next !== before) edit(`Insert ${word}`, (state) => setValue(state, end, next));
    say(`“${word}” is in the prompt of ${end.node}.`);
  };
  const more = (anchor: HTMLElement) =>
    useChoiceList.getState().show({
      anchor,
      label: `${id}: trigger words`,
      value: "",
      isFree: false,
      empty: "",
      load: () => words.map((word) => ({ value: word, label: word })),
      pick: insert,
    });
  return (
    <>
      {words.slice(0, MOST_CHIPS).map((word) => (
        <button
          key={word}
          type="button"
          className="trigger cut"
          aria-label={`Insert ${word} into the prompt`}
          aria-pressed={hasWord(text, word)}
          title={hasWord(text, word) ? `${word} is in the prompt` : `Insert ${word} into the prompt`}
          onClick={() => insert(word)}
        >
          <Icon name={hasWord(text, word) ? "tick" : "add"} size={10} />
          {word}
        </button>
      ))}
      {words.length > MOST_CHIPS && (
        <button
          type="button"
          className="trigger"
          aria-haspopup="listbox"
          onClick={(event) => more(event.currentTarget)}
        >
          {words.length - MOST_CHIPS} more
        </button>
      )}
    </>
  );
}
