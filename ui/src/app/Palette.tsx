import { Dialog } from "@base-ui/react/dialog";
import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { Icon } from "./Icon";

export interface PaletteRow {
  readonly key: string;
  readonly group?: string | undefined;
  readonly label: ReactNode;
  readonly detail?: ReactNode;
  readonly run: () => void;
}

interface PaletteProps {
  readonly title: string;
  readonly placeholder: string;
  /** The rows for what is typed, the best first. */
  readonly rows: (query: string) => readonly PaletteRow[];
  readonly empty: string;
  readonly onClose: () => void;
}

/** A list that typing searches: commands, nodes of the graph. */
export function Palette({ title, placeholder, rows, empty, onClose }: PaletteProps) {
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);
  const shown = rows(query);
  const current = Math.min(at, shown.length - 1);

  useEffect(() => {
    list.current?.querySelector(`[data-index="${current}"]`)?.scrollIntoView({ block: "nearest" });
  }, [current]);

  const pick = (row: PaletteRow | undefined) => {
    if (!row) return;
    onClose();
    row.run();
  };
  const press = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) {
      event.preventDefault();
      setAt((current + step + shown.length) % Math.max(1, shown.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      pick(shown[current]);
    }
  };

  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="pop palette" initialFocus={input} aria-label={title}>
          <div className="pop-search">
            <Icon name="search" />
            <input
              ref={input}
              className="big"
              role="combobox"
              aria-expanded="true"
              aria-controls="palette-rows"
              aria-activedescendant={shown.length > 0 ? `palette-${current}` : undefined}
              aria-label={title}
              placeholder={placeholder}
              value={query}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => {
                setQuery(event.currentTarget.value);
                setAt(0);
              }}
              onKeyDown={press}
            />
          </div>
          <div id="palette-rows" role="listbox" aria-label={title} className="pop-list" ref={list}>
            {shown.map((row, index) => (
              <div key={row.key} role="presentation">
                {row.group !== undefined && row.group !== shown[index - 1]?.group && (
                  <div className="pop-group">{row.group}</div>
                )}
                {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field above handles the keys of the list */}
                <div
                  id={`palette-${index}`}
                  data-index={index}
                  role="option"
                  tabIndex={-1}
                  aria-selected={index === current}
                  className={`pop-row${index === current ? " on" : ""}`}
                  onClick={() => pick(row)}
                >
                  <span className="cut">{row.label}</span>
                  {row.detail !== undefined && <span className="detail">{row.detail}</span>}
                </div>
              </div>
            ))}
            {shown.length === 0 && <div className="pop-empty">{empty}</div>}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
