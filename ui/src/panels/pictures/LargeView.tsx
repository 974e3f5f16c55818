/** The large view over the canvas: one picture, two to compare, or the grid of a sweep. */
import { useEffect, useRef, useState } from "react";
import type { OutputRow } from "../../server/outputs";
import { thumbnail } from "../../server/requests/client";
import { IconButton } from "../../style/Icon";
import { valueText, words } from "../format";
import { SweepGrid } from "../runs/SweepGrid";
import { Compare } from "./Compare";
import { type CompareMode, closeLarge, compareWith, openPicture, usePictures } from "./pictures";
import { Picture, type Size, scaleText, useBox } from "./Stage";
import "./large.css";

const MODES: readonly [CompareMode, string][] = [
  ["slider", "Slider"],
  ["side", "Side by side"],
  ["difference", "Difference"],
];

export function LargeView() {
  const large = usePictures((state) => state.large);
  const run = usePictures((state) => state.run);
  useEffect(() => {
    if (large === "none") return;
    const press = (event: KeyboardEvent) => {
      if (event.key === "Escape" && !event.defaultPrevented && !isTyping(event.target)) closeLarge();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [large]);
  if (large === "sweep" && run !== null) return <SweepGrid run={run} />;
  return large === "picture" ? <LargePicture /> : null;
}

function LargePicture() {
  const { a, b, rows, mode } = usePictures();
  const [stage, box] = useBox<HTMLDivElement>();
  const root = useRef<HTMLElement>(null);
  const [known, setKnown] = useState<{ size: Size; scale: number } | null>(null);
  useEffect(() => root.current?.focus(), []);
  if (b === null) return null;
  const onSize = (size: Size, scale: number) => setKnown({ size, scale });
  const step = (by: number) => {
    const next = rows[rows.findIndex((row) => row.id === b.id) + by];
    if (next) openPicture(next, rows);
  };

  return (
    <section
      ref={root}
      className="large"
      aria-label="Large picture"
      tabIndex={-1}
      onKeyDown={(event) => {
        const isRange = event.target instanceof HTMLInputElement;
        if (event.key === "Escape") closeLarge();
        else if (event.key === "ArrowRight" && !isRange) step(1);
        else if (event.key === "ArrowLeft" && !isRange) step(-1);
        else if (event.key.toLowerCase() === "a" && !isRange)
          compareWith(a === null ? nearest(rows, b) : null);
        else return;
        event.stopPropagation();
        event.preventDefault();
      }}
    >
      <header className="large-head">
        {a !== null && (
          <fieldset className="segments" aria-label="How to compare">
            {MODES.map(([value, label]) => (
              <label key={value} className={mode === value ? "on" : ""}>
                <input
                  type="radio"
                  name="compare"
                  checked={mode === value}
                  onChange={() => usePictures.setState({ mode: value })}
                />
                {label}
              </label>
            ))}
          </fieldset>
        )}
        <span className="grow" />
        {known !== null && (
          <span className="meta">
            {known.size.width} × {known.size.height}, shown {scaleText(known.scale)}
          </span>
        )}
        <IconButton
          icon="fit"
          label="Fill the screen"
          onClick={() =>
            void (document.fullscreenElement ? document.exitFullscreen() : root.current?.requestFullscreen())
          }
        />
        <IconButton icon="close" label="Close" onClick={closeLarge} />
      </header>
      <div ref={stage} className="large-stage">
        {a === null ? (
          <Picture key={b.id} url={b.url} alt={b.title} box={box} onSize={onSize} />
        ) : (
          <Compare a={a} b={b} mode={mode} box={box} onSize={onSize} />
        )}
      </div>
      {a !== null && (
        <div className="compare-labels">
          <span>
            <span className="letter">A</span> {label(a)}
          </span>
          <span>
            {label(b)} <span className="letter">B</span>
          </span>
        </div>
      )}
      {rows.length > 1 && (
        <ul className="large-strip" aria-label="Pictures of this run">
          {rows.map((row) => (
            <li key={row.id}>
              <button
                type="button"
                className={row.id === b.id ? "B" : row.id === a?.id ? "A" : ""}
                aria-pressed={row.id === b.id}
                aria-label={`${label(row)}${row.id === a?.id ? ", compared" : ""}`}
                title="Click to show, Shift-click to compare"
                onClick={(event) => (event.shiftKey ? compareWith(row) : openPicture(row, rows))}
              >
                <img src={thumbnail(row.url, 128)} alt="" loading="lazy" draggable={false} />
              </button>
              <span className="meta cut">{swept(row)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, [role=dialog], [role=menu]") !== null
  );
}

function nearest(rows: readonly OutputRow[], row: OutputRow): OutputRow | null {
  const place = rows.findIndex((known) => known.id === row.id);
  return rows[place - 1] ?? rows[place + 1] ?? null;
}

function swept(row: OutputRow): string {
  const values = Object.values(row.values);
  return values.length > 0 ? values.map(valueText).join(", ") : row.index.map((place) => place + 1).join(".");
}

/** What tells a picture from the others of its run. */
export function label(row: OutputRow): string {
  const values = Object.entries(row.values).map(([name, value]) => `${words(name)} ${valueText(value)}`);
  if (values.length > 0) return values.join(", ");
  return row.index.length > 0
    ? `${words(row.output)} ${row.index.map((place) => place + 1).join(".")}`
    : words(row.output);
}
