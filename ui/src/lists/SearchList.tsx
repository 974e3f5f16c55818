import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useId, useState } from "react";
import { Icon } from "../style/Icon";
import { activeRow, stepped } from "./listKeys";

interface ListRow {
  readonly group?: string | undefined;
  /** Why it cannot be picked. */
  readonly refused?: string | undefined;
}

interface SearchListProps<Row> {
  readonly input: RefObject<HTMLInputElement | null>;
  readonly label: string;
  readonly listLabel?: string;
  readonly placeholder: string;
  readonly isSmall?: boolean;
  readonly query: string;
  readonly onQuery: (query: string) => void;
  readonly rows: readonly Row[];
  /** The row that is active before anything is typed. */
  readonly start?: number;
  readonly keyOf: (row: Row) => string;
  readonly show: (row: Row, isActive: boolean) => ReactNode;
  readonly pick: (row: Row) => void;
  /** A line below the rows, such as why there are none. */
  readonly note?: string | false;
  /** Shown after the field. */
  readonly beside?: ReactNode;
  /** Shown between the field and the rows. */
  readonly children?: ReactNode;
}

/** A field with a list of rows below it: typing searches, arrow keys choose, Enter picks. The field keeps the focus. */
export function SearchList<Row extends ListRow>({ rows, start = 0, ...list }: SearchListProps<Row>) {
  const [moved, setMoved] = useState<number | null>(null);
  const id = useId();
  const active = activeRow(moved, start, rows.length);

  useEffect(() => {
    document.getElementById(`${id}-${active}`)?.scrollIntoView({ block: "nearest" });
  }, [id, active]);

  const pick = (row: Row | undefined) => {
    if (row && !row.refused) list.pick(row);
  };
  const press = (event: KeyboardEvent) => {
    const next = stepped(event.key, active, rows.length);
    if (next !== undefined) setMoved(next);
    else if (event.key === "Enter") pick(rows[active]);
    if (next !== undefined || event.key === "Enter") event.preventDefault();
    // Esc goes on to the popup around the list, which closes.
    if (event.key !== "Escape") event.stopPropagation();
  };

  return (
    <>
      <div className="pop-search">
        <Icon name="search" size={list.isSmall ? 14 : 16} />
        <input
          ref={list.input}
          className={list.isSmall ? "" : "big"}
          role="combobox"
          aria-expanded="true"
          aria-controls={id}
          aria-activedescendant={active >= 0 ? `${id}-${active}` : undefined}
          aria-label={list.label}
          placeholder={list.placeholder}
          value={list.query}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => {
            list.onQuery(event.currentTarget.value);
            setMoved(0);
          }}
          onKeyDown={press}
        />
        {list.beside}
      </div>
      {list.children}
      <div id={id} role="listbox" aria-label={list.listLabel ?? list.label} className="pop-list">
        {rows.map((row, index) => (
          <div key={list.keyOf(row)} role="presentation">
            {row.group !== undefined && row.group !== rows[index - 1]?.group && (
              <div className="pop-group">{row.group}</div>
            )}
            {/* biome-ignore lint/a11y/useKeyWithClickEvents: the field above handles the keys of the list */}
            <div
              id={`${id}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === active}
              aria-disabled={Boolean(row.refused)}
              className={`pop-row${index === active ? " on" : ""}${row.refused ? " refused" : ""}`}
              onClick={() => pick(row)}
            >
              {list.show(row, index === active)}
            </div>
          </div>
        ))}
        {list.note && <div className="pop-empty">{list.note}</div>}
      </div>
    </>
  );
}
