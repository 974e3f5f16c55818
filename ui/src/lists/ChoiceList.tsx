import { Popover } from "@base-ui/react/popover";
import { useEffect, useMemo, useRef, useState } from "react";
import { Icon } from "../style/Icon";
import { type Choice, useChoiceList } from "./choices";
import { matcher } from "./listKeys";
import { SearchList } from "./SearchList";

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
    const matches = matcher(query);
    const found = (choices ?? []).filter((choice) => matches(choice.label));
    if (open?.isFree && query.trim() !== "" && !found.some((choice) => choice.value === query.trim())) {
      return [...found, { value: query.trim(), label: `Use “${query.trim()}”` }];
    }
    return found;
  }, [choices, query, open]);

  if (!open) return null;
  return (
    <SearchList
      input={input}
      label={open.label}
      placeholder={open.isFree ? "Search, or type a name" : "Search"}
      isSmall
      query={query}
      onQuery={setQuery}
      rows={shown}
      start={shown.findIndex((choice) => choice.value === open.value)}
      keyOf={(choice) => choice.value}
      show={(choice) => (
        <>
          <span className="cut">{choice.label}</span>
          {choice.value === open.value && <Icon name="tick" size={12} />}
          {(choice.refused ?? choice.detail) && (
            <span className="detail">{choice.refused ?? choice.detail}</span>
          )}
        </>
      )}
      pick={(choice) => {
        open.pick(choice.value);
        close();
      }}
      note={failure || (choices !== null && shown.length === 0 && open.empty)}
    />
  );
}
