import { Dialog } from "@base-ui/react/dialog";
import { type ReactNode, useRef, useState } from "react";
import { SearchList } from "./SearchList";

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
  const input = useRef<HTMLInputElement>(null);
  const shown = rows(query);

  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Popup className="pop palette" initialFocus={input} aria-label={title}>
          <SearchList
            input={input}
            label={title}
            placeholder={placeholder}
            query={query}
            onQuery={setQuery}
            rows={shown}
            keyOf={(row) => row.key}
            show={(row) => (
              <>
                <span className="cut">{row.label}</span>
                {row.detail !== undefined && <span className="detail">{row.detail}</span>}
              </>
            )}
            pick={(row) => {
              onClose();
              row.run();
            }}
            note={shown.length === 0 && empty}
          />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
