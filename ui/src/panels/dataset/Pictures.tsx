/** A grid of pictures and captions. Only the rows in view are in the page, so thousands of pictures are no burden. */
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { address } from "../../server/requests/client";
import { sentence } from "../../server/requests/problems";
import { useView } from "../../state/view";
import { useBox } from "../pictures/Stage";
import { captionOf, type Listed, type Row, sizeOf } from "./captions";

const SIDES = 40;
const GAP = 12;
const LEAST_WIDTH = 176;
/** The height of a picture, and of the lines below it at a text size of 1. */
const [PICTURE, TEXT] = [172, 106];
const MOST_CHARACTERS = 20_000;

interface PicturesProps {
  /** The id of the dataset, for the addresses of its pictures. */
  id: string;
  listed: Listed;
  /** The places of the pictures to show. */
  places: readonly number[];
  /** Called with a new caption; undefined if captions cannot be changed. */
  onCaption: ((row: Row, caption: string) => void) | undefined;
}

export function Pictures({ id, listed, places, onCaption }: PicturesProps) {
  const [frame, box] = useBox<HTMLDivElement>();
  const scale = useView((state) => state.textScale);
  const [at, setAt] = useState(0);
  const [isEditing, setEditing] = useState(false);
  const [top, setTop] = useState(0);
  /** True while the keys move to a picture, which then takes the focus. */
  const isMoving = useRef(false);
  const columns = Math.max(1, Math.floor((box.width - SIDES + GAP) / (LEAST_WIDTH * Math.sqrt(scale) + GAP)));
  const height = PICTURE + TEXT * scale + GAP;
  const lines = Math.ceil(places.length / columns);
  const first = Math.max(0, Math.min(Math.floor(top / height) - 1, lines - 1));
  const last = Math.min(lines, Math.ceil((top + box.height) / height) + 1);
  const current = Math.min(at, places.length - 1);
  const line = Math.floor(current / columns);
  // The picture that Tab goes to is one in the page.
  const reachable = line >= first && line < last ? current : first * columns;

  useEffect(() => {
    const element = frame.current;
    if (element === null || !isMoving.current) return;
    const below = (line + 1) * height + GAP - element.clientHeight;
    element.scrollTop = Math.min(line * height, Math.max(below, element.scrollTop));
    const cell = element.querySelector<HTMLElement>(`[data-at="${current}"]`);
    if (!isEditing) cell?.focus({ preventScroll: true });
    if (cell) isMoving.current = false;
  });

  const go = (to: number, edits: boolean) => {
    isMoving.current = true;
    setAt(Math.max(0, Math.min(places.length - 1, to)));
    setEditing(edits && onCaption !== undefined && to >= 0 && to < places.length);
  };
  const press = (event: KeyboardEvent) => {
    if (isEditing || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, number> = {
      ArrowRight: current + 1,
      ArrowLeft: current - 1,
      ArrowDown: current + columns,
      ArrowUp: current - columns,
      Home: 0,
      End: places.length - 1,
      Enter: current,
    };
    const to = moves[event.key];
    if (to === undefined) return;
    if (to >= 0 && to < places.length) go(to, event.key === "Enter");
    event.preventDefault();
    event.stopPropagation();
  };

  const cell = (index: number) => {
    const place = places[index];
    const row = place === undefined ? undefined : listed.rows[place];
    if (row === undefined) return null;
    const caption = captionOf(listed, row);
    const isOpen = isEditing && index === current;
    const end = (text: string | undefined, by: number | null) => {
      if (text !== undefined && text.trim() !== caption) onCaption?.(row, text.trim());
      if (by !== null) go(index + by, by !== 0);
      else setEditing(false);
    };
    return (
      // biome-ignore lint/a11y/useSemanticElements: a table cannot leave out the rows that are not in view
      // biome-ignore lint/a11y/useKeyWithClickEvents: the grid handles the keys
      <div
        key={place}
        role="gridcell"
        className="dataset-cell"
        data-at={index}
        tabIndex={index === reachable ? 0 : -1}
        onClick={() => isOpen || go(index, true)}
      >
        <Shot url={`/api/v1/datasets/${id}/pictures/${place}?w=256`} row={row} />
        <b className="cut" title={row.name}>
          {row.name}
        </b>
        <Facts row={row} isChanged={listed.captions.has(row.name)} />
        {isOpen ? (
          <CaptionField name={row.name} caption={caption} onEnd={end} />
        ) : (
          <span className={caption.trim() === "" ? "dataset-caption none" : "dataset-caption"}>
            {caption.trim() || "no caption"}
          </span>
        )}
      </div>
    );
  };
  return (
    <div ref={frame} className="dataset-scroll" onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      {/* biome-ignore lint/a11y/useSemanticElements: see above */}
      <div
        role="grid"
        tabIndex={-1}
        aria-label="Pictures"
        aria-rowcount={lines}
        aria-readonly={onCaption === undefined}
        style={{ height: lines * height, position: "relative" }}
        onKeyDown={press}
      >
        {Array.from({ length: Math.max(0, last - first) }, (_, offset) => first + offset).map((row) => (
          // biome-ignore lint/a11y/useSemanticElements: see above
          // biome-ignore lint/a11y/useFocusableInteractive: its cells take the focus
          <div
            key={row}
            role="row"
            aria-rowindex={row + 1}
            className="dataset-row"
            style={{
              top: row * height,
              height: height - GAP,
              gridTemplateColumns: `repeat(${columns}, 1fr)`,
            }}
          >
            {Array.from({ length: columns }, (_, column) => cell(row * columns + column))}
          </div>
        ))}
      </div>
    </div>
  );
}

function Shot({ url, row }: { url: string; row: Row }) {
  const [isBroken, setBroken] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: after the dataset was read again, it may be there
  useEffect(() => setBroken(false), [row]);
  if (row.problem == null && !isBroken) {
    return (
      <img
        className="dataset-shot"
        src={address(url)}
        alt=""
        draggable={false}
        onError={() => setBroken(true)}
      />
    );
  }
  return <span className="dataset-shot field-problem">{sentence(row.problem ?? "it cannot be shown")}</span>;
}

/** The size of a picture, before and after its edits, and where its caption comes from. */
function Facts({ row, isChanged }: { row: Row; isChanged: boolean }) {
  const size = sizeOf(row);
  const whole = row.file_width == null ? "" : `${row.file_width} × ${row.file_height}`;
  const source = isChanged ? "changed here" : row.caption_source;
  return (
    <span className="meta cut" title={[...row.edits, ...row.flags].join(", ")}>
      {[whole === size ? size : `${whole} → ${size}`, source].filter(Boolean).join(" · ")}
    </span>
  );
}

interface CaptionFieldProps {
  name: string;
  caption: string;
  /** Called once: with the text, if it is to be kept, and how many pictures to go on by; null if the focus is elsewhere. */
  onEnd: (text: string | undefined, by: -1 | 0 | 1 | null) => void;
}

/** Enter and Tab keep the text, Shift+Enter begins a line, Escape leaves it as it was. */
function CaptionField({ name, caption, onEnd }: CaptionFieldProps) {
  const isDone = useRef(false);
  const end: CaptionFieldProps["onEnd"] = (text, by) => {
    if (!isDone.current) onEnd(text, by);
    isDone.current = true;
  };
  return (
    <textarea
      aria-label={`Caption of ${name}`}
      defaultValue={caption}
      maxLength={MOST_CHARACTERS}
      // biome-ignore lint/a11y/noAutofocus: the person has just asked to type here
      autoFocus
      onFocus={({ currentTarget: field }) => field.setSelectionRange(field.value.length, field.value.length)}
      onBlur={(event) => end(event.currentTarget.value, null)}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.nativeEvent.isComposing) return;
        if (event.key === "Escape") end(undefined, 0);
        else if (event.key === "Enter" && !event.shiftKey) end(event.currentTarget.value, 0);
        else if (event.key === "Tab") end(event.currentTarget.value, event.shiftKey ? -1 : 1);
        else return;
        event.preventDefault();
      }}
    />
  );
}
