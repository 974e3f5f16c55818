import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { stepped } from "../lists/listKeys";
import type { Widget } from "../schema/nodeTypes";
import { type Completion, complete } from "../server/catalogue";
import { type OpenWord, openWord, withCompletion } from "./completion";
import type { FieldProps } from "./Field";

type TextKind = Extract<Widget, { kind: "text" }>;

interface Listed {
  readonly word: OpenWord;
  readonly items: readonly Completion[];
  /** The chosen row; -1 for none. */
  readonly at: number;
}

const MOST = 8;

/** Text of many lines. `<` lists embeddings and LoRAs while typing: Enter inserts one, Esc leaves the text. */
export function PromptField(props: FieldProps<TextKind>) {
  const { value, label, invalid, describedBy, onChange, placeholder } = props;
  const text = typeof value === "string" ? value : "";
  const area = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<number | null>(null);
  const asked = useRef<AbortController | null>(null);
  const [listed, setListed] = useState<Listed | null>(null);
  const id = useId();

  useLayoutEffect(() => {
    if (caret.current === null) return;
    area.current?.setSelectionRange(caret.current, caret.current);
    caret.current = null;
  });
  useEffect(() => () => asked.current?.abort(), []);

  const close = () => {
    asked.current?.abort();
    setListed(null);
  };
  const look = (content: string, place: number) => {
    asked.current?.abort();
    const word = openWord(content, place);
    if (!word) return setListed(null);
    const asking = new AbortController();
    asked.current = asking;
    complete(word.query, word.kind ? { kind: word.kind } : {}, asking.signal).then((found) => {
      if (asking.signal.aborted) return;
      const items = found.slice(0, MOST);
      setListed(items.length > 0 ? { word, items, at: word.end - word.start < 2 ? -1 : 0 } : null);
    }, close);
  };
  const insert = (item: Completion | undefined) => {
    if (!listed || !item) return;
    // More of the word may have been typed since its list was asked for.
    const word = openWord(text, area.current?.selectionStart ?? listed.word.end) ?? listed.word;
    const done = withCompletion(text, word, item.text);
    caret.current = done.caret;
    onChange(done.text);
    close();
    area.current?.focus();
  };
  const press = (event: KeyboardEvent) => {
    if (!listed) return;
    const at = stepped(event.key, listed.at, listed.items.length);
    if (at !== undefined) setListed({ ...listed, at });
    else if (event.key === "Enter" && listed.at >= 0 && !event.ctrlKey && !event.metaKey)
      insert(listed.items[listed.at]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <>
      <textarea
        ref={area}
        className={`area nowheel${invalid ? " bad" : ""} nodrag nopan`}
        aria-label={label}
        aria-invalid={invalid}
        aria-describedby={describedBy}
        aria-autocomplete="list"
        aria-controls={listed ? id : undefined}
        aria-activedescendant={listed && listed.at >= 0 ? `${id}-${listed.at}` : undefined}
        spellCheck={false}
        placeholder={placeholder ?? ""}
        value={text}
        onChange={(event) => {
          onChange(event.currentTarget.value);
          look(event.currentTarget.value, event.currentTarget.selectionStart);
        }}
        onKeyDown={press}
        onClick={close}
        onBlur={close}
      />
      {listed && <CompletionList id={id} listed={listed} anchor={area.current} pick={insert} />}
    </>
  );
}

interface ListProps {
  readonly id: string;
  readonly listed: Listed;
  readonly anchor: HTMLElement | null;
  readonly pick: (item: Completion) => void;
}

/** The list below the text, above everything else on the page. */
function CompletionList({ id, listed, anchor, pick }: ListProps) {
  const box = anchor?.getBoundingClientRect();
  if (!box) return null;
  const { query } = listed.word;
  return createPortal(
    <div className="pop completions" style={{ left: box.left, top: box.bottom + 2 }}>
      <div id={id} role="listbox" aria-label="Embeddings and LoRAs" className="pop-list">
        {listed.items.map((item, index) => (
          <div
            key={`${item.kind} ${item.text}`}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === listed.at}
            className={`pop-row${index === listed.at ? " on" : ""}`}
            onPointerDown={(event) => {
              event.preventDefault(); // the text keeps the focus
              pick(item);
            }}
          >
            <span className="cut">
              <Marked text={item.text} query={query} />
            </span>
            <span className="detail">{[item.kind, item.base].filter(Boolean).join(", ")}</span>
          </div>
        ))}
      </div>
      <div className="pop-keys">
        <span className="key">Enter</span> inserts
        <span className="key">Esc</span> leaves the text
      </div>
    </div>,
    document.body,
  );
}

/** A text with the typed letters marked. */
function Marked({ text, query }: { text: string; query: string }) {
  const at = query === "" ? -1 : text.toLowerCase().indexOf(query.toLowerCase());
  if (at < 0) return text;
  return (
    <>
      {text.slice(0, at)}
      <mark>{text.slice(at, at + query.length)}</mark>
      {text.slice(at + query.length)}
    </>
  );
}
