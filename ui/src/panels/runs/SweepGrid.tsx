/** The pictures of a run with sweeps as a grid with labelled axes. */
import { useEffect, useMemo, useRef, useState } from "react";
import { type OutputRow, outputsOf } from "../../server/outputs";
import { thumbnail } from "../../server/requests/client";
import { hasEnded } from "../../server/runs/runState";
import { useRuns } from "../../server/runs/runStore";
import { IconButton } from "../../style/Icon";
import { count, span, valueText, words } from "../format";
import { closeLarge, isPicture, openPicture, usePictures } from "../pictures/pictures";
import { Marks } from "../pictures/Stage";

/** The axes of a grid: one or two inputs with their values; further swept inputs make more columns. */
export interface Axes {
  columns: readonly [name: string, values: readonly unknown[]];
  rows: readonly [name: string, values: readonly unknown[]] | null;
}

/** The axes for the values of outputs: the input that was swept last runs along the columns. */
export function axesOf(outputs: readonly Pick<OutputRow, "values">[]): Axes | null {
  const seen = new Map<string, unknown[]>();
  for (const { values } of outputs) {
    for (const [name, value] of Object.entries(values)) {
      const known = seen.get(name) ?? [];
      if (!known.some((item) => same(item, value))) known.push(value);
      seen.set(name, known);
    }
  }
  const axes = [...seen].filter(([, values]) => values.length > 1);
  const columns = axes.at(-1) ?? [...seen].at(-1);
  if (columns === undefined) return null;
  return { columns, rows: axes.length > 1 ? axes.at(-2)! : null };
}

function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

export function SweepGrid({ run }: { run: string }) {
  const written = useRuns((state) => state.queue.runs[run]?.outputs.length ?? 0);
  const view = useRuns((state) => state.queue.runs[run] ?? null);
  const [outputs, setOutputs] = useState<readonly OutputRow[]>([]);
  const [isSwapped, setSwapped] = useState(false);
  const [hasLabels, setLabels] = useState(true);
  const root = useRef<HTMLElement>(null);
  const chosen = usePictures((state) => state.b);
  const isEmpty = outputs.length === 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the grid appears with its first picture
  useEffect(() => root.current?.focus(), [isEmpty]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: read again whenever one more picture is written
  useEffect(() => {
    let isCurrent = true;
    void outputsOf(run).then((rows) => isCurrent && setOutputs(rows.filter(isPicture).reverse()));
    return () => {
      isCurrent = false;
    };
  }, [run, written]);

  const axes = useMemo(() => {
    const found = axesOf(outputs);
    return found && isSwapped && found.rows ? { columns: found.rows, rows: found.columns } : found;
  }, [outputs, isSwapped]);
  if (axes === null) return null;
  const [columnName, columns] = axes.columns;
  const rowValues = axes.rows?.[1] ?? [undefined];
  const at = (row: unknown, column: unknown) =>
    outputs.find(
      ({ values }) =>
        same(values[columnName], column) && (axes.rows === null || same(values[axes.rows[0]], row)),
    );
  const cells = rowValues.flatMap((row) => columns.map((column) => at(row, column)));
  const walk = (by: number) => {
    const place = cells.findIndex((cell) => cell?.id === chosen?.id);
    const next = cells[place < 0 ? 0 : place + by];
    if (next) usePictures.setState({ b: next });
  };
  const title = [axes.rows?.[0], columnName]
    .filter((name) => name !== undefined)
    .map(words)
    .join(" × ");
  const took = view?.started && view.finished ? ` in ${span((view.finished - view.started) * 1000)}` : "";

  return (
    <section
      ref={root}
      className="large"
      aria-label="Grid"
      tabIndex={-1}
      onKeyDown={(event) => {
        const moves: Record<string, number> = {
          ArrowRight: 1,
          ArrowLeft: -1,
          ArrowDown: columns.length,
          ArrowUp: -columns.length,
        };
        const by = moves[event.key];
        if (event.key === "Escape") closeLarge();
        else if (by !== undefined) walk(by);
        else if (event.key === "Enter" && chosen && event.target === root.current)
          openPicture(chosen, outputs);
        else return;
        event.stopPropagation();
        event.preventDefault();
      }}
    >
      <header className="large-head">
        <h2>{title}</h2>
        <span className="meta">
          {count(outputs.length, "picture")}
          {view && hasEnded(view.phase) ? took : ""}
        </span>
        <span className="grow" />
        {axes.rows !== null && (
          <button type="button" className="button quiet" onClick={() => setSwapped(!isSwapped)}>
            Swap axes
          </button>
        )}
        <button type="button" className="button quiet" onClick={() => setLabels(!hasLabels)}>
          {hasLabels ? "Hide labels" : "Show labels"}
        </button>
        <IconButton icon="close" label="Close" onClick={closeLarge} />
      </header>
      <div className="grid-scroll">
        <table
          className={hasLabels ? "grid" : "grid plain"}
          style={{ "--columns": columns.length } as React.CSSProperties}
        >
          <thead>
            <tr>
              <td className="axes">
                <span className="meta">{words(columnName)}</span>
                {axes.rows !== null && <span className="meta">{words(axes.rows[0])}</span>}
              </td>
              {columns.map((column) => (
                <th key={valueText(column)} scope="col">
                  {valueText(column)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rowValues.map((row) => (
              <tr key={valueText(row)}>
                <th scope="row">{axes.rows === null ? "" : valueText(row)}</th>
                {columns.map((column) => {
                  const cell = at(row, column);
                  return (
                    <td key={valueText(column)}>
                      {cell === undefined ? (
                        <span className="cell-empty">
                          <Marks />
                        </span>
                      ) : (
                        <button
                          type="button"
                          tabIndex={-1}
                          className={cell.id === chosen?.id ? "cell on" : "cell"}
                          aria-label={`${words(columnName)} ${valueText(column)}`}
                          onClick={() => usePictures.setState({ b: cell })}
                          onDoubleClick={() => openPicture(cell, outputs)}
                        >
                          <img src={thumbnail(cell.url, 256)} alt="" loading="lazy" draggable={false} />
                        </button>
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
