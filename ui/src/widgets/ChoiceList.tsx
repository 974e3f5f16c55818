import { Popover } from "@base-ui/react/popover";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { Icon } from "../app/Icon";
import { type Choice, useChoiceList } from "./choices";

/** The list below the field that opened it: search, arrow keys, Enter. It exists once in the page. */
export function ChoiceList() {
  const open = useChoiceList((state) => state.open);
  const close = useChoiceList((state) => state.close);
  const input = useRef<HTMLInputElement>(null);
  return (
    <Popover.Root open={open !== null} onOpenChange={(isOpen) => !isOpen && close()}>
      <Popover.Portal>
        <Popover.Positioner anchor={open?.anchor ?? null} align="start" sideOffset={2} className="pop-layer">
          <Popover.Popup
            className="pop choices"
            aria-label={open?.label ?? ""}
            initialFocus={input}
            finalFocus={() => open?.anchor ?? true}
          >
            {open && <Choices key={open.label} input={input} />}
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Choices({ input }: { input: React.RefObject<HTMLInputElement | null> }) {
  const open = useChoiceList((state) => state.open);
  const close = useChoiceList((state) => state.close);
  const [choices, setChoices] = useState<readonly Choice[] | null>(null);
  const [failure, setFailure] = useState("");
  const [query, setQuery] = useState("");
  const [at, setAt] = useState<number | null>(null);
  const list = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!open) return;
    let isCurrent = true;
    Promise.resolve(open.load()).then(
      (found) => isCurrent && setChoices(found),
      (error: unknown) => isCurrent && setFailure(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      isCurrent = false;
    };
  }, [open]);

  const shown = useMemo(() => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const found = (choices ?? []).filter((choice) =>
      words.every((word) => choice.label.toLowerCase().includes(word)),
    );
    if (open?.isFree && query.trim() !== "" && !found.some((choice) => choice.value === query.trim())) {
      return [...found, { value: query.trim(), label: `Use “${query.trim()}”` }];
    }
    return found;
  }, [choices, query, open]);
  const current = Math.min(
    at ??
      Math.max(
        0,
        shown.findIndex((choice) => choice.value === open?.value),
      ),
    shown.length - 1,
  );

  useEffect(() => {
    list.current?.querySelector(`[data-index="${current}"]`)?.scrollIntoView({ block: "nearest" });
  }, [current]);

  if (!open) return null;
  const pick = (choice: Choice | undefined) => {
    if (!choice || choice.refused) return;
    open.pick(choice.value);
    close();
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
    event.stopPropagation();
  };

  return (
    <>
      <div className="pop-search">
        <Icon name="search" size={14} />
        <input
          ref={input}
          role="combobox"
          aria-expanded="true"
          aria-controls="choices"
          aria-activedescendant={shown.length > 0 ? `choice-${current}` : undefined}
          aria-label={open.label}
          placeholder={open.isFree ? "Search, or type a name" : "Search"}
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
      <div id="choices" role="listbox" aria-label={open.label} className="pop-list" ref={list}>
        {shown.map((choice, index) => (
          <div key={choice.value} role="presentation">
            {choice.group !== undefined && choice.group !== shown[index - 1]?.group && (
              <div className="pop-group">{choice.group}</div>
            )}
            {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field above handles the keys of the list */}
            <div
              id={`choice-${index}`}
              data-index={index}
              role="option"
              tabIndex={-1}
              aria-selected={index === current}
              aria-disabled={choice.refused !== undefined}
              className={`pop-row${index === current ? " on" : ""}${choice.refused ? " refused" : ""}`}
              onClick={() => pick(choice)}
            >
              <span className="cut">{choice.label}</span>
              {choice.value === open.value && <Icon name="tick" size={12} />}
              {(choice.refused ?? choice.detail) && (
                <span className="detail">{choice.refused ?? choice.detail}</span>
              )}
            </div>
          </div>
        ))}
        {failure !== "" && <div className="pop-empty">{failure}</div>}
        {failure === "" && choices !== null && shown.length === 0 && (
          <div className="pop-empty">{open.empty}</div>
        )}
      </div>
    </>
  );
}
