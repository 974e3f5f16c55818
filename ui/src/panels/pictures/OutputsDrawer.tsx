/** The gallery, which is the history: the written pictures of all runs on the server, the newest first. */
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { byRun, mark, type OutputRow, readMore, search, useOutputs } from "../../server/outputs";
import { thumbnail } from "../../server/requests/client";
import { useRuns } from "../../server/runs/runStore";
import { Icon } from "../../style/Icon";
import { attempt } from "../attempt";
import { Drawer, Filter, SearchField } from "../Drawer";
import { bytes, count, moment } from "../format";
import { label } from "./LargeView";
import { compareWith, isPicture, openPicture, openSweep, replaceRow, usePictures } from "./pictures";

const SEARCH_MS = 200;
/** A run with more pictures shows so many, and the number of the others. */
const SHOWN = 12;
const WHICH = "Pictures appear here after a run; those of safelight run only if it has --server.";

const FILTERS = [
  ["All", false, false],
  ["Starred", true, false],
  ["This graph", false, true],
] as const;

export function OutputsDrawer({ onClose }: { onClose: () => void }) {
  const { query, rows, hasMore, isLoaded } = useOutputs();
  const own = useRuns((state) => state.own);
  const [words, setWords] = useState(query.words);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const timer = setTimeout(() => void attempt(search({ words })), SEARCH_MS);
    return () => clearTimeout(timer);
  }, [words]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: observe again after each page, which may not fill the view
  useEffect(() => {
    const element = end.current;
    if (element === null) return;
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && void attempt(readMore()));
    observer.observe(element);
    return () => observer.disconnect();
  }, [rows]);
  const shown = useMemo(
    () => (query.ofDocument ? rows.filter((row) => own.includes(row.run)) : rows),
    [rows, own, query.ofDocument],
  );
  const groups = useMemo(() => byRun(shown), [shown]);
  const isFiltered = query.words !== "" || query.starred || query.ofDocument;

  return (
    <Drawer
      title="Outputs"
      meta={`${count(shown.length, "output")}${hasMore ? " and more" : ""}`}
      onClose={onClose}
    >
      <div className="drawer-tools">
        <SearchField
          label="Search outputs"
          placeholder="Prompt, model, tag"
          value={words}
          onChange={setWords}
        />
        <fieldset className="filters" aria-label="Which outputs">
          {FILTERS.map(([name, starred, ofDocument]) => (
            <Filter
              key={name}
              isOn={query.starred === starred && query.ofDocument === ofDocument}
              onPick={() => void attempt(search({ starred, ofDocument }))}
            >
              {name}
            </Filter>
          ))}
        </fieldset>
      </div>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys move between the buttons in it */}
      <div className="drawer-body" onKeyDown={walk}>
        {groups.map((group) => (
          <Group key={group.run} {...group} />
        ))}
        {isLoaded && !hasMore && (groups.length === 0 || !isFiltered) && (
          <p className="empty-note">{isFiltered ? "Nothing fits." : WHICH}</p>
        )}
        {hasMore && <div ref={end} className="more-below" />}
      </div>
    </Drawer>
  );
}

function Group({ run, title, rows }: { run: string; title: string; rows: readonly OutputRow[] }) {
  const [isWhole, setWhole] = useState(false);
  const pictures = rows.filter(isPicture);
  const files = rows.filter((row) => !isPicture(row));
  const hasSweep = pictures.some((row) => Object.keys(row.values).length > 0) && pictures.length > 1;
  const most = isWhole || pictures.length <= SHOWN ? pictures.length : SHOWN - 1;
  const made = rows.at(-1)?.made;
  return (
    <section aria-label={title}>
      <header className="group-head">
        <h3 className="cut grow">{title}</h3>
        {hasSweep && (
          <button type="button" className="link" onClick={() => openSweep(run)}>
            Grid
          </button>
        )}
        <span className="meta">{made === undefined ? "" : moment(made)}</span>
      </header>
      {pictures.length > 0 && (
        <ul className="gallery">
          {pictures.slice(0, most).map((row) => (
            <Thumbnail key={row.id} row={row} rows={pictures} />
          ))}
          {most < pictures.length && (
            <li>
              <button type="button" className="thumb others" onClick={() => setWhole(true)}>
                +{pictures.length - most}
              </button>
            </li>
          )}
        </ul>
      )}
      {files.map((row) => (
        <a key={row.id} className="file-row" href={row.url} download>
          <Icon name="file" size={14} />
          <span className="cut grow">
            {row.output} <span className="meta">{row.media}</span>
          </span>
          <span className="meta">{bytes(row.size)}</span>
        </a>
      ))}
    </section>
  );
}

function Thumbnail({ row, rows }: { row: OutputRow; rows: readonly OutputRow[] }) {
  const letter = usePictures(
    useShallow(({ a, b, large }) =>
      large === "none" ? "" : b?.id === row.id ? "B" : a?.id === row.id ? "A" : "",
    ),
  );
  const star = async () => {
    const changed = await attempt(mark(row.id, { star: !row.star }));
    if (changed) replaceRow(changed);
  };
  return (
    <li className="thumb-item">
      <button
        type="button"
        className={`thumb ${letter}`}
        aria-label={`${row.title}, ${label(row)}${row.star ? ", starred" : ""}`}
        title="Click to show, Shift-click to compare"
        draggable
        onDragStart={(event) => {
          event.dataTransfer.setData("application/x-safelight-output", JSON.stringify(row));
          event.dataTransfer.setData("text/uri-list", new URL(row.url, location.href).href);
          event.dataTransfer.effectAllowed = "copy";
        }}
        onClick={(event) => (event.shiftKey ? compareWith(row) : openPicture(row, rows))}
        onKeyDown={(event) => {
          if (event.key.toLowerCase() === "s" && !event.ctrlKey && !event.metaKey) void star();
          else if (event.key.toLowerCase() === "a" && !event.ctrlKey && !event.metaKey) compareWith(row);
        }}
      >
        <img src={thumbnail(row.url, 128)} alt="" loading="lazy" draggable={false} />
      </button>
      <button
        type="button"
        className={row.star ? "thumb-star on" : "thumb-star"}
        aria-label={row.star ? "Remove the star" : "Star"}
        aria-pressed={row.star}
        tabIndex={-1}
        onClick={() => void star()}
      >
        <Icon name={row.star ? "starred" : "star"} size={12} />
      </button>
    </li>
  );
}

/** Arrow keys go through the pictures. */
function walk(event: KeyboardEvent<HTMLDivElement>): void {
  const moves: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 4, ArrowUp: -4 };
  const by = moves[event.key];
  if (by === undefined) return;
  const all = [...event.currentTarget.querySelectorAll<HTMLElement>(".thumb")];
  const place = all.indexOf(document.activeElement as HTMLElement);
  if (place < 0) return;
  event.preventDefault();
  event.stopPropagation();
  all[Math.max(0, Math.min(all.length - 1, place + by))]?.focus();
}
